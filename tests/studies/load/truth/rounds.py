"""Rounds of a load: requests that are held, looked at, and let go of one by one."""

from __future__ import annotations

import gc
import time

from opentelemetry.instrumentation.gluellm.telemetry import semconv
from studies.load.collection import Collection
from support.script import Failure

from .comparing import SHORT, compare, settle, wait_for
from .endings import row_of
from .plans import plan
from .requests import UNSEEN, Request
from .world import HTTP2, World

LATE = 0.006
"""Seconds by request, in the mean, that the library's calls may last beyond what is reported."""

LATE_BY_PHASE = 0.05
"""The same where the server's clock parts two phases: it sees a request only when it has a turn."""

EARLY = 0.001
"""Seconds by request that may be reported beyond what its client measured around it."""


def held_round(world: World) -> None:
    """Send requests, and stop time after time to compare while all of them are held."""
    begin(world, world.crowd * world.chance.randint(4, 14))
    while any(not request.is_over for request in world.under_way):
        settle(world)
        compare(world)
        _act(world)
    finish(world)


def begin(world: World, number: int, *, patient: bool = True) -> None:
    """Send some random requests, with handshakes held; none waits for a pool that is closed."""
    world.origins.by_kind["held tls"].hold_handshakes()
    requests = [plan(world, world.chance.choice(world.pools)) for _ in range(number)]
    world.under_way += requests
    world.this_round = [*world.under_way]
    for request in requests if not patient else ():
        request.timeouts["pool"] = SHORT
    for request in requests:
        request.send()


def finish(world: World, *, look: bool = True) -> None:
    """Wait until all are over, and compare rows and what is left open."""
    world.origins.by_kind["held tls"].release_handshakes()
    for request in world.under_way:
        wait_for(world, lambda request=request: request.is_over, "all requests are over")  # type: ignore[misc]
    held = [request for request in world.under_way if request.is_held_for_ever]
    over = [request for request in world.under_way if not request.is_held_for_ever]
    for request in over:
        enter(world, request)
    world.under_way = held
    if look:
        check_ledger(world)
        compare(world)


def enter(world: World, request: Request) -> None:
    """Enter a request that has ended into the ledger."""
    row = row_of(request)
    request.forget_error()
    if any("unknown" in str(error) for _, error in row.requests):
        raise world.mismatch(f"what is this exception to the contract? {request}")
    world.ledger.add(row, may_be_established=_was_cut_in_a_set_up(request))
    world.measures.rows[row.name] += 1
    world.client_seconds += request.end - request.exchange.entered
    world.phase_seconds.update(request.times())


def _was_cut_in_a_set_up(request: Request) -> bool:
    """Whether the server may have established a connection that its client had just given up."""
    origin, cut = request.origin, request.exchange.left
    if origin.seen is None or request.phase != UNSEEN:
        return False
    # What a storm breaks off, its server may have had nearly done.
    return origin.kind != "held tls" or cut > origin.released_at


def check_ledger(world: World) -> None:
    """What was reported of all requests that have ended is what the table says."""
    seen = [origin.seen for origin in world.origins.by_kind.values() if origin.seen]
    reported: list[str] = []

    def agree() -> bool:
        answer = Collection(world.telemetry.reader)
        established = sum(timeline.established for timeline in seen)
        reported[:] = world.ledger.differences(answer, established, len(world.under_way))
        if reported:
            return False
        failures = answer.total(semconv.INSTRUMENTATION_ERRORS)
        dropped = answer.total(semconv.INSTRUMENTATION_DROPPED)
        if failures or dropped:
            raise world.mismatch(f"{failures:g} own failures, {dropped:g} records dropped")
        return True

    try:
        wait_for(world, agree, "the ledger")
    except AssertionError:
        raise world.mismatch("\n  ".join(["the rows differ", *reported])) from None
    world.measures.compared["rows of the outcome table"] += 1


def check_times(world: World) -> None:
    """The time of all phases is what clients measured around the library's own calls.

    And by phase it is the server's schedule's. Both take the clock a little before or after the
    library does, by as much as the machine lets a thread wait: ``world.slack`` says how busy it is.
    """
    reported, number = Collection(world.telemetry.reader).phases, world.ledger.requests
    allowed = number * world.slack
    before = sum(reported.pop(phase) for phase in ("queued", "connecting", "stream_queued"))
    reported["before it is sent"] = before
    whole, measured = sum(reported.values()), world.client_seconds
    measures = world.measures
    measures.compared["time of all phases"] += 1
    measures.deviate("time of all phases, in ms per request", abs(whole - measured) * 1e3 / number)
    measures.deviate("time of all phases, in per cent", abs(whole - measured) * 100 / measured)
    least = measured - LATE * allowed - world.unknown_seconds
    if not least < whole < measured + EARLY * allowed:
        raise world.mismatch(f"all phases: reported {whole:.3f} s, measured {measured:.3f} s")
    for phase, seconds in reported.items():
        expected = world.phase_seconds[phase]
        apart = abs(seconds - expected)
        measures.compared["time by phase"] += 1
        measures.deviate(f"time of {phase}, in ms per request", apart * 1000 / number)
        measures.deviate(f"time of {phase}, in per cent of the whole", apart * 100 / measured)
        if apart > LATE_BY_PHASE * allowed:
            raise world.mismatch(f"{phase}: reported {seconds:.3f}, scheduled {expected:.3f} s")


