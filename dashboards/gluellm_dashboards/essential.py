"""The essential queries, each defined once for ``gluellm-pools verify``, the boards and the alerts.

The command is installed without this package, so it reads them from a generated file.
"""

from __future__ import annotations

import json
from typing import Any, Final

from gluellm_pools.prometheus import label_name
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from opentelemetry.instrumentation.gluellm.telemetry.semconv import ErrorType, Instrument, Metric

from .naming import UnknownNameError
from .query import MATCHERS, WINDOW, Query, by, now, quantile, rate

_PHASE: Final = label_name(semconv.REQUEST_PHASE)
_KIND: Final = label_name(semconv.TIMEOUT_KIND)
_ERROR: Final = label_name(semconv.ERROR_TYPE)
_STATE: Final = label_name(semconv.CONNECTION_STATE)
_STATUS: Final = label_name(semconv.STATUS_CODE)
_RPC_STATUS: Final = label_name(semconv.RPC_STATUS_CODE)
_ANOMALY: Final = label_name(semconv.ANOMALY_TYPE)
_LIBRARY: Final = label_name(semconv.HOOK_LIBRARY)
COULD_NOT_CONNECT: Final = (
    ErrorType.CONNECT_TIMEOUT,
    ErrorType.NAME_RESOLUTION_ERROR,
    ErrorType.CONNECTION_ERROR,
    ErrorType.SECURE_CONNECTION_ERROR,
    ErrorType.PROXY_ERROR,
)
QUEUED: Final = f'{_PHASE}=~"queued|stream_queued"'
"""Matches the phases in which a request waits for a connection or a stream."""
CONNECT_FAILURES: Final = f'{_ERROR}=~"{"|".join(COULD_NOT_CONNECT)}"'
"""Matches failures to connect. All but the last exist with 0 from a pool's first request on."""


def _query(
    name: str,
    question: str,
    metric: Metric,
    own: str = "",
    *more: str,
    of: str = "sum",
    unit: str = "",
    **options: Any,
) -> Query:
    """A query of a gauge's values or of a counter's rate, per second unless ``unit`` differs.

    ``of`` is the aggregation, ``own`` are matchers, and ``more`` are further labels to group by.
    """
    counter = metric.instrument == Instrument.OBSERVABLE_COUNTER
    series = rate(metric, own) if counter else now(metric, own)
    unit = unit or ("/s" if counter else "")
    return Query(name, f"{of}{by(*more)}({series})", unit, question, **options)


def _p95(name: str, question: str, metric: Metric) -> Query:
    return Query(name, quantile(0.95, metric), "s", question)


# The series of timeouts begins at 0, that of requests with this error at its first count. A rate
# does not see that count, so timeouts divided by all requests could exceed 1.
_GAVE_UP: Final = f"""sum{by()}({rate(semconv.TIMEOUTS, f'{_KIND}="pool"')})"""
_OTHERS: Final = f"""sum{by()}({rate(semconv.REQUESTS, f'{_ERROR}!="{ErrorType.POOL_TIMEOUT}"')})"""
QUERIES: Final = (
    _query(
        "calls",
        "How many LLM calls, and how do they end?",
        semconv.CALLS,
        "",
        label_name(semconv.CALL_OUTCOME),
        by=(label_name(semconv.PROVIDER_NAME),),
    ),
    _query(
        "time_by_stage",
        "In which stage do LLM calls spend their time?",
        semconv.CALL_TIME,
        "",
        label_name(semconv.CALL_STAGE),
        unit="s/s",
        by=(),
    ),
    _query(
        "oldest_waiter",
        "How long has the oldest waiter waited?",
        semconv.REQUEST_OLDEST_AGE,
        QUEUED,
        of="max",
        unit="s",
    ),
    _query(
        "queued_now", "How many requests wait for a connection?", semconv.REQUEST_CURRENT, QUEUED
    ),
    _query(
        "occupancy",
        "How full is the fullest pool?",
        semconv.OCCUPANCY_RATIO,
        of="max",
        unit="ratio",
    ),
    _query("connections_max", "How many connections may there be?", semconv.CONNECTION_MAX),
    _query(
        "connections_open", "How many connections are open?", semconv.OPEN_CONNECTIONS, "", _STATE
    ),
    _query(
        "time_by_phase",
        "In which phase do requests spend their time?",
        semconv.REQUEST_TIME,
        "",
        _PHASE,
        unit="s/s",
        by=(),
    ),
    _p95("wait_p95", "How long do requests wait (p95)?", semconv.ACQUIRE_DURATION),
    _p95("lease_p95", "How long are connections held (p95)?", semconv.LEASE_DURATION),
    _query(
        "requests",
        "How many requests, with which status?",
        semconv.REQUESTS,
        "",
        _STATUS,
        _RPC_STATUS,
        _ERROR,
    ),
    Query(
        "pool_timeout_share",
        f"{_GAVE_UP} / ({_GAVE_UP} + ({_OTHERS} or 0 * {_GAVE_UP}))",
        "ratio",
        "Which share of requests ends in a pool timeout?",
    ),
    _query(
        "leaks_suspected", "How many connections are suspected to leak?", semconv.LEAK_SUSPECTED
    ),
    _query("connections_opened", "How many connections are opened?", semconv.CONNECTION_OPENED),
    _query(
        "connect_failures", "How many connections fail to open?", semconv.REQUESTS, CONNECT_FAILURES
    ),
    _query(
        "reuse_failures", "How many requests fail on a reused connection?", semconv.REUSE_FAILURES
    ),
    _query("pools_opened", "How many pools are opened (client churn)?", semconv.POOL_OPENED),
    _query("streams_orphaned", "How many HTTP/2 streams are orphaned?", semconv.STREAM_ORPHANED),
    _query("anomalies", "How many anomalies were seen?", semconv.ANOMALIES, "", _ANOMALY),
    _query(
        "event_loop_late",
        "For which share of the time are event loops late?",
        semconv.EVENT_LOOP_LATE_TIME,
        of="max",
        unit="ratio",
        by=(),
    ),
    _query(
        "event_loop_lag",
        "How late are event loops?",
        semconv.EVENT_LOOP_LAG_PEAK,
        of="max",
        unit="s",
        by=(),
    ),
    _query(
        "hooks_missing",
        "How many hooks does the installed version of a library lack?",
        semconv.HOOK_MISSING,
        "",
        _LIBRARY,
        of="max",
        by=(),
    ),
    _query(
        "records_dropped", "How many records were lost?", semconv.INSTRUMENTATION_DROPPED, by=()
    ),
)
"""The essential queries, in the order of the report."""


def essential(name: str) -> Query:
    """Return one of them. Raises UnknownNameError."""
    for query in QUERIES:
        if query.name == name:
            return query
    raise UnknownNameError(f"there is no query {name!r}")


FOLDERS: Final = ()


def files() -> dict[str, str]:
    """The file that ``gluellm-pools verify`` reads, by its path below ``dashboards/``."""
    queries = [
        {"question": one.question, "template": one.promql(MATCHERS, WINDOW), "unit": one.unit}
        for one in QUERIES
    ]
    return {"../src/gluellm_pools/verify/queries.json": json.dumps(queries, indent=2) + "\n"}
