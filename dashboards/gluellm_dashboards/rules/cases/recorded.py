"""What recording rules make of two instances, for promtool."""

from __future__ import annotations

from typing import Any, Final

from opentelemetry.instrumentation.gluellm.telemetry import semconv

from ... import config
from .. import recording
from ..case import series
from ..questions import at, essential
from .calls import ended
from .waiting import answered, failed, pool_timeouts

_MOMENT: Final = "10m"
_PHASE: Final = semconv.REQUEST_PHASE
_OTHER: Final = "api-2"
_VERSION: Final = {config.VERSION: "1.2"}

SERIES: Final = (
    series(semconv.REQUEST_OLDEST_AGE, "7x10", {_PHASE: "queued"}),
    series(semconv.REQUEST_OLDEST_AGE, "9x10", {_PHASE: "stream_queued"}, instance=_OTHER),
    # No wait.
    series(semconv.REQUEST_OLDEST_AGE, "500x10", {_PHASE: "reading"}, instance=_OTHER),
    series(semconv.REQUEST_CURRENT, "3x10", {_PHASE: "queued"}),
    series(semconv.REQUEST_CURRENT, "4x10", {_PHASE: "queued"}, instance=_OTHER),
    series(semconv.OCCUPANCY_RATIO, "0.5x10"),
    series(semconv.OCCUPANCY_RATIO, "1x10", instance=_OTHER),
    series(semconv.CONNECTION_MAX, "100x10"),
    series(semconv.CONNECTION_MAX, "50x10", instance=_OTHER),
    series(semconv.POOL_LIVE, "2x10"),
    series(semconv.POOL_LIVE, "1x10", instance=_OTHER),
    series(semconv.LEAK_SUSPECTED, "1x10"),
    series(semconv.LEAK_SUSPECTED, "2x10", instance=_OTHER),
    answered("0+60x10"),
    failed("pool_timeout", "0+30x10", _OTHER),
    pool_timeouts("0+30x10", _OTHER),
    ended("succeeded", "0+60x10"),
    ended("failed", "0+30x10", _OTHER),
    series(semconv.CALL_TIME, "0+120x10", {semconv.CALL_STAGE: "backoff"}),
    series(semconv.CALL_SILENT, "2x10"),
    series(semconv.REQUEST_TIME, "0+120x10", {_PHASE: "unread"}),
    series(semconv.REQUEST_TIME, "0+60x10", {_PHASE: "unread"}, instance=_OTHER),
    series(semconv.EVENT_LOOP_LATE_TIME, "0+15x10"),
    series(semconv.HOOK_MISSING, "2x10", {semconv.HOOK_LIBRARY: "httpx"}, **_VERSION),
    series(semconv.HOOK_MISSING, "1x10", {semconv.HOOK_LIBRARY: "aiohttp"}, **_VERSION),
)

_INSTANCE: Final = recording.INSTANCE_POOL
_SERVICE: Final = recording.SERVICE_POOL
_CALLS: Final = recording.INSTANCE_PROVIDER
EXPECTED: Final = (
    ("oldest_waiter", _INSTANCE, "api-2", 9.0),
    ("oldest_waiter", _SERVICE, "", 9.0),
    ("queued_now", _INSTANCE, "api-1", 3.0),
    ("queued_now", _SERVICE, "", 7.0),
    ("occupancy", _SERVICE, "", 1.0),
    ("limit_per_pool", _INSTANCE, "api-1", 50.0),
    ("limit_per_pool", _INSTANCE, "api-2", 50.0),
    ("pools_live", _SERVICE, "", 3.0),
    ("leaks_suspected", _SERVICE, "", 3.0),
    ("request_rate", _INSTANCE, "api-1", 1.0),
    ("request_rate", _SERVICE, "", 1.5),
    ("pool_timeout_rate", _INSTANCE, "api-2", 0.5),
    ("call_rate", _CALLS, "", 1.5),
    ("call_failure_rate", _CALLS, "api-2", 0.5),
    ("call_time_rate", _CALLS, "api-1", 2.0),
    ("silent_calls", _CALLS, "api-1", 2.0),
    ("time_by_phase", _SERVICE, "", 3.0),
    ("event_loop_late", recording.INSTANCE, "api-1", 0.25),
    ("missing_hooks", recording.INSTANCE, "api-1", 3.0),
    ("versions", recording.INSTANCE_VERSION, "api-1", 1.0),
)
"""By query, level and instance: the value."""
ALL_GIVE_UP: Final = (pool_timeouts("0+2x3"), failed("pool_timeout", "_ 2+2x2"))
"""A new pool, all of whose requests end in a pool timeout: the share is 1, not more."""


def document() -> dict[str, Any]:
    """A file for ``promtool test rules``, beside the rules' folder."""
    return {
        "rule_files": ["../recording.yaml"],
        "evaluation_interval": recording.INTERVAL,
        "tests": [
            {
                "interval": "1m",
                "input_series": [dict(one) for one in SERIES],
                "promql_expr_test": [
                    {
                        # Without its name and labels, which the selector has said already.
                        "expr": f"sum({_selector(query, level, instance)})",
                        "eval_time": _MOMENT,
                        "exp_samples": [{"labels": "{}", "value": value}],
                    }
                    for query, level, instance, value in EXPECTED
                ],
            },
            {
                "interval": "1m",
                "input_series": [dict(one) for one in ALL_GIVE_UP],
                "promql_expr_test": [
                    {
                        "expr": at((), essential("pool_timeout_share")),
                        "eval_time": "3m",
                        "exp_samples": [{"labels": "{}", "value": 1.0}],
                    }
                ],
            },
        ],
    }


def _selector(query: str, level: recording.Level, instance: str) -> str:
    own = f'instance="{instance}"' if instance else 'job="api"'
    return f"{recording.recorded(query, level).name}{{{own}}}"
