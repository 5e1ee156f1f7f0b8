"""What recording rules make of two instances, for promtool."""

from __future__ import annotations

from typing import Any, Final

from opentelemetry.instrumentation.gluellm.telemetry import semconv

from ... import config
from ...essential import essential
from .. import recording
from ..case import series
from ..questions import at
from .calls import ended
from .waiting import answered, gave_up

_MOMENT: Final = "10m"
_PHASE: Final = semconv.REQUEST_PHASE
_OTHER: Final = "api-2"
_VERSION: Final = {config.VERSION: "1.2"}

SERIES: Final = (
    series(semconv.REQUEST_OLDEST_AGE, "7x10", {_PHASE: "queued"}),
    series(semconv.REQUEST_OLDEST_AGE, "9x10", {_PHASE: "stream_queued"}),
    # No wait.
    series(semconv.REQUEST_OLDEST_AGE, "500x10", {_PHASE: "reading"}),
    series(semconv.REQUEST_CURRENT, "3x10", {_PHASE: "queued"}),
    series(semconv.REQUEST_CURRENT, "4x10", {_PHASE: "stream_queued"}),
    series(semconv.OCCUPANCY_RATIO, "0.5x10"),
    series(semconv.CONNECTION_MAX, "100x10"),
    series(semconv.POOL_LIVE, "2x10"),
    series(semconv.POOL_OPENED, "0+6x10"),
    answered("0+60x10"),
    *gave_up("0+30x10", instance=_OTHER),
    *ended(succeeded="0+60x10"),
    *ended(failed="0+30x10", instance=_OTHER),
    series(semconv.CALL_TIME, "0+120x10", {semconv.CALL_STAGE: "backoff"}),
    series(semconv.CALL_SILENT, "2x10"),
    series(semconv.EVENT_LOOP_LATE_TIME, "0+15x10"),
    series(semconv.HOOK_MISSING, "2x10", {semconv.HOOK_LIBRARY: "httpx"}, **_VERSION),
    series(semconv.HOOK_MISSING, "1x10", {semconv.HOOK_LIBRARY: "aiohttp"}, **_VERSION),
)
EXPECTED: Final = (
    ("oldest_waiter", recording.INSTANCE_POOL, "api-1", 9.0),
    ("queued_now", recording.INSTANCE_POOL, "api-1", 7.0),
    ("occupancy", recording.INSTANCE_POOL, "api-1", 0.5),
    ("limit_per_pool", recording.INSTANCE_POOL, "api-1", 50.0),
    ("pools_live", recording.INSTANCE_POOL, "api-1", 2.0),
    ("pools_opened", recording.INSTANCE_POOL, "api-1", 0.1),
    ("request_rate", recording.INSTANCE_POOL, "api-1", 1.0),
    ("pool_timeout_rate", recording.INSTANCE_POOL, _OTHER, 0.5),
    ("call_rate", recording.INSTANCE_PROVIDER, "", 1.5),
    ("call_failure_rate", recording.INSTANCE_PROVIDER, _OTHER, 0.5),
    ("call_time_rate", recording.INSTANCE_PROVIDER, "api-1", 2.0),
    ("silent_calls", recording.INSTANCE_PROVIDER, "api-1", 2.0),
    ("event_loop_late", recording.INSTANCE, "api-1", 0.25),
    ("missing_hooks", recording.INSTANCE, "api-1", 3.0),
    ("versions", recording.INSTANCE_VERSION, "api-1", 1.0),
)
"""By query, level and instance: the value."""
ALL_GIVE_UP: Final = (gave_up("0+2x3")[0], gave_up("_ 2+2x2")[1])
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
