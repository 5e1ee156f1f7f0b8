"""Who waits for a connection, how long, and what became of it."""

from __future__ import annotations

from .signal import by, essential, now, quantile, rate, signal

WAITS = {"gluellm.request.phase": "queued|stream_queued"}

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
    "wait that is not over yet is not in it: see the oldest waiter.",
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
