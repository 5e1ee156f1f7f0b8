"""Queries of the rules beyond the essential ones, each defined once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from gluellm_pools.prometheus import label_name
from opentelemetry.instrumentation.gluellm.telemetry import semconv

from .. import config
from ..essential import QUERIES
from ..naming import UnknownNameError
from ..query import Query, by, now, rate
from ..signals import waiting

_ESSENTIAL: Final = {query.name: query for query in QUERIES}
LIBRARY: Final = label_name(semconv.POOL_LIBRARY)
KIND_POOL: Final = f'{label_name(semconv.TIMEOUT_KIND)}="pool"'


def essential(name: str) -> Query:
    """Return a query that ``gluellm-pools verify`` also runs. Raises UnknownNameError."""
    if name not in _ESSENTIAL:
        raise UnknownNameError(f"there is no query {name!r} among {', '.join(_ESSENTIAL)}")
    return _ESSENTIAL[name]


def at(labels: Sequence[str], query: Query, window: str = config.RATE_WINDOW) -> str:
    """Return the PromQL of a query with these labels and no matchers."""
    promql = query.promql("", window, by=labels)
    # The places for further matchers leave marks behind.
    return promql.replace(",}", "}").replace("{}", "")


WAIT_P99: Final = waiting.WAIT_P99.query
REQUEST_RATE: Final = Query(
    "request_rate",
    "How many requests leave the pool?",
    (semconv.REQUESTS,),
    f"sum{by()}({rate(semconv.REQUESTS)})",
    "/s",
)
POOL_TIMEOUT_RATE: Final = Query(
    "pool_timeout_rate",
    "How many requests end in a pool timeout?",
    (semconv.TIMEOUTS,),
    f"sum{by()}({rate(semconv.TIMEOUTS, KIND_POOL)})",
    "/s",
)
POOLS_LIVE: Final = Query(
    "pools_live",
    "How many pools are there?",
    (semconv.POOL_LIVE,),
    f"sum{by()}({now(semconv.POOL_LIVE)})",
)
LIMIT_PER_POOL: Final = Query(
    "limit_per_pool",
    "How many connections may one pool have, where its name has a limit?",
    (semconv.CONNECTION_MAX, semconv.POOL_LIVE),
    f"sum{by(LIBRARY)}({now(semconv.CONNECTION_MAX)}) / "
    f"(sum{by(LIBRARY)}({now(semconv.POOL_LIVE)}) > 0)",
)
CALL_FAILURE_RATE: Final = Query(
    "call_failure_rate",
    "How many calls fail?",
    (semconv.CALLS,),
    f"""sum{by()}({rate(semconv.CALLS, f'{label_name(semconv.CALL_OUTCOME)}="failed"')})""",
    "/s",
)
CALL_RATE: Final = Query(
    "call_rate",
    "How many calls end?",
    (semconv.CALLS,),
    f"sum{by()}({rate(semconv.CALLS)})",
    "/s",
)
CALL_TIME_RATE: Final = Query(
    "call_time_rate",
    "How much time do calls take, those in flight included?",
    (semconv.CALL_TIME,),
    f"sum{by()}({rate(semconv.CALL_TIME)})",
    "s/s",
)
SILENT_CALLS: Final = Query(
    "silent_calls",
    "How many calls in flight are silent?",
    (semconv.CALL_SILENT,),
    f"sum{by()}({now(semconv.CALL_SILENT)})",
)
MISSING_HOOKS: Final = Query(
    "missing_hooks",
    "How many hooks do the installed versions of all libraries lack?",
    (semconv.HOOK_MISSING,),
    f"sum{by()}({now(semconv.HOOK_MISSING)})",
)
VERSIONS: Final = Query(
    "versions",
    "Which version of the service is each instance? The label has it; the value is always 1.",
    (semconv.HOOK_MISSING,),
    f"group{by()}({now(semconv.HOOK_MISSING)})",
)