def _act(world: World) -> None:
    """Do something to some of the requests that are held."""
    chance = world.chance
    waiting = [request for request in world.under_way if not request.is_over]
    unseen = [request for request in waiting if request.phase == UNSEEN]
    if unseen and world.can_cancel and chance.random() < 0.4:
        cancel(world, chance.choice(unseen))  # first, while it is known where it is
    handshakes = world.origins.by_kind["held tls"]
    if handshakes.handshakes is not None and chance.random() < 0.4:
        handshakes.release_handshakes()
    served = [request for request in waiting if request.phase != UNSEEN]
    if not served:
        handshakes.release_handshakes()
    for request in chance.sample(served, min(len(served), chance.randint(1, 4))):
        _act_on(world, request)


def _act_on(world: World, request: Request) -> None:
    chance = world.chance
    if world.can_cancel and chance.random() < 0.15 and not request.pool.http2:
        cancel(world, request)
        return
    if request.phase != "unread":
        release(request)
        return
    choice = chance.random()
    if choice < 0.35:
        request.exchange.close()
        world.measures.faults["closed unread"] += 1
        _open(request)
    elif choice < 0.5 and _may_be_abandoned(world, request):
        abandon(world, request)
    elif choice < 0.65 and not request.pool.http2 and not request.has_chunk:
        request.has_chunk = True
        request.exchange.chunk()
    else:
        release(request)


def release(request: Request) -> None:
    """Let the server go on, and the client read to the end."""
    _open(request)
    if request.reading is None:
        request.read_from = time.monotonic()
        request.reading = request.exchange.begin_read()


def _open(request: Request) -> None:
    if request.gate is not None:
        request.gate.open()


def cancel(world: World, request: Request) -> None:
    """Cancel it, whatever it does."""
    phase = request.phase
    if phase == UNSEEN:
        phase = "stream_queued" if request.pool.http2 else "queued"
        if connecting := world.truth().connecting[request.origin.port]:
            there = (r for r in world.under_way if r.origin is request.origin and not r.is_over)
            if connecting < sum(other.phase == UNSEEN for other in there):
                return  # it may be queued or connecting
            phase = "connecting"
            # Where a handshake fails, httpcore closes its socket; where it is cancelled, it leaves
            # that to the garbage collector (httpcore 1.0.9 and httpcore2 2.16.2, ``start_tls`` of
            # AnyIOStream and TrioStream: ``except Exception``). It belongs to no connection.
            known = "sockets of cancelled handshakes, left to the garbage collector"
            world.measures.known[known] += world.library.name in HTTP2
    request.cancelled_in = phase
    world.measures.faults[f"cancelled in {phase}"] += 1
    request.exchange.cancel()
    request.forget_error()
    if phase == "connecting":
        gc.collect()
    _open(request)


def _may_be_abandoned(world: World, request: Request) -> bool:
    pool = request.pool
    if pool.http2 or request.reply.failure is not Failure.NONE:
        return False
    held = sum(request.is_held_for_ever for request in world.under_way if request.pool is pool)
    return held + pool.lost.total() < pool.limit - 1


def abandon(world: World, request: Request) -> None:
    """Drop the response, and see that the garbage collector has been there."""
    library = world.library.name
    world.measures.faults["abandoned"] += 1
    request.abandoned = True
    request.exchange.abandon()
    for _ in range(2):
        gc.collect()
    if library == "urllib3":
        # Its finalizer closes the response, and a response that was only closed leaves its place
        # in a full pool taken. A reader that has begun gives it back as it is closed.
        request.pool.lost[request.pool.group(request.origin)] += not request.has_chunk
    elif library == "aiohttp":
        # Its loop holds the response until the server is done.
        _open(request)
        wait_for(world, lambda: request.seen_at("body_end") is not None, "the server is done")
        request.ended = request.seen_at("body_end")
    elif library == "httpx2" and request.has_chunk:
        # httpcore2 2.16.2 closes the connection of a bare pool's reader that was dropped, and goes
        # on listing its request; httpcore, and whole clients of both, let go of it.
        request.is_held_for_ever, request.has_place = True, False
        world.measures.known["requests that httpcore2 lists though their reader was dropped"] += 1
    elif not request.has_chunk:
        # httpcore holds what nobody has begun to read for as long as the pool is there.
        request.is_held_for_ever = True


def let_expire(world: World) -> None:
    """Wait past a short expiry of idle connections, and compare."""
    time.sleep(0.07)
    compare(world)
