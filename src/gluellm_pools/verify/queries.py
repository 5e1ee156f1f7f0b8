"""What people ask of the pools, as PromQL: each query once, for boards, alerts and ``verify``."""

from __future__ import annotations

from typing import Final

from opentelemetry.instrumentation.gluellm.telemetry import semconv
from opentelemetry.instrumentation.gluellm.telemetry.prometheus import label_name
from opentelemetry.instrumentation.gluellm.telemetry.semconv import ErrorType

from .query import Query, by, now, quantile, rate

_PHASE: Final = label_name(semconv.REQUEST_PHASE)
_KIND: Final = label_name(semconv.TIMEOUT_KIND)
_ERROR: Final = label_name(semconv.ERROR_TYPE)
_STATE: Final = label_name(semconv.CONNECTION_STATE)
_STATUS: Final = label_name(semconv.STATUS_CODE)
_RPC_STATUS: Final = label_name(semconv.RPC_STATUS_CODE)
_ANOMALY: Final = label_name(semconv.ANOMALY_TYPE)
_HOOK_LIBRARY: Final = label_name(semconv.HOOK_LIBRARY)
QUEUED: Final = f'{_PHASE}=~"queued|stream_queued"'
"""Matches the phases in which a request waits for a connection or a stream."""
_TO_CONNECT: Final = (
    ErrorType.CONNECT_TIMEOUT,
    ErrorType.NAME_RESOLUTION_ERROR,
    ErrorType.CONNECTION_ERROR,
    ErrorType.SECURE_CONNECTION_ERROR,
)
CONNECT_FAILURES: Final = f'{_ERROR}=~"{"|".join(_TO_CONNECT)}"'
"""Matches failures to connect; their series are there with 0 from a pool's first request on."""

QUERIES: Final = (
    Query(
        "oldest_waiter",
        "How long has the oldest waiter waited?",
        (semconv.REQUEST_OLDEST_AGE,),
        f"max{by()}({now(semconv.REQUEST_OLDEST_AGE, QUEUED)})",
        "s",
    ),
    Query(
        "queued_now",
        "How many requests wait for a connection?",
        (semconv.REQUEST_CURRENT,),
        f"sum{by()}({now(semconv.REQUEST_CURRENT, QUEUED)})",
    ),
    Query(
        "occupancy",
        "How full is the fullest pool?",
        (semconv.OCCUPANCY_RATIO,),
        f"max{by()}({now(semconv.OCCUPANCY_RATIO)})",
        "ratio",
    ),
    Query(
        "connections_max",
        "How many connections may there be?",
        (semconv.CONNECTION_MAX,),
        f"sum{by()}({now(semconv.CONNECTION_MAX)})",
    ),
    Query(
        "connections_open",
        "How many connections are open?",
        (semconv.OPEN_CONNECTIONS,),
        f"sum{by(_STATE)}({now(semconv.OPEN_CONNECTIONS)})",
    ),
    Query(
        "time_by_phase",
        "In which phase do requests spend their time?",
        (semconv.REQUEST_TIME,),
        f"sum{by(_PHASE)}({rate(semconv.REQUEST_TIME)})",
        "s/s",
        by=(),
    ),
    Query(
        "wait_p95",
        "How long do requests wait (p95)?",
        (semconv.ACQUIRE_DURATION,),
        quantile(0.95, semconv.ACQUIRE_DURATION),
        "s",
    ),
    Query(
        "lease_p95",
        "How long are connections held (p95)?",
        (semconv.LEASE_DURATION,),
        quantile(0.95, semconv.LEASE_DURATION),
        "s",
    ),
    Query(
        "requests",
        "How many requests, with which status?",
        (semconv.REQUESTS,),
        f"sum{by(_STATUS, _RPC_STATUS, _ERROR)}({rate(semconv.REQUESTS)})",
        "/s",
    ),
    Query(
        "pool_timeout_share",
        "Which share of requests ends in a pool timeout?",
        (semconv.TIMEOUTS, semconv.REQUESTS),
        f"""sum{by()}({rate(semconv.TIMEOUTS, f'{_KIND}="pool"')}) / """
        f"sum{by()}({rate(semconv.REQUESTS)})",
        "ratio",
    ),
    Query(
        "leaks_suspected",
        "How many connections are suspected to leak?",
        (semconv.LEAK_SUSPECTED,),
        f"sum{by()}({now(semconv.LEAK_SUSPECTED)})",
    ),
    Query(
        "connections_opened",
        "How many connections are opened?",
        (semconv.CONNECTION_OPENED,),
        f"sum{by()}({rate(semconv.CONNECTION_OPENED)})",
        "/s",
    ),
    Query(
        "connect_failures",
        "How many connections fail to open?",
        (semconv.REQUESTS,),
        f"sum{by()}({rate(semconv.REQUESTS, CONNECT_FAILURES)})",
        "/s",
    ),
    Query(
        "reuse_failures",
        "How many requests fail on a reused connection?",
        (semconv.REUSE_FAILURES,),
        f"sum{by()}({rate(semconv.REUSE_FAILURES)})",
        "/s",
    ),
    Query(
        "pools_opened",
        "How many pools are opened (client churn)?",
        (semconv.POOL_OPENED,),
        f"sum{by()}({rate(semconv.POOL_OPENED)})",
        "/s",
    ),
    Query(
        "streams_orphaned",
        "How many HTTP/2 streams are orphaned?",
        (semconv.STREAM_ORPHANED,),
        f"sum{by()}({now(semconv.STREAM_ORPHANED)})",
        on_event=True,
    ),
    Query(
        "anomalies",
        "How many anomalies were seen?",
        (semconv.ANOMALIES,),
        f"sum{by(_ANOMALY)}({rate(semconv.ANOMALIES)})",
        "/s",
    ),
    Query(
        "event_loop_late",
        "For which share of the time are event loops late?",
        (semconv.EVENT_LOOP_LATE_TIME,),
        f"max{by()}({rate(semconv.EVENT_LOOP_LATE_TIME)})",
        "ratio",
        by=(),
    ),
    Query(
        "event_loop_lag",
        "How late are event loops?",
        (semconv.EVENT_LOOP_LAG_PEAK,),
        f"max{by()}({now(semconv.EVENT_LOOP_LAG_PEAK)})",
        "s",
        by=(),
    ),
    Query(
        "hooks_missing",
        "How many hooks does the installed version of a library lack?",
        (semconv.HOOK_MISSING,),
        f"max{by(_HOOK_LIBRARY)}({now(semconv.HOOK_MISSING)})",
        by=(),
    ),
    Query(
        "records_dropped",
        "How many records were lost?",
        (semconv.INSTRUMENTATION_DROPPED,),
        f"sum{by()}({rate(semconv.INSTRUMENTATION_DROPPED)})",
        "/s",
        by=(),
    ),
)
"""The essential ones."""
