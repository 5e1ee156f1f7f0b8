"""Rules: requests that wait or take long, and whether the pool or the provider causes it."""

from __future__ import annotations

from collections import Counter

from ...text import counted, percent, rate, seconds
from ...thresholds import (
    BASELINE_REQUESTS,
    CONNECTING_HOLDS,
    CURRENT_REQUESTS,
    LONG_ANSWER,
    PEAK_REMEMBERED,
    POOL_TIMEOUT_SHARE,
    QUEUED_REQUESTS,
    QUEUED_SHARE,
    QUEUED_TIME,
    READ_TIMEOUT_SHARE,
    READ_TIMEOUTS,
    SLOWER,
    SLOWER_BY,
    STUCK_AFTER,
    UNREAD_SHARE,
    WAIT_NOTICED,
)
from ..findings import Finding, Kind, Severity
from ..intervals import HELD, PROVIDERS_PART, PoolCase
from ..littles_law import Sizing, required_size
from ..parts import PoolSnapshot
from . import holding
from .advising import advisor

_ANOMALIES = {
    "waiter_with_idle_connection": "a request waits although an idle connection could serve it: a "
    "lost wake-up in the pool",
    "orphaned_connection": "a connection counts against the limit though no request has it: what a "
    "cancellation at the wrong moment leaves behind",
    "pool_timeout_overrun": "a request waits for longer than its own pool timeout",
}


def waits(case: PoolCase) -> bool:
    """Return whether requests wait for connections to a relevant extent."""
    activity = case.activity
    queued, spent = activity.time("queued"), activity.time()
    timeouts = activity.timeouts.get("pool", 0)
    if timeouts and timeouts >= POOL_TIMEOUT_SHARE * activity.left:
        return True
    return (
        activity.left + activity.held_now + case.queued_now >= QUEUED_REQUESTS
        and queued >= QUEUED_SHARE * spent
        and queued >= QUEUED_TIME * (activity.left + activity.held_now + case.queued_now)
        and spent > 0
    )


def is_slower(case: PoolCase) -> bool:
    """Return whether the provider takes markedly longer per request than in the baseline."""
    before = case.baseline
    if before is None or before.served < BASELINE_REQUESTS:
        return False
    if case.activity.sent + case.activity.held_now < CURRENT_REQUESTS:
        return False
    was = before.provider_time_at_most(*PROVIDERS_PART)
    now = case.activity.provider_time(*PROVIDERS_PART)
    return now >= SLOWER * was and now - was >= SLOWER_BY


def slow_provider(case: PoolCase) -> Finding | None:
    """Detect a provider that takes long, longer than before, or longer than read timeouts."""
    activity = case.activity
    each = activity.provider_time(*PROVIDERS_PART)
    slower = is_slower(case)
    silent = activity.timeouts.get("read", 0)
    gives_up = silent >= READ_TIMEOUTS and silent >= READ_TIMEOUT_SHARE * activity.left
    requests = activity.sent + activity.held_now
    long = each >= LONG_ANSWER and requests >= CURRENT_REQUESTS
    if not (slower or gives_up or long):
        return None
    head, body = (seconds(activity.provider_time(phase)) for phase in PROVIDERS_PART)
    seen = [
        f"A request took {seconds(each)} of the provider's: {head} to the head, {body} reading on"
    ]
    if slower and case.baseline is not None:
        seen.append(
            f"before it was {seconds(case.baseline.provider_time_at_most(*PROVIDERS_PART))}"
        )
    if gives_up:
        seen.append(f"{silent} of {counted(activity.left, 'request')} ended in a read timeout")
    queued = activity.time("queued")
    if slower and waits(case):
        seen.append(
            f"requests queue ({percent(queued / activity.time())} of the time) since connections "
            f"are held for longer"
        )
    hurts = slower or gives_up
    return Finding(
        kind=Kind.SLOW_PROVIDER,
        severity=Severity.ERROR if gives_up else Severity.WARNING if slower else Severity.INFO,
        pool=case.label,
        observed="; ".join(seen) + ".",
        explanation=(
            "The time goes to waiting for the provider's bytes. It is slow, or the requests are "
            "others than before: a larger model, longer answers. Or this process gets too little "
            "processor time to read them."
            if hurts
            else "The answers take long. Reasoning models are silent for 300 to 700 s and nothing "
            "is wrong; if this is another model, the provider is slow."
        ),
        advice=(
            "Ask the provider's status page, and compare models. Stream, so that silence shows "
            "early; bound the read timeout; send less at a time or to a second provider. A larger "
            "pool does not help."
            if hurts
            else "Nothing, if the model reasons. Else compare with an earlier snapshot to see "
            "whether it has become slower."
        ),
    )


