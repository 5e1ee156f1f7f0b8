"""What recording rules make of two instances, for promtool."""

from __future__ import annotations

from typing import Any, Final

from opentelemetry.instrumentation.gluellm.telemetry import semconv

from ... import config
from .. import recording
from ..case import series
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
    ("oldest_waiter", "api-1", 9.0),
    ("queued_now", "api-1", 7.0),
    ("occupancy", "api-1", 0.5),
    ("limit_per_pool", "api-1", 50.0),
    ("pools_live", "api-1", 2.0),
    ("pools_opened", "api-1", 0.1),
    ("request_rate", "api-1", 1.0),
    ("pool_timeout_rate", _OTHER, 0.5),
    ("call_rate", "", 1.5),
    ("call_failure_rate", _OTHER, 0.5),
    ("call_time_rate", "api-1", 2.0),
    ("silent_calls", "api-1", 2.0),
    ("event_loop_late", "api-1", 0.25),
    ("missing_hooks", "api-1", 3.0),
    ("versions", "api-1", 1.0),
)
"""By query and instance: the value."""


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
                        "expr": f"sum({_selector(query, instance)})",
                        "eval_time": _MOMENT,
                        "exp_samples": [{"labels": "{}", "value": value}],
                    }
                    for query, instance, value in EXPECTED
                ],
            }
        ],
    }


def _selector(query: str, instance: str) -> str:
    own = f'instance="{instance}"' if instance else 'job="api"'
    return f"{recording.recorded(query).name}{{{own}}}"
