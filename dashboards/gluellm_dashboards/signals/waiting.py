"""Waits for a connection: number, duration, result."""

from __future__ import annotations

from .signal import essential, of, quantile_of

POOLS_PART = {"gluellm.request.phase": "queued|connecting|stream_queued"}
"""Phases that the pool causes."""

OLDEST_WAITER = essential(
    "oldest_waiter",
    "Age of the oldest waiting request. It grows while requests hang, when histograms show "
    "nothing yet. Above a few seconds, check what holds the connections: see the requests "
    "by phase on the pool's board.",
)
QUEUED_NOW = essential(
    "queued_now",
    "Requests that are queued now. A few that come and go are a burst. If the number "
    "stays, the pool is too small, the provider is slow, or there is a leak: see the time "
    "per phase.",
)
WAIT_P95 = essential(
    "wait_p95",
    "95 of 100 requests got their connection within this time; an immediate acquire counts "
    "as 0. Requests that still wait are not included: see the oldest waiter. The value is "
    "interpolated within a bucket (10 to 30 s, 30 to 60 s), so it can exceed the pool "
    "timeout.",
)
_ACQUIRE = "gluellm.pool.acquire.duration"
WAIT_P50 = quantile_of(
    "wait_p50",
    0.5,
    _ACQUIRE,
    "Half of the requests waited at most this long. Above 0, most requests have to wait.",
)
WAIT_P99 = quantile_of(
    "wait_p99",
    0.99,
    _ACQUIRE,
    "One of 100 requests waited longer. Compare it with the pool timeout: near that, calls fail.",
)
POOL_TIMEOUT = of(
    "pool_timeout",
    "gluellm.pool.acquire.timeout",
    "The pool timeout of the most recent request. With 600 s, a common default of SDKs, "
    "calls hang for ten minutes before they fail.",
    how="max",
)
TIMEOUTS = of(
    "timeouts",
    "gluellm.pool.timeouts",
    "`pool`: the wait for a connection was too long. `connect`: the provider can't be "
    "reached. `read`: the provider stopped sending.",
    "gluellm.timeout.kind",
)
PEAK_QUEUED = of(
    "peak_queued",
    "gluellm.pool.peak.queued",
    "Largest number of requests that waited at one moment since the last export. It also "
    "shows bursts that are shorter than an export interval.",
)
REQUEUES = of(
    "requeues",
    "gluellm.pool.requeues",
    "Requests that returned to the queue because their connection was taken or closed. While "
    "requests wait, this is normal: httpcore offers a free connection to all of them. If no "
    "request waits and the server closes connections, the pool keeps them longer than the server.",
)
TIME_IN_QUEUE_P95 = quantile_of(
    "time_in_queue_p95",
    0.95,
    "http.client.request.time_in_queue",
    "Wait time of requests that had to wait, as .NET counts it. With the setting "
    "`time_in_queue=True` only.",
)
