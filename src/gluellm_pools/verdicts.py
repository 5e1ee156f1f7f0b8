"""Verdicts on a pool's numbers, in half a line.

The rules are those of the table of phases in README.md. The numbers lack the single requests, so
they cannot separate a young leak from a slow consumer, or a slow provider from a slow model.
"""

from __future__ import annotations

from opentelemetry.instrumentation.gluellm import thresholds

from .text import seconds
from .view import PoolView, View

_PROVIDERS = ("awaiting_response", "reading")
_HOLDING = ("unread", *_PROVIDERS)


def severity(pool: PoolView) -> tuple[bool, ...]:
    """Sort key: larger for a pool with larger problems, all False for a healthy one.

    Its steps are coarse, so that pools sorted by it keep their positions between exports.
    """
    return (
        pool.leaks_suspected > 0,
        pool.streams_orphaned > 0,
        pool.timeouts.get("pool", 0) > 0,
        pool.oldest_waiter >= thresholds.STUCK_AFTER,
        waits(pool),
    )


def late(view: View) -> bool:
    """Whether an event loop was late for so long that times and waits are doubtful."""
    return view.late_share > thresholds.LATE_SHARE


def waits(pool: PoolView) -> bool:
    """Whether requests wait for connections noticeably, now or in the period of the counters."""
    return (
        pool.oldest_waiter >= thresholds.WAIT_NOTICED
        or pool.share("queued") >= thresholds.QUEUED_SHARE
        or pool.timeouts.get("pool", 0) > 0
    )


def verdict(pool: PoolView, *, doubtful: bool = False) -> str | None:
    """What the numbers mean; None if there is no problem.

    With ``doubtful``, as while an event loop is late, times and waits are not judged.
    """
    if pool.leaks_suspected:
        return "answers that nobody reads: gluellm-pools doctor names the line"
    if pool.streams_orphaned:
        return "HTTP/2 streams of ended requests stay taken: try HTTP/1.1"
    if thresholds.is_churn(pool.pools_opened, pool.requests):
        return "fewer than 3 requests per pool: make one client and keep it"
    return None if doubtful else _verdict_on_times(pool)


def _verdict_on_times(pool: PoolView) -> str | None:
    longest = max(pool.oldest.get(phase, 0.0) for phase in _PROVIDERS)
    read_timeouts = pool.timeouts.get("read", 0)
    if pool.share("connecting") >= thresholds.CONNECTING_HURTS:
        if pool.channels:
            return "channels that are not connected: calls fail, or wait for one"
        return "connections are made instead of reused, or are slow to make"
    if _unread(pool):
        if waits(pool) or pool.oldest.get("unread", 0.0) >= thresholds.LONG_ANSWER:
            return "held by answers not yet read: a slow consumer, or a leak"
        return None
    if read_timeouts >= max(
        thresholds.READ_TIMEOUTS, thresholds.READ_TIMEOUT_SHARE * pool.requests
    ):
        return "read timeouts: the provider does not answer in time"
    if longest >= thresholds.LONG_ANSWER:
        return f"{seconds(longest)} for an answer so far: the provider is slow, or the model is"
    if waits(pool) and pool.maximum is not None and pool.active >= pool.maximum:
        if longest >= thresholds.YOUNG_CALL:
            return f"calls hold them all ({seconds(longest)}): a small pool, or a slow provider"
        return f"young calls ({seconds(longest)}) hold them all: the pool is too small"
    return None


def _unread(pool: PoolView) -> bool:
    """Whether answers are read slowly, or most of the connections are now held by unread ones."""
    spent, now = (
        [numbers.get(phase, 0) for phase in _HOLDING]
        for numbers in (pool.seconds_by_phase, pool.by_phase)
    )
    requests = pool.requests + sum(now)
    likely_leak = now[0] > 0 and now[0] >= thresholds.LIKELY_LEAK_SHARE * sum(now)
    return likely_leak or thresholds.consumes_slowly(spent[0], sum(spent), requests)
