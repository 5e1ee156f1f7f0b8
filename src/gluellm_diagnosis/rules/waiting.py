"""Rules: requests that wait for connections, and whether the pool is too small."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from operator import itemgetter
from statistics import median
from typing import Any

from opentelemetry.instrumentation.gluellm import thresholds
from opentelemetry.instrumentation.gluellm.snapshots.parts import (
    Answer,
    Group,
    PoolSnapshot,
    RequestSnapshot,
    number_of,
)
from opentelemetry.instrumentation.gluellm.text import (
    counted,
    one_line,
    percent,
    period_text,
    rate,
    seconds,
)

from ..case import HELD, PoolCase
from ..changes import took
from ..findings import Finding, Kind, caller_text
from ..littles_law import poisson_quantile
from ..replay import Recording, recording_of
from ..severity import severity
from .holding import likely_leak, unread_now

_ANOMALIES = {
    "waiter_with_idle_connection": "a request waits although an idle connection could serve it",
    "orphaned_connection": "a connection counts against the limit although no request has it; a "
    "cancellation at the wrong moment causes that",
    "pool_timeout_overrun": "a request waits for longer than its own pool timeout",
}

_MAY_QUEUE = ("pool_timeout", "cancelled")
"""Errors of requests that can have left the queue without a connection."""


def pool_too_small(case: PoolCase, *, slow_connecting: bool) -> Finding | None:
    """Detect requests that queue although connections are not held longer than before.

    Also detects a queue at the limit for each origin. A replay gives the size to advise.
    """
    whole, case = case, case.of_limited_origin
    maximum = case.maximum
    activity = case.activity
    if maximum is None or not case.queue_matters:
        return None
    held = activity.time(*HELD)
    most = thresholds.CONNECTING_HURTS if slow_connecting else thresholds.CONNECTING_HOLDS
    if activity.time("connecting") > most * held:
        return None
    if unread_now(case) > thresholds.UNREAD_SHARE * held:
        return None  # may be a leak below the leak threshold
    timeouts = activity.number("timeout", "pool")
    was_full = case.totals.peak_active >= maximum or activity.period > thresholds.PEAK_REMEMBERED
    if not (was_full or timeouts):
        return None
    # With several pools, each origin can have one of its own.
    sharing = [] if len(case.pools) > 1 else [case] if case.origin else [*case.lately, case]
    slow, wait = _slow_origin(sharing)
    longest = max((pool.longest_wait for pool in case.pools), default=0.0)
    how = severity(failed=timeouts > 0, waited=longest, slower=True)
    if wait:
        return Finding(
            kind=Kind.ONE_CALLER,
            severity=how,
            observed=f"{slow} Other requests queued for {seconds(wait)} each; the pool allows "
            f"{counted(maximum, 'connection')}.",
            explanation="One slow origin takes nearly all of a pool that it shares with others.",
            advice=_own_client(case),
        )
    replayed, advice = _advice(whole, case)
    limit = "limit of connections to each origin" if case.origin else "pool"
    return Finding(
        kind=Kind.POOL_TOO_SMALL,
        severity=how,
        observed=" ".join(filter(None, (f"{_queueing(case)}.{replayed}", slow))),
        explanation=f"Connections are held only as long as the answers take, so the {limit} is too "
        "small for so many requests at once.",
        advice=f"{advice}.",
    )


def _queueing(case: PoolCase) -> str:
    """Return text on the queue, the load, and how long connections are held."""
    if full := _only_full(case):
        others = [pool for pool in case.pools if pool is not full]
        used, most = (sum(map(number, others)) for number in (_busy, _limit))
        return (
            f"Of {len(case.pools)} clients, one is full: {_busy(full)} of "
            f"{counted(_limit(full), 'connection')} in use, {counted(full.queued, 'request')} "
            f"queued, the longest for {seconds(full.longest_wait)}; the others use {used} of {most}"
        )
    activity, spent = case.activity, case.activity.time()
    share = percent(activity.time("queued") / spent if spent else 0)
    observed = (
        f"Requests{_to(case)} spent {share} of their time in the queue of the pool, which allows "
        f"{counted(case.maximum or 0, 'connection')}{' to each origin' if case.origin else ''}"
    )
    if timeouts := activity.number("timeout", "pool"):
        observed += f"; {timeouts} gave up waiting"
    if activity.period > 0:
        entered, sent = activity.number("entered"), activity.sent
        # The load may be over, and only its queue be left.
        how = "arrived" if entered >= sent else "left the queue"
        often = rate(max(entered, sent) / activity.period)
        each = seconds(activity.time(*HELD) / max(sent, activity.held_now, 1))
        observed += f". Requests {how} at {often} and held a connection for {each} on average"
    before = case.baseline
    if before is not None and before.served >= thresholds.BASELINE_REQUESTS:
        observed += f" (before: {seconds(before.time(*HELD) / before.sent)})"
    return observed


def _only_full(case: PoolCase) -> PoolSnapshot | None:
    """Return the only full pool of several of one name; None without one."""
    full = [pool for pool in case.pools if _is_full(pool)]
    return full[0] if len(full) == 1 < len(case.pools) else None


def _busy(pool: PoolSnapshot) -> int:
    return pool.active + pool.connecting


def _limit(pool: PoolSnapshot) -> int:
    return pool.max_connections or 0


def _to(case: PoolCase) -> str:
    """Return " to <origin>" if a case is about the limit of one origin, else an empty text."""
    return f" to {one_line(case.origin)}" if case.origin else ""


def _argument(case: PoolCase, size: int | str) -> str:
    """Return the name in aiohttp of the limit to raise to ``size``.

    If both limits are reached, the other one and its value precede the name.
    """
    if case.origin:
        return "limit_per_host"
    for pool in case.pools:
        most = max(Counter(c.origin for c in pool.connections).values(), default=0)
        if pool.max_connections_per_origin and most >= pool.max_connections_per_origin:
            return f"limit_per_host={size}, limit"
    return "limit"


def _advice(case: PoolCase, limited: PoolCase) -> tuple[str, str]:
    """Return what a replay of the period shows, and the advice: with a size if it shows one.

    In a short period, too few requests end. Then all that are recorded are replayed. ``limited`` is
    the part of the case whose limit is reached.
    """
    most, seen = thresholds.REPLAY_MOST, case.totals.origins
    recording: Recording | str = "only the pool whose requests queue longest is replayed"
    if full := _only_full(limited):
        at_once = _busy(full) + full.queued
        advice = case.advisor.allow(at_once, _argument(limited, at_once))
        return "", f"Use one client for all calls, or raise the limit of the full one. {advice}"
    if case.replay:
        recording = recording_of(case.pools, case.activity.period, seen=seen, most=most)
        if isinstance(recording, str):
            recording = recording_of(case.pools, seen=seen, most=most)
    if isinstance(recording, str):
        reason = recording
    elif size := recording.needed():
        now, then = recording.recorded, recording.replay(size)
        replayed = (
            f" Of the last {recording.size} requests, {now.brief('waited')}. In a replay with "
            f"{size} connections, {then.brief('would wait')}."
        )
        advice = case.advisor.allow(size, _argument(limited, size))
        # With pauses, callers do not look like a fixed number, and send more without a queue.
        if size < recording.at_once and now.waited >= thresholds.NEARLY_ALL:
            advice += f". If a fixed number of workers send the requests, allow {recording.at_once}"
        if size > recording.at_once:
            advice += f". If calls retry requests that gave up, {recording.at_once} may be enough"
        return replayed, advice
    else:
        reason = f"a replay of {counted(recording.size, 'request')} shows no queue"
    return "", f"{case.advisor.allow('N', _argument(limited, 'N'))}. No size is advised: {reason}"


def _slow_origin(cases: Iterable[PoolCase]) -> tuple[str, float]:
    """Return text on one slow origin that holds nearly all connections; empty if there is none.

    And how long requests to others queued, per request; 0 if that does not matter. Of the cases,
    the one with the longest wait counts.
    """
    found = []
    for case in cases:
        origins = case.activity.by_origin
        held: Any = Counter(
            {origin: sum(its["phase", phase] for phase in HELD) for origin, its in origins.items()}
        )
        sent: Any = Counter({origin: items["entered",] for origin, items in origins.items()})
        (slow, longest), *_ = held.most_common(1) or [("", 0)]
        others, requests = held.total() - longest, sent.total() - sent[slow]
        # Requests that queue, or gave up in the queue, have held nothing.
        ended: Any = Counter()
        for origin, its in origins.items():
            left = (item for item in its if item[0] == "left" and item[2] not in _MAY_QUEUE)
            ended[origin] = sum(its[item] for item in left)
        now = number_of(r for r in case.requests if r.origin == slow and r.held is not None)
        number, of_others = max(ended[slow], now), ended.total() - ended[slow]
        if (
            longest < thresholds.HOLDER_SHARE * held.total()
            # With most of the traffic, an origin holds most connections and is not the cause.
            or sent[slow] > thresholds.HOLDER_SHARE * sent.total()
            or longest * of_others < thresholds.SLOWER * others * number
            or not (number and of_others)
        ):
            continue
        queued = sum(its["phase", "queued"] for origin, its in origins.items() if origin != slow)
        least = max(thresholds.QUEUED_SHARE * (queued + others), thresholds.QUEUED_TIME * requests)
        wait = queued / requests if queued >= least else 0.0
        found.append((wait, slow, longest / held.total(), longest / number, others / of_others))
    if not found:
        return "", 0.0
    wait, slow, share, each, other = max(found, key=lambda one: one[0])
    text = f"Of the time that connections were held, requests to {one_line(slow)} took "
    text += f"{percent(share)}: {seconds(each)} each, other requests {seconds(other)}."
    return text, wait


def one_caller(case: PoolCase) -> Finding | None:
    """Detect one call site and model that hold nearly all connections while others queue.

    They hold most of them now, or held them for most of the time of the last minutes.
    """
    matters, case = case.queue_matters, case.of_limited_origin
    full = [pool for pool in case.pools if _is_full(pool)]
    pools = full or (list(case.pools) if matters else [])
    requests = [request for pool in pools for request in pool.requests]
    # Answers of other origins say nothing about a limit for each of them.
    groups = {request.group for request in requests}
    known = [a for a in case.answers if not case.origin or a.group in groups]
    whose, what = _holder(case, requests, known)
    others = [r for r in requests if r.phase == "queued" and r.group != whose]
    queued, longest = number_of(others), max((request.phase_age for request in others), default=0.0)
    waits = longest >= thresholds.WAIT_NOTICED or (matters and queued > 0)
    if not (what and waits) or likely_leak(pools):
        return None
    timed_out = case.activity.number("timeout", "pool") > 0
    observed = f"{what} calls{caller_text(*whose)}; {counted(queued, 'request')} of other callers "
    return Finding(
        kind=Kind.ONE_CALLER,
        severity=severity(failed=timed_out, waited=longest, slower=True),
        observed=f"{observed}queued, the longest for {seconds(longest)}.",
        explanation="One caller takes nearly all of the pool. A larger pool only gives it more.",
        advice=_own_client(case) + _others_need(case, whose[0], known, queued),
    )


def _holder(
    case: PoolCase, requests: Iterable[RequestSnapshot], known: Sequence[Answer]
) -> tuple[Group, str]:
    """Return the caller that holds nearly all connections, and text on that; empty without one."""
    now: Counter[Group] = Counter()
    times: dict[Group, float] = defaultdict(float)
    for answer in known:
        times[answer.group] += answer.number * took(answer)
    for request in requests:
        if request.held is not None:
            now[request.group] += request.number
            times[request.group] += request.number * request.held
    for held in (now, times) if len(known) >= thresholds.CURRENT_REQUESTS else (now,):
        who, most = max(held.items(), key=itemgetter(1), default=((None, None), 0))
        many = any(who) and 0 < thresholds.HOLDER_SHARE * sum(held.values()) <= most
        if many and _holds_longer(who, requests, known):
            if held is now:
                return who, f"{most} of {counted(now.total(), 'connection')}{_to(case)} are held by"
            share, period = percent(most / sum(times.values())), period_text(case.activity.period)
            return who, f"In the last {period}, {share} of the connections' time was taken by"
    return (None, None), ""


def _others_need(case: PoolCase, model: str | None, known: Sequence[Answer], queued: int) -> str:
    """Return text on how many connections the requests to other models need, if it is known."""
    answers = [answer for answer in known if answer.model != model]
    if not model or len(answers) < thresholds.CURRENT_REQUESTS:
        return ""
    each = sum(took(answer) for answer in answers) / len(answers)
    arrived = sum(answer.number for answer in answers) + queued
    size = poisson_quantile(arrived * each / max(case.recent, 1.0))
    return f" The others need about {counted(max(size, 1), 'connection')}."


def _own_client(case: PoolCase) -> str:
    semaphore = "threading" if case.synchronous else "asyncio"
    return f"Give it a client of its own, or limit its calls ({semaphore}.Semaphore)."


def _holds_longer(
    whose: Group, requests: Iterable[RequestSnapshot], answers: Sequence[Answer]
) -> bool:
    """Return whether one group holds connections for longer than the others, if that is known.

    With most of the traffic, it holds most connections and is not the cause.
    """
    held = [request for request in requests if request.held is not None]
    other = _holds(r for r in held if r.group != whose)
    other += [took(answer) for answer in answers if answer.group != whose]
    # The requests of this caller may have begun just now, all at once.
    its = median(_holds(r for r in held if r.group == whose) or [0.0])
    ended = [took(answer) for answer in answers if answer.group == whose]
    its = max(its, median(ended)) if ended else its
    return not other or its >= thresholds.SLOWER * median(other)


def pool_saturated(case: PoolCase) -> Finding | None:
    """Detect requests that wait now for a pool that is at its limit, or gave up if that leaks."""
    lately, case = case.lately[0], case.of_limited_origin
    full = [pool for pool in case.pools if _is_full(pool)]
    if not full and lately.queue_matters:
        full = [pool for pool in case.pools if _is_at_limit(pool) and likely_leak([pool])]
    if not full:
        return None
    queued = sum(pool.queued for pool in full)
    longest = max(pool.longest_wait for pool in full)
    busy, maximum = sum(map(_busy, full)), sum(map(_limit, full))
    observed = f"{busy} of {counted(maximum, 'connection')}{_to(case)} in use and "
    observed += f"{counted(queued, 'request')} queued"
    if queued:
        observed += f", the longest for {seconds(longest)}"
    if held := _phases_of_holders(full):
        observed += f"; requests that hold connections: {held}"
    full_or_stuck = "The pool is at its limit" if busy >= maximum else "Requests are stuck"
    command = watch_command(case.process.pid)
    explanation = f"{full_or_stuck} at this moment. It is not known yet why: a burst, a slow "
    explanation += "provider, a leak, a small pool."
    advice = f"Watch the program for a minute to find the cause: {command}"
    if leak := likely_leak(full):
        after = thresholds.LIKELY_LEAK_AFTER
        explanation = f"Likely a leak. Answers unread over {after:g} s: {leak}."
        advice = f"{case.advisor.end_answers()}. To confirm, watch it for a minute: {command}"
    timed_out = case.activity.number("timeout", "pool") > 0
    return Finding(
        kind=Kind.POOL_SATURATED,
        severity=severity(
            failed=timed_out, waited=longest, slower=longest >= thresholds.WAIT_NOTICED
        ),
        observed=f"{observed}.",
        explanation=explanation,
        advice=advice,
    )


def _phases_of_holders(pools: Iterable[PoolSnapshot]) -> str:
    holders: Counter[str] = Counter()
    for pool in pools:
        for request in pool.requests:
            holders[request.phase] += request.number if request.held is not None else 0
    return ", ".join(f"{count} {phase}" for phase, count in (+holders).most_common())


def _holds(held: Iterable[RequestSnapshot]) -> list[float]:
    """Return for how long each of these requests has held its connection."""
    return [request.held or 0.0 for request in held for _ in request.alike]


def watch_command(pid: int) -> str:
    """Return the command that reports on a minute of a running process."""
    return f"gluellm-pools doctor --pid {pid} --for 60"


def _is_full(pool: PoolSnapshot) -> bool:
    """Return whether requests queue at the limit, or have queued so long that they are stuck.

    Below the limit only the latter counts: httpcore 1.0 can have an idle connection for a moment
    while requests queue.
    """
    if pool.max_connections is None:
        return False
    return pool.longest_wait >= thresholds.STUCK_AFTER or (pool.queued > 0 and _is_at_limit(pool))


def _is_at_limit(pool: PoolSnapshot) -> bool:
    return _busy(pool) >= (pool.max_connections or math.inf)


def slots_are_lost(case: PoolCase) -> bool:
    """Return whether orphaned connections take much of the limit while requests queue."""
    held = number_of(request for request in case.requests if request.held is not None)
    unowned = sum(pool.active + pool.connecting for pool in case.pools) - held
    # The counted connections may be of a client that was replaced since.
    lost = min(case.activity.number("anomaly", "orphaned_connection"), unowned)
    queues = case.queued_now > 0 or case.queue_matters
    return queues and lost > 0 and lost >= thresholds.SLOTS_LOST * (case.maximum or math.inf)


def anomaly(case: PoolCase) -> Finding | None:
    """Detect states that a pool should never be in."""
    found = {kind: count for kind, count in case.activity.named("anomaly").items() if count > 0}
    found.pop("wrong_event_loop", None)  # has a finding of its own
    if not found:
        return None
    observed = ", ".join(f"{kind} {count}" for kind, count in found.items())
    update = "Update the HTTP library (of httpx, also httpcore), and search its issue tracker."
    advice = f"{update} Until then, replace the client when it happens."
    # A blocked loop can make a sound pool look wrong.
    how = severity(threatens=not case.loop_is_blocked)
    if not case.loop_is_blocked and slots_are_lost(case):
        how = severity(stuck=True)
        observed += f" (the pool's limit is {case.maximum}), while requests queue"
        if case.totals.library == "httpx":
            update = "httpcore 1.0 loses them when requests are cancelled; httpx2 does not."
        advice = f"Replace the client now: the connections do not come back by themselves. {update}"
    return Finding(
        kind=Kind.ANOMALY,
        severity=how,
        observed=f"{observed}.",
        explanation="; ".join(f"{kind}: {_ANOMALIES.get(kind, 'not known here')}" for kind in found)
        + ". These are faults in the pool itself, not in the application.",
        advice=advice,
    )