def pool_too_small(case: PoolCase) -> Finding | None:
    """Detect requests that queue although connections are not held longer than before."""
    maximum = case.maximum
    activity = case.activity
    if maximum is None or not waits(case) or is_slower(case):
        return None
    held = activity.time(*HELD)
    if activity.time("connecting") > CONNECTING_HOLDS * held:
        return None
    if holding.unread_now(case) > UNREAD_SHARE * held:
        return None  # may be a leak below the leak threshold
    timeouts = activity.timeouts.get("pool", 0)
    was_full = case.peak_active >= maximum or activity.period > PEAK_REMEMBERED
    if not (was_full or timeouts):
        return None
    sizing = _sizing(case, maximum)
    spent = activity.time()
    seen = (
        f"Requests queued for {percent(activity.time('queued') / spent if spent else 0)} of their "
        f"time for the {counted(maximum, 'connection')} of the pool"
    )
    if timeouts:
        seen += f", {counted(timeouts, 'pool timeout')}"
    if sizing is not None:
        seen += (
            f". {rate(sizing.arrival_rate)} arrived{_per_pool(case)} and held a connection for "
            f"{seconds(sizing.lease_time)}: on average {sizing.concurrency:.1f} connections at "
            f"once{_waiting(sizing)}, "
            + (
                f"and up to {sizing.size} in bursts"
                if sizing.burst
                else f"and {sizing.size} suffice 99% of the time"
            )
        )
    size = sizing.size if sizing is not None else 2 * maximum
    compared = (
        "and no longer than before"
        if case.baseline is not None and case.baseline.served >= BASELINE_REQUESTS
        else "as far as one can tell without an earlier snapshot"
    )
    return Finding(
        kind=Kind.POOL_TOO_SMALL,
        severity=Severity.ERROR if timeouts else Severity.WARNING,
        pool=case.label,
        observed=seen + ".",
        explanation="More requests come at a time than the pool has connections. They are not "
        "held for "
        f"longer than the answers take, {compared}: it is the pool's size.",
        advice=f"{advisor(case).allow(size)}.",
    )


def _waiting(sizing: Sizing) -> str:
    if sizing.cut_off:
        return " (queued requests excluded)"
    return " (queued requests included)" if sizing.concurrency > sizing.offered else ""


def _pools(case: PoolCase) -> int:
    """Return how many live pools share the load, at least 1. Pools that are gone are unknown."""
    return max(1, len(case.pools))


def _per_pool(case: PoolCase) -> str:
    return " per pool" if _pools(case) > 1 else ""


def _sizing(case: PoolCase, maximum: int) -> Sizing | None:
    activity = case.activity
    pools = _pools(case)
    period = activity.period
    return required_size(
        arrived=-(-activity.first_attempts // pools),
        given_up=activity.given_up_waiting / max(activity.first_attempts, 1),
        period=period,
        lease_time=activity.lease_time,
        in_pool=activity.time() / period / pools if period > 0 else 0.0,
        in_pool_now=(activity.held_now + case.queued_now) // pools,
        peak=-(-(case.peak_active + case.peak_queued) // pools),
        maximum=maximum,
    )


def pool_saturated(case: PoolCase) -> Finding | None:
    """Detect requests that wait now for a pool that is at its limit."""
    full = [pool for pool in case.pools if _is_full(pool)]
    if not full:
        return None
    waiting = [r for pool in full for r in pool.requests if r.phase == "queued"]
    longest = max(request.phase_age for request in waiting)
    busy = sum(pool.active + pool.connecting for pool in full)
    maximum = sum(pool.max_connections or 0 for pool in full)
    holders = Counter(r.phase for pool in full for r in pool.requests if r.held is not None)
    held = ", ".join(f"{count} {phase}" for phase, count in holders.most_common())
    timeouts = case.activity.timeouts.get("pool", 0)
    lasts = longest >= WAIT_NOTICED
    return Finding(
        kind=Kind.POOL_SATURATED,
        severity=Severity.ERROR if timeouts else Severity.WARNING if lasts else Severity.INFO,
        pool=case.label,
        observed=f"{busy} of {counted(maximum, 'connection')} in use and "
        f"{counted(len(waiting), 'request')} queued, the longest for {seconds(longest)}"
        + (f"; held by requests that are {held}." if held else "."),
        explanation=f"{'The pool is at its limit' if busy >= maximum else 'Requests are stuck'} "
        "at this "
        "moment. That is a state and not yet a cause: a burst, a slow provider, a leak and a pool "
        "that is too small all look like it.",
        advice="Take another snapshot in a minute and compare: diagnose(snapshot, previous) tells "
        "which it is.",
    )


def _is_full(pool: PoolSnapshot) -> bool:
    """Return whether requests queue at the limit, or have queued so long that they are stuck.

    Below the limit only the latter counts: httpcore 1.0 can have an idle connection for a moment
    while requests queue.
    """
    if pool.max_connections is None:
        return False
    longest = max((r.phase_age for r in pool.requests if r.phase == "queued"), default=0.0)
    full = pool.active + pool.connecting >= pool.max_connections
    return longest >= STUCK_AFTER or (pool.queued > 0 and full)


def anomaly(case: PoolCase, *, loop_is_blocked: bool) -> Finding | None:
    """Detect states that a pool should never be in."""
    found = {kind: count for kind, count in case.activity.anomalies.items() if count > 0}
    if not found:
        return None
    return Finding(
        kind=Kind.ANOMALY,
        # A blocked loop can make a sound pool look wrong.
        severity=Severity.INFO if loop_is_blocked else Severity.WARNING,
        pool=case.label,
        observed=", ".join(f"{kind} {count}" for kind, count in found.items()) + ".",
        explanation="; ".join(f"{kind}: {_ANOMALIES.get(kind, 'not known here')}" for kind in found)
        + ". These are faults in the pool itself, not in the application.",
        advice=f"Update {_core(case)}, and look for the fault in its tracker. Until then, renew "
        "the "
        "client when it happens.",
    )


def _core(case: PoolCase) -> str:
    return {"httpx": "httpx and httpcore", "httpx2": "httpx2 and httpcore2"}.get(
        case.library, "the HTTP library"
    )
