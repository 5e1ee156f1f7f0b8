"""Who waits for a connection, how long, and what became of it."""

from __future__ import annotations

from .signal import by, essential, now, quantile, rate, signal

POOLS_PART = {"gluellm.request.phase": "queued|connecting|stream_queued"}
"""The phases that are the pool's."""

OLDEST_WAITER = essential(
    "oldest_waiter",
    "How long the longest has been waiting, right now: it grows while requests hang, when no "
    "histogram says anything yet. Above a few seconds look at what holds the connections: the "
    "requests by phase of the pool's board.",
)
QUEUED_NOW = essential(
    "queued_now",
    "Requests in the queue at this moment. A few that come and go are a burst; a number that stays "
    "is a pool that is too small, a provider that is slow, or a leak: see the time per phase.",
)
WAIT_P95 = essential(
    "wait_p95",
    "95 of 100 requests got their connection within this time; an immediate one counts as 0. A "
    "wait that is not over yet is not in it: see the oldest waiter. It is estimated within a "
    "bucket of the histogram (10 to 30 s, 30 to 60 s), so it can lie above the pool timeout, and "
    "then it means: near it.",
)
WAIT_P50 = signal(
    "wait_p50",
    "How long do requests wait (p50)?",
    quantile(0.5, "gluellm.pool.acquire.duration"),
    "Half of the requests waited no longer. Anything above 0 means that waiting is the rule.",
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
    "The pool timeout, as last asked for. With 600 s, a default of SDKs, nobody gets an error for "
    "ten minutes.",
    of=["gluellm.pool.acquire.timeout"],
    unit="s",
)
TIMEOUTS = signal(
    "timeouts",
    "How many requests end in a timeout, of which kind?",
    f"sum{by('gluellm.pool.timeouts', 'gluellm.timeout.kind')}({rate('gluellm.pool.timeouts')})",
    "`pool` is a wait for a connection that was given up, `connect` a provider that can't be "
    "reached, `read` one that fell silent.",
    of=["gluellm.pool.timeouts"],
    unit="/s",
)
POOL_TIMEOUT_SHARE = essential(
    "pool_timeout_share",
    "The share of requests that gave up waiting for a connection. From 1 % on somebody is paged.",
)
PEAK_QUEUED = signal(
    "peak_queued",
    "How many requests waited at once, at the worst moment?",
    f"sum{by()}({now('gluellm.pool.peak.queued')})",
    "The most that waited at one moment since the last export, so a burst shows that lasted less "
    "than an export interval.",
    of=["gluellm.pool.peak.queued"],
)
TIME_LOST = signal(
    "time_lost",
    "How much time do requests lose to waiting?",
    f"60 * sum{by()}({rate('gluellm.pool.request.time', POOLS_PART)})",
    "Seconds that requests spent queued, connecting, or waiting for a stream, in each minute, "
    "taken together: what a larger or warmer pool would give back. Requests that still wait count.",
    of=["gluellm.pool.request.time"],
    unit="s/min",
)
REQUEUES = signal(
    "requeues",
    "How many requests had to queue again?",
    f"sum{by()}({rate('gluellm.pool.requeues')})",
    "Their connection turned out to be unusable, so they wait a second time. Many of them beside "
    "closes by the server mean that idle connections are kept longer than the other side does.",
    of=["gluellm.pool.requeues"],
    unit="/s",
)
TIME_IN_QUEUE_P95 = signal(
    "time_in_queue_p95",
    "How long do those wait that have to (p95)?",
    quantile(0.95, "http.client.request.time_in_queue"),
    "As .NET counts it: of requests only that had to wait, by the setting `time_in_queue=True`.",
    of=["http.client.request.time_in_queue"],
    unit="s",
    on_event=True,
)
