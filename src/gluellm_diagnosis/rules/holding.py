"""Rules: connections held without progress: leaks, slow consumers, stuck HTTP/2 streams."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter

from opentelemetry.instrumentation.gluellm import thresholds
from opentelemetry.instrumentation.gluellm.snapshots.parts import (
    PROVIDERS_PART,
    PoolSnapshot,
    RequestSnapshot,
    number_of,
)
from opentelemetry.instrumentation.gluellm.text import (
    call_site_text,
    counted,
    one_line,
    percent,
    seconds,
)

from ..case import HELD, PoolCase
from ..findings import Finding, Kind, Meaning
from ..littles_law import poisson_quantile
from ..severity import severity
from .process import lag_explains, waits_beyond_lag
from .timeouts import evidence_of

_MOST_CALL_SITES = 3
_SLOW_READER = (
    "The application is slower than the provider: it works between the chunks of an answer, or "
    "writes them to a slow client."
)
_LEFT_OPEN = (
    "The application stops reading, and closes the streams later, or the garbage collector does."
)
"""Why answers are unread for long, although not forever."""


def leaked_connections(case: PoolCase) -> Finding | None:
    """Detect connections that unread responses hold."""
    hurts = case.of_limited_origin.queue_matters
    held = _unread_where_leaked(case.requests)
    advice = f"{case.advisor.end_answers()}."
    if held:
        queue = ", and other requests queue" if hurts or case.queued_now else ""
        number = number_of(held)
        hurts |= number >= (case.maximum or number + 1)
        its = set(map(id, held))
        others = [r for r in case.requests if r.phase == "unread" and id(r) not in its]
        # The list of requests in the snapshot shows these as unread as well.
        oldest = seconds(max((request.phase_age for request in others), default=0.0))
        more = f"; {number_of(others)} more unread, but for at most {oldest}" if others else ""
        full = case.of_limited_origin
        full = full if {request.origin for request in held} == {full.origin} else case
        to = f" to {one_line(full.origin)}" if full.origin else ""
        observed = f"{_of_limit(number, full)}{to} held by unread answers: "
        observed += f"{_holders(held)}{more}."
        explanation = (
            "A streamed answer is neither read to its end nor closed. It keeps its "
            f"{_held(case)}, possibly forever{queue}."
        )
        if inner := _made_meanwhile(held, case):
            who = "".join(f" ({fact.shared})" for fact in evidence_of("", inner))
            explanation += (
                f" {counted(number_of(inner), 'request')}{who} queued just when answers became "
                "unread: if the code that reads a stream also makes these calls, each waits for "
                "the other."
            )
            advice = f"Close the stream before these calls, or use a second client. {advice}"
    elif case.activity.number("leaks") and not lag_explains(case, case.leak_threshold, 0.0):
        hurts = False
        observed = (
            f"Unread answers held {counted(case.activity.number('leaks'), _held(case))} for "
            f"{seconds(case.leak_threshold)} or more"
        )
        if site := case.totals.leaked_at:
            observed += f", the last one requested at {call_site_text(site)}"
        observed += ". None does now."
        explanation = "The program paused between reads, or the garbage collector closed streams."
    else:
        return None
    return Finding(
        kind=Kind.LEAK,
        severity=severity(stuck=hurts, threatens=True),
        observed=observed,
        explanation=explanation,
        advice=advice,
    )


def _unread_where_leaked(requests: list[RequestSnapshot]) -> list[RequestSnapshot]:
    """Return suspected leaks, and younger unread responses of the same call sites."""
    suspected = [request for request in requests if request.leak_suspected]
    call_sites = {request.call_site for request in suspected} - {None}
    after = thresholds.LIKELY_LEAK_AFTER
    younger = [
        r for r in requests if r.phase == "unread" and r.phase_age >= after and not r.leak_suspected
    ]
    return suspected + [request for request in younger if request.call_site in call_sites]


def _made_meanwhile(held: list[RequestSnapshot], case: PoolCase) -> list[RequestSnapshot]:
    """Return queued requests that the readers of most of these answers seem to have made.

    Each is of the same trace, or of another call site and began just after an answer was unread.
    """

    traces = {by.trace_id for by in held} - {None}
    ages: dict[str | None, list[float]] = {}
    for by in sorted(held, key=lambda request: request.phase_age):
        ages.setdefault(by.call_site, []).append(by.phase_age)

    def made(one: RequestSnapshot, its: list[float]) -> bool:
        at = bisect_left(its, one.phase_age)
        return at < len(its) and its[at] - one.phase_age <= thresholds.MADE_MEANWHILE

    inner = [
        one
        for one in case.requests
        if one.phase == "queued"
        and (
            one.trace_id in traces
            or any(made(one, its) for site, its in ages.items() if site != one.call_site)
        )
    ]
    return inner if number_of(inner) > max(1, number_of(held) / 2) else []


def likely_leak(pools: list[PoolSnapshot]) -> str | None:
    """Return text on the call site that likely leaks, if unread responses there hold most."""
    held = [request for pool in pools for request in pool.requests if request.held is not None]
    after = thresholds.LIKELY_LEAK_AFTER
    unread = [r for r in held if r.phase == "unread" and r.phase_age >= after and r.call_site]
    sites: Counter[str | None] = Counter()
    for request in unread:
        sites[request.call_site] += request.number
    for call_site, count in sites.most_common(1):
        if count >= thresholds.LIKELY_LEAK_SHARE * number_of(held):
            return _holders([request for request in unread if request.call_site == call_site])
    return None


def _held(case: PoolCase) -> str:
    """Return what a response holds. On a gRPC channel it has no connection of its own."""
    return "stream" if case.totals.library == "grpc" else "connection"


def _of_limit(held: int, case: PoolCase) -> str:
    if case.maximum and len(case.pools) == 1:
        return f"{held} of {counted(case.maximum, 'connection')}"
    return counted(held, _held(case))


def _holders(held: list[RequestSnapshot]) -> str:
    """Return text on the holders by call site: number, provider, model, age and trace."""
    groups: dict[tuple[str | None, ...], list[RequestSnapshot]] = {}
    for request in held:
        groups.setdefault((request.provider, *request.group), []).append(request)
    texts = []
    ordered = sorted(groups.items(), key=lambda group: -number_of(group[1]))
    for (provider, model, call_site), requests in ordered[:_MOST_CALL_SITES]:
        oldest = max(requests, key=lambda r: r.phase_age)
        where = call_site_text(call_site) if call_site else "an unknown call site"
        number = number_of(requests)
        several = "the oldest " if number > 1 else ""
        details = [f"{several}unread for {seconds(oldest.phase_age)}"]
        named = (("provider", provider), ("model", model), ("trace", oldest.trace_id))
        details += [f"{name} {one_line(value)}" for name, value in named if value]
        texts.append(f"{number} requested at {where} ({', '.join(details)})")
    if len(groups) > _MOST_CALL_SITES:
        texts.append(f"and {counted(len(groups) - _MOST_CALL_SITES, 'more call site')}")
    return "; ".join(texts)


def unread_now(case: PoolCase) -> float:
    """Return how long responses that are unread now have been unread, within the period."""
    return sum(
        request.number * min(request.phase_age, case.activity.period)
        for request in case.requests
        if request.phase == "unread"
    )


def slow_consumer(case: PoolCase) -> Finding | None:
    """Detect an application that takes long between the reads of a response.

    Responses that are unread now are excluded: they may be leaks below the leak threshold.
    """
    activity = case.activity
    running = unread_now(case)
    unread = activity.time("unread") - running
    held = activity.time(*HELD) - running
    requests = activity.sent + activity.held_now
    if held <= 0 or not thresholds.consumes_slowly(unread, held, requests):
        return None
    unread_requests = (request for request in case.requests if request.phase == "unread")
    queue = "a queue.Queue" if case.synchronous else "an asyncio.Queue"
    end, explanation = "were read in the end", _SLOW_READER
    advice = f"Read the answer at once, into {queue} or a list, and process it outside the loop."
    if 2 * activity.named("closed")["response_incomplete"] > activity.served:
        end, explanation = "were mostly closed before their end", _LEFT_OPEN
        advice = f"{case.advisor.end_answers()}."
    return Finding(
        kind=Kind.SLOW_CONSUMER,
        severity=severity(slower=True),
        observed=f"Answers were unread for {percent(unread / held)} of the time that connections "
        f"were held, {seconds(unread / requests)} per request, and {end}.",
        explanation=explanation,
        advice=advice,
        evidence=evidence_of("The answers that are unread now", unread_requests),
    )


class _Streams:
    """HTTP/2 streams of a pool: taken, orphaned, and as many as the peers allow."""

    def __init__(self, case: PoolCase) -> None:
        self.orphaned = self.full = self.taken = self.limit = 0
        limits: list[int] = []
        for connection in case.connections:
            if connection.protocol != "2" or connection.state == "connecting":
                continue
            lost, most = connection.streams_orphaned or 0, connection.streams_max or 0
            taken = (connection.streams_active or 0) + lost
            # If the limit is unknown, the share is of the open streams.
            if lost > 0 and lost >= thresholds.ORPHANED_SHARE * (most or taken):
                self.orphaned += lost
            self.full += 0 < most <= taken
            if connection.requests_served:  # before, the peer may not have named its limit
                limits.append(most)
            self.taken += taken
            self.limit += most
        self.lowest = max(min(limits, default=0), 1)
        before, lowest = case.totals.streams_most, min(limits, default=0)
        # Another origin can have another limit.
        one_origin = len({one.origin for one in case.totals.origins}) == 1
        self.lowered = ""
        """Text if the peer lowered its limit, else empty."""
        if 0 < lowest < before and one_origin:
            self.lowered = f"; the peer lowered its limit from {before} to {lowest} streams"


def stuck_streams(case: PoolCase) -> Finding | None:
    """Detect HTTP/2 streams that are taken but make no progress."""
    streams = _Streams(case)
    orphaned = streams.orphaned
    waits = [request for request in case.requests if request.phase == "stream_queued"]
    longest = max((request.phase_age for request in waits), default=0.0)
    queued, activity = case.activity.time("stream_queued"), case.activity
    requests = activity.left + activity.held_now
    costs = (
        queued >= thresholds.QUEUED_SHARE * activity.time()
        and queued >= thresholds.STREAM_QUEUED_TIME * requests
        and requests >= thresholds.QUEUED_REQUESTS
    )
    stuck = streams.full and longest >= thresholds.STREAM_WAIT
    late = case.loop_is_blocked and not waits_beyond_lag(case)
    if not orphaned and (late or not (stuck or (costs and (streams.full or streams.lowered)))):
        return None
    observed = f"{orphaned or streams.taken} of {streams.limit or streams.taken} HTTP/2 streams "
    observed += f"are {'orphaned' if orphaned else 'taken'}, on "
    observed += f"{counted(len(case.connections), 'connection')}{streams.lowered}"
    if waits:
        observed += f"; {counted(number_of(waits), 'request')} waiting for a stream"
        observed += f", the longest for {seconds(longest)}"
    severe = stuck or (orphaned and (waits or streams.full))
    explanation, advice = _why_stuck(case, streams)
    return Finding(
        kind=Kind.HTTP2_STUCK,
        severity=severity(stuck=bool(severe), threatens=True),
        observed=f"{observed}.",
        explanation=explanation,
        advice=advice,
    )


def _why_stuck(case: PoolCase, streams: _Streams) -> Meaning:
    size, http1 = without_http2(case)
    if streams.orphaned:
        return Meaning(
            "Cancelled requests were not reset, so their streams still count.",
            f"Use HTTP/1.1 with this provider: {http1}. Until then, let requests end instead of "
            "cancelling them, and replace the client when its streams are used up.",
        )
    clients = max(math.ceil(size / streams.lowest), 2)
    advice = f"Use HTTP/1.1: {http1}. Or spread the calls over {clients} clients."
    if streams.lowered:
        advice += " Ask the operator of the server or proxy why it allows fewer streams."
    return Meaning(
        "The connection carries as many requests as the server allows, and the library opens no "
        "second one. The wait for a stream has no timeout, and a larger pool does not help.",
        advice,
    )


def without_http2(case: PoolCase) -> tuple[int, str]:
    """Return how many requests the load has at a time, and how to send them over HTTP/1.1."""
    activity = case.activity
    each = activity.provider_time(*PROVIDERS_PART, at_most=True)
    size = poisson_quantile(activity.number("entered") / max(activity.period, 1.0) * each)
    return size, case.advisor.without_http2(case.maximum and max(case.maximum, size))
