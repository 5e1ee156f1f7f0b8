"""Rules: connections held without progress: leaks, slow consumers, stuck HTTP/2 streams."""

from __future__ import annotations

from collections import Counter

from ...text import call_site_text, counted, one_line, percent, seconds
from ...thresholds import (
    ORPHANED_SHARE,
    STREAM_WAIT,
    UNREAD_REQUESTS,
    UNREAD_SHARE,
    UNREAD_TIME,
)
from ..advice.own_clients import own_client
from ..findings import Finding, Kind, Severity
from ..intervals import HELD, PoolCase
from ..parts import ConnectionSnapshot, RequestSnapshot
from .advising import advisor

_MOST_PLACES = 3


def leak(case: PoolCase, waits: bool) -> Finding | None:
    """Detect connections that unread responses hold; ``waits`` if requests queue for them."""
    held = [r for pool in case.pools for r in pool.requests if r.leak_suspected]
    if held:
        hurts = waits or len(held) >= (case.maximum or len(held) + 1)
        return Finding(
            kind=Kind.LEAK,
            severity=Severity.ERROR if hurts else Severity.WARNING,
            pool=case.label,
            observed=f"{_of_limit(len(held), case)} held by answers that nobody has "
            f"read for {seconds(case.leak_threshold)} or more: {_holders(held)}.",
            explanation="A streamed answer was abandoned before its end. It keeps its "
            f"{_held(case)}, some for ever, and requests queue for what is left.",
            advice=_leak_advice(case),
        )
    if case.activity.leaks:
        return Finding(
            kind=Kind.LEAK,
            severity=Severity.WARNING,
            pool=case.label,
            observed=f"{counted(case.activity.leaks, _held(case))} had been held unread for "
            f"{seconds(case.leak_threshold)} or more, and came back.",
            explanation="Streamed answers were left unread until the garbage collector found "
            "them, or "
            "their reader paused for long.",
            advice=_leak_advice(case),
        )
    return None


_LEAK_CURE = (
    "Read each stream to its end, or close it: {}(stream): ... around the loop, also where it may "
    "break, return or raise. Don't ask for a stream that is not read."
)
_ASYNC_CLOSING = "async with contextlib.aclosing"
_CALL_CURE = (
    "Read each stream to its end, or cancel its call, also where the loop may break, return or "
    "raise: grpc.aio keeps a call that nobody reads for ever, whether anybody refers to it or not."
)


def _leak_advice(case: PoolCase) -> str:
    """Return advice on what the call returned: any-llm's stream, or the library's response."""
    own = own_client(case.provider, case.library)
    if own is not None:
        return f"{own.end}."
    if case.library == "grpc":
        return _CALL_CURE
    return _LEAK_CURE.format("with contextlib.closing" if case.synchronous else _ASYNC_CLOSING)


def _held(case: PoolCase) -> str:
    """Return what a response holds. On a gRPC channel it has no connection of its own."""
    return "stream" if case.library == "grpc" else "connection"


def _of_limit(held: int, case: PoolCase) -> str:
    if case.maximum and len(case.pools) == 1:
        return f"{held} of {counted(case.maximum, 'connection')}"
    return counted(held, _held(case))


def _holders(held: list[RequestSnapshot]) -> str:
    """Return text on the holders by call site: number, provider, model, age and trace."""
    places = Counter((r.provider, r.model, r.call_site) for r in held)
    texts = []
    for (provider, model, call_site), count in places.most_common(_MOST_PLACES):
        requests = [
            r for r in held if (r.provider, r.model, r.call_site) == (provider, model, call_site)
        ]
        oldest = max(requests, key=lambda r: r.phase_age)
        what = "/".join(one_line(part) for part in (provider, model) if part)
        parts = [
            f"{count} x" if count > 1 else "",
            what,
            f"from {call_site_text(call_site)}" if call_site else "from an unknown place",
            f"(unread for {seconds(oldest.phase_age)}"
            + (f", trace {one_line(oldest.trace_id)})" if oldest.trace_id else ")"),
        ]
        texts.append(" ".join(part for part in parts if part))
    if len(places) > _MOST_PLACES:
        texts.append(f"and {counted(len(places) - _MOST_PLACES, 'more place')}")
    return "; ".join(texts)


