"""Rules: settings that cause trouble under load."""

from __future__ import annotations

from opentelemetry.instrumentation.gluellm import thresholds
from opentelemetry.instrumentation.gluellm.snapshots.parts import (
    PROVIDERS_PART,
    PoolSnapshot,
    number_of,
)
from opentelemetry.instrumentation.gluellm.text import counted, seconds, timeout_text

from ..case import PoolCase
from ..findings import Finding, Kind
from ..severity import severity
from .process import descriptors_run_out
from .timeouts import READ_TIMEOUTS_KNOWN, evidence_of, safe_limit

BOUND = 100
"""Limit on connections to advise as a start: httpx's default."""
_WAIT = 10
"""Pool timeout to advise, in seconds: longer than a burst, shorter than callers' patience."""

_READ = 600
"""Read timeout to advise, in seconds: reasoning models are silent for 300 to 700 s."""


def unbounded_pool(case: PoolCase) -> Finding | None:
    """Detect pools without a limit on connections."""
    # gRPC channels need no limit: their calls share one connection or a few. If an executor sends
    # the requests, its threads are the limit.
    unlimited = [
        pool
        for pool in case.pools
        if pool.max_connections is None and pool.library != "grpc" and pool.threads is None
    ]
    if not unlimited:
        return None
    count = sum(len(pool.connections) for pool in unlimited)
    return Finding(
        kind=Kind.UNBOUNDED_POOL,
        severity=severity(threatens=descriptors_run_out(case.process)),
        observed=f"No limit on connections; {counted(count, 'connection')} now.",
        explanation="A burst opens a connection for each request, until the provider refuses them "
        "or file descriptors run out.",
        advice=f"{case.advisor.limit(BOUND)}.",
    )


def pool_timeout(case: PoolCase) -> Finding | None:
    """Detect that requests may queue for at least as long as they may wait for the answer.

    Only where requests queue or have queued: otherwise the pool timeout never mattered.
    """
    totals = case.totals
    # Below the limit, a request queues for a moment only.
    queued = totals.peak_queued and totals.peak_active >= (case.maximum or 0)
    if not (case.queued_now or queued):
        return None
    too_long = [pool for pool in case.pools if _waits_too_long(pool)]
    if not too_long:
        return None
    pool = max(too_long, key=lambda pool: pool.longest_wait)
    # Pools of one name can have different timeouts.
    alike = [other for other in too_long if _timeouts(other) == _timeouts(pool)]
    waiting = sum(other.queued for other in alike)
    longest = max(other.longest_wait for other in alike)
    queue = f"; {counted(waiting, 'request')} queued, the longest for {seconds(longest)}"
    explanation = "A request may wait as long for a connection as for its answer, or longer."
    if pool.pool_timeout is None:
        explanation = "If no connection becomes free, a request waits forever."
    elif pool.pool_timeout == 600:
        explanation += " 600 s is the default of the openai and anthropic SDKs."
    read = pool.read_timeout or 600.0
    advice = case.advisor.wait_at_most(_WAIT, pool.max_connections, read)
    return Finding(
        kind=Kind.POOL_TIMEOUT,
        severity=severity(threatens=longest >= thresholds.STUCK_AFTER),
        observed=f"Pool timeout {timeout_text(pool.pool_timeout)}, read timeout "
        f"{timeout_text(pool.read_timeout)}{queue if waiting else ''}.",
        explanation=f"{explanation} While it waits, no error shows that the pool is full.",
        advice=f"{advice}.",
    )


def no_read_timeout(case: PoolCase, *, overdue: bool) -> Finding | None:
    """Detect clients whose requests wait for an answer without a limit.

    Of other libraries, the timeouts of requests are unknown.
    """
    endless = [
        pool
        for pool in case.pools
        if pool.read_timeout is None and pool.library in READ_TIMEOUTS_KNOWN
    ]
    if not endless:
        return None
    waiting = [one for p in endless for one in p.requests if one.phase in PROVIDERS_PART]
    overdue = overdue and bool(waiting)
    observed = "No read timeout"
    if waiting:
        longest = max(one.phase_age for one in waiting)
        observed += f"; {counted(number_of(waiting), 'request')} waiting for the provider"
        observed += f", the longest for {seconds(longest)}"
    limit, measured = safe_limit(case)
    observed += f"; {measured}" if limit else ""
    ends = "Nothing ends this request" if number_of(waiting) == 1 else "Nothing ends these requests"
    if not overdue:
        ends = "If the provider or the path hangs, nothing ends the request"
    return Finding(
        kind=Kind.NO_READ_TIMEOUT,
        severity=severity(threatens=overdue),
        observed=f"{observed}.",
        evidence=evidence_of("The waiting requests", waiting) if overdue else (),
        explanation=f"{ends}: the client waits for each byte forever, unless the application "
        "cancels the call.",
        advice=f"{case.advisor.read_at_most(limit or _READ, case.maximum, 'Set a')}.",
    )


def _timeouts(pool: PoolSnapshot) -> tuple[float | None, float | None]:
    return pool.pool_timeout, pool.read_timeout


def _waits_too_long(pool: PoolSnapshot) -> bool:
    if pool.max_connections is None:
        return False  # no request ever waits
    if pool.pool_timeout is None:
        # While the first request is queued, its timeout is not known yet.
        return pool.requests_entered > pool.queued
    if pool.pool_timeout <= _WAIT:
        return False  # the advice would make it longer
    return pool.read_timeout is not None and pool.pool_timeout >= pool.read_timeout
