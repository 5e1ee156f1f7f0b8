"""What a pool's numbers say, in half a line: only where they say something, and no more than that.

The rules are those of the table of phases in README.md. Numbers without the requests behind them
tell neither a young leak from a slow consumer nor a slow provider from a slow model for certain.
"""

from __future__ import annotations

from .text import seconds
from .view import PoolView, View

_PROVIDERS = ("awaiting_response", "reading")
_HOLDING = ("unread", *_PROVIDERS)
_WAIT = 1.0
"""Seconds that a request has been queued. Less is a burst that passes."""
_LONG_WAIT = 10.0
_QUEUED_SHARE = 0.1
"""Of all time, from which waiting matters."""
_UNREAD_SHARE = 0.5
"""Of the time in which connections are held, from which unread answers are what holds them."""
_CONNECTING_SHARE = 0.3
"""Of all time."""
_LONG = 30.0
"""Seconds in one phase that are worth a word without anything to compare with."""
_YOUNG = 10.0
"""Seconds up to which a call is not what keeps others waiting for long."""
_READ_TIMEOUTS, _READ_TIMEOUT_SHARE = 3, 0.05
"""Together, and of the requests: a provider that does not answer in time."""
_LATE = 0.1
"""Seconds of an event loop's lateness that are worth a word."""
_CHURN_POOLS, _CHURN_REQUESTS = 10, 2
"""So many pools, and fewer requests than that for each."""


def severity(pool: PoolView) -> tuple[int, int, int, int]:
    """Greater for a pool that suffers more; all 0 for a healthy one.

    In coarse steps, so that what is ordered by it keeps its place from one export to the next.
    """
    queues = 2 if pool.oldest_waiter >= _LONG_WAIT else int(waits(pool))
    return (
        int(pool.leaks_suspected > 0),
        int(pool.streams_orphaned > 0),
        int(pool.timeouts.get("pool", 0) > 0),
        queues,
    )


def late(view: View) -> bool:
    """Whether an event loop was late enough to make times and waits doubtful."""
    return view.loop_lag is not None and view.loop_lag >= _LATE


def suffers(pool: PoolView) -> bool:
    return any(severity(pool))


def waits(pool: PoolView) -> bool:
    """Whether requests wait for connections to an extent that matters, now or of late."""
    return (
        pool.oldest_waiter >= _WAIT
        or pool.share("queued") >= _QUEUED_SHARE
        or pool.timeouts.get("pool", 0) > 0
    )


def reading(pool: PoolView, *, doubtful: bool = False) -> str | None:
    """What the numbers say; None when that is nothing.

    Doubtful are times and waits where an event loop is late: they say nothing about anybody else.
    """
    if pool.leaks_suspected:
        return "answers that nobody reads: gluellm-pools doctor names the line"
    if pool.streams_orphaned:
        return "HTTP/2 streams of ended requests stay taken: try HTTP/1.1"
    if pool.pools_opened >= _CHURN_POOLS and pool.requests < _CHURN_REQUESTS * pool.pools_opened:
        return "hardly a request for each pool: make one client and keep it"
    return None if doubtful else _reading_of_times(pool)


def _reading_of_times(pool: PoolView) -> str | None:
    longest = max(pool.oldest.get(phase, 0.0) for phase in _PROVIDERS)
    unread, held = pool.share("unread"), pool.share(*_HOLDING)
    silent = pool.timeouts.get("read", 0)
    if pool.share("connecting") >= _CONNECTING_SHARE:
        if pool.channels:
            return "channels that are not connected: calls fail, or wait for one"
        return "connections are made instead of reused, or are slow to make"
    if unread > 0 and unread >= _UNREAD_SHARE * held:
        if waits(pool) or pool.oldest.get("unread", 0.0) >= _LONG:
            return "held by answers not yet read: a slow consumer, or a leak"
        return None
    if silent >= _READ_TIMEOUTS and silent >= _READ_TIMEOUT_SHARE * pool.requests:
        return "read timeouts: the provider does not answer in time"
    if longest >= _LONG:
        return f"{seconds(longest)} for an answer so far: the provider is slow, or the model is"
    if waits(pool) and pool.maximum is not None and pool.active >= pool.maximum:
        if longest >= _YOUNG:
            return f"calls hold them all ({seconds(longest)}): a small pool, or a slow provider"
        return f"young calls ({seconds(longest)}) hold them all: the pool is too small"
    return None