def unread_now(case: PoolCase) -> float:
    """Return how long responses that are unread now have been unread, within the period."""
    return sum(
        min(request.phase_age, case.activity.period)
        for pool in case.pools
        for request in pool.requests
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
    if requests < UNREAD_REQUESTS or held <= 0:
        return None
    if unread < UNREAD_SHARE * held or unread < UNREAD_TIME * requests:
        return None
    queue = "a queue.Queue" if case.synchronous else "an asyncio.Queue"
    return Finding(
        kind=Kind.SLOW_CONSUMER,
        severity=Severity.WARNING,
        pool=case.label,
        observed=f"Answers lay unread for {percent(unread / held)} of the time that connections "
        "were "
        f"held, {seconds(unread / requests)} per request, and were read in the end.",
        explanation="The application is slower than the provider: it works between the chunks of "
        "an "
        "answer, or writes them to a slow client, and the connection waits with it.",
        advice=f"Read the answer at once, into {queue} or a list, and work on it outside the loop "
        "over the stream.",
    )


def http2_stuck(case: PoolCase, *, loop_is_blocked: bool) -> Finding | None:
    """Detect HTTP/2 streams that are taken but make no progress."""
    orphaned = full = streams = limit = 0
    for connection in _multiplexed(case):
        lost = connection.streams_orphaned or 0
        most = connection.streams_max or 0
        taken = (connection.streams_active or 0) + lost
        # If the limit is unknown, the share is of the open streams.
        if lost > 0 and lost >= ORPHANED_SHARE * (most or taken):
            orphaned += lost
        if most and taken >= most:
            full += 1
        streams += taken
        limit += most
    waiting = [r for pool in case.pools for r in pool.requests if r.phase == "stream_queued"]
    longest = max((request.phase_age for request in waiting), default=0.0)
    stands = bool(full) and longest >= STREAM_WAIT and not loop_is_blocked
    if not orphaned and not stands:
        return None
    plain = advisor(case).without_http2(case.maximum)
    queue = f"; {counted(len(waiting), 'request')} waiting for a stream, the longest for "
    seen = (
        f"{orphaned} of {limit or streams} HTTP/2 streams are orphaned"
        if orphaned
        else f"{streams} of {limit} HTTP/2 streams are taken"
    )
    open_connections = sum(len(pool.connections) for pool in case.pools)
    bound = f" of at most {case.maximum}" if case.maximum and len(case.pools) == 1 else ""
    seen += f", on {counted(open_connections, 'connection')}{bound}"
    return Finding(
        kind=Kind.HTTP2_STUCK,
        severity=Severity.ERROR if waiting or full else Severity.WARNING,
        pool=case.label,
        observed=seen + (queue + seconds(longest) if waiting else "") + ".",
        explanation=(
            "Cancelled requests gave no reset to the server, so it keeps their streams open and "
            "they count against the limit of the connection."
            if orphaned
            else "The connection carries as many requests as the server allows, and the library "
            "opens no second one. The wait for a stream has no timeout, and a larger pool does not "
            "help."
        ),
        advice=(
            f"Speak HTTP/1.1 to this provider: {plain}. Until then, rather "
            "let requests end than cancel them, and renew the client when streams are gone."
            if orphaned
            else f"Use several clients, or HTTP/1.1: {plain}."
        ),
    )


def _multiplexed(case: PoolCase) -> list[ConnectionSnapshot]:
    return [
        connection
        for pool in case.pools
        for connection in pool.connections
        if connection.protocol == "2" and connection.state != "connecting"
    ]
