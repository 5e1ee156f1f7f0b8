"""Queries of the rules beyond the essential ones, each defined once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from gluellm_pools.prometheus import label_name
from opentelemetry.instrumentation.gluellm.telemetry import semconv

from .. import config
from ..query import Query, by, now, rate

LIBRARY: Final = label_name(semconv.POOL_LIBRARY)
KIND_POOL: Final = f'{label_name(semconv.TIMEOUT_KIND)}="pool"'
_FAILED: Final = f'{label_name(semconv.CALL_OUTCOME)}="failed"'


def at(labels: Sequence[str], query: Query, window: str = config.RATE_WINDOW) -> str:
    """Return the PromQL of a query with these labels and no matchers."""
    promql = query.promql("", window, by=labels)
    # The places for further matchers leave marks behind.
    return promql.replace(",}", "}").replace("{}", "")


def _sum(name: str, series: str, unit: str = "", *more: str) -> Query:
    return Query(name, f"sum{by(*more)}({series})", unit)


REQUEST_RATE: Final = _sum("request_rate", rate(semconv.REQUESTS), "/s")
POOL_TIMEOUT_RATE: Final = _sum("pool_timeout_rate", rate(semconv.TIMEOUTS, KIND_POOL), "/s")
POOLS_LIVE: Final = _sum("pools_live", now(semconv.POOL_LIVE))
LIMIT_PER_POOL: Final = Query(
    "limit_per_pool",
    f"sum{by(LIBRARY)}({now(semconv.CONNECTION_MAX)}) / "
    f"(sum{by(LIBRARY)}({now(semconv.POOL_LIVE)}) > 0)",
)
CALL_FAILURE_RATE: Final = _sum("call_failure_rate", rate(semconv.CALLS, _FAILED), "/s")
CALL_RATE: Final = _sum("call_rate", rate(semconv.CALLS), "/s")
CALL_TIME_RATE: Final = _sum("call_time_rate", rate(semconv.CALL_TIME), "s/s")
SILENT_CALLS: Final = _sum("silent_calls", now(semconv.CALL_SILENT))
MISSING_HOOKS: Final = _sum("missing_hooks", now(semconv.HOOK_MISSING))
# The label has the version; the value is always 1.
VERSIONS: Final = Query("versions", f"group{by()}({now(semconv.HOOK_MISSING)})")
