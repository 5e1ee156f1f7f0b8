"""Waits for a connection: number, duration, result."""

from __future__ import annotations

from .signal import by, essential, now, quantile, rate, signal

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
WAIT_P50 = signal(
    "wait_p50",
    "How long do requests wait (p50)?",
    quantile(0.5, "gluellm.pool.acquire.duration"),
    "Half of the requests waited at most this long. Above 0, most requests have to wait.",
    of=["gluellm.pool.acquire.duration"],
    unit="s",
)
WAIT_P99 = signal(
    "wait_p99",
    "How long do requests wait (p99)?",
    quantile(0.99, "gluellm.pool.acquire.duration"),
    "One of 100 requests waited longer. Compare it with the pool timeout: near that, calls fail.",
    of=["gluellm.pool.acquire.duration"],
    unit="s",
)
POOL_TIMEOUT = signal(
    "pool_timeout",
    "How long may a request wait?",
    f"max{by()}({now('gluellm.pool.acquire.timeout')})",
    "The pool timeout of the most recent request. With 600 s, a common default of SDKs, "
    "calls hang for ten minutes before they fail.",
    of=["gluellm.pool.acquire.timeout"],
    unit="s",
)
TIMEOUTS = signal(
    "timeouts",
    "How many requests end in a timeout, of which kind?",
    f"sum{by('gluellm.pool.timeouts', 'gluellm.timeout.kind')}({rate('gluellm.pool.timeouts')})",
    "`pool`: the wait for a connection was too long. `connect`: the provider can't be "
    "reached. `read`: the provider stopped sending.",
    of=["gluellm.pool.timeouts"],
    unit="/s",
)
POOL_TIMEOUT_SHARE = essential(
    "pool_timeout_share",
    "Share of requests that ended in a pool timeout. An alert pages above 1 %.",
)
PEAK_QUEUED = signal(
    "peak_queued",
    "How many requests waited at once, at the worst moment?",
    f"sum{by()}({now('gluellm.pool.peak.queued')})",
    "Largest number of requests that waited at one moment since the last export. It also "
    "shows bursts that are shorter than an export interval.",
    of=["gluellm.pool.peak.queued"],
)
TIME_LOST = signal(
    "time_lost",
    "How much time do requests lose to waiting?",
    f"60 * sum{by()}({rate('gluellm.pool.request.time', POOLS_PART)})",
    "Seconds per minute that requests spent queued, connecting, or waiting for a stream, "
    "including requests that still wait. Causes: a pool that is too small, "
    "connections that are not reused, a slow provider, or the limit of streams.",
    of=["gluellm.pool.request.time"],
    unit="s/min",
)
REQUEUES = signal(
    "requeues",
    "How many requests had to queue again?",
    f"sum{by()}({rate('gluellm.pool.requeues')})",
    "Requests that returned to the queue because their connection was taken or closed. While "
    "requests wait, this is normal: httpcore offers a free connection to all of them. If no "
    "request waits and the server closes connections, the pool keeps them longer than the server.",
    of=["gluellm.pool.requeues"],
    unit="/s",
)
TIME_IN_QUEUE_P95 = signal(
    "time_in_queue_p95",
    "How long do requests wait that have to (p95)?",
    quantile(0.95, "http.client.request.time_in_queue"),
    "Wait time of requests that had to wait, as .NET counts it. With the setting "
    "`time_in_queue=True` only.",
    of=["http.client.request.time_in_queue"],
    unit="s",
    on_event=True,
)
