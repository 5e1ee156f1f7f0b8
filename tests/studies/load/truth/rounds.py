"""Rounds of a load: requests are held, compared, and released one by one."""

import gc
import random
import time
from typing import Any

from opentelemetry.instrumentation.gluellm.telemetry import semconv
from studies.load.reading import Collection
from support.script import Failure

from .comparing import compare, settle, wait_for
from .outcomes import row_of
from .requests import UNSEEN, Pool, Request, plan
from .world import CONNECTING, HTTP2, Measures, World

MODES = {
    "httpx": ("sync", "asyncio", "trio"),
    "httpx2": ("sync", "asyncio", "trio"),
    "aiohttp": ("asyncio",),
    "urllib3": ("sync",),
}


STORM = {"served": 60, "broken": 22, "with an idle timeout": 10, "refused": 8}
"""Weights of the kinds of requests in a storm."""
LATE = 0.006
"""Seconds per request, on average, that the library's calls may last beyond what is reported."""

LATE_BY_PHASE = 0.05
"""`LATE` where the server's clock separates two phases: it sees a request only in its own turn."""

EARLY = 0.001
"""Seconds per request that may be reported beyond what its client measured around it."""


def held_round(world: World) -> None:
    """Send requests, and compare again and again while all of them are held."""
    world.origins["held tls"].hold_handshakes()
    number = world.crowd * world.chance.randint(4, 14)
    requests = [plan(world, world.chance.choice(world.pools)) for _ in range(number)]
    world.in_flight += requests
    world.this_round = [*world.in_flight]
    for request in requests:
        request.send()
    while any(not request.is_over for request in world.in_flight):
        settle(world)
        compare(world)
        _act(world)
    finish(world)


def finish(world: World) -> None:
    """Wait until all requests are over, and compare their rows and what is left open."""
    world.origins["held tls"].release_handshakes()
    for request in world.in_flight:
        wait_for(world, lambda request=request: request.is_over, "all requests are over")  # type: ignore[misc]
    for request in world.in_flight:
        if not request.is_held_for_ever:
            enter(world, request)
    world.in_flight = [request for request in world.in_flight if request.is_held_for_ever]
    check_ledger(world)
    compare(world)


def enter(world: World, request: Request) -> None:
    """Add a request that has ended to the ledger."""
    row = row_of(request)
    request.forget_error()
    if any("unknown" in str(error) for _, error in row.requests):
        raise world.mismatch(f"no error type of the contract for this exception: {request}")
    # A server may have established a connection that its client, or a storm, had just given up.
    origin, unseen = request.origin, request.phase == UNSEEN
    released = origin.kind != "held tls" or request.exchange.left > origin.released_at
    cut = unseen and released and origin.seen is not None
    world.ledger.add(row, may_be_established=cut)
    world.measures.rows[row.name] += 1
    world.client_seconds += request.end - request.exchange.entered
    world.phase_seconds.update(request.times())


def check_ledger(world: World) -> None:
    """Check that the reports on all requests that have ended match the outcome table."""
    seen = [origin.seen for origin in world.origins.values() if origin.seen]
    reported: list[str] = []

    def agree() -> bool:
        answer = Collection(world.telemetry.reader)
        established = sum(timeline.established for timeline in seen)
        reported[:] = world.ledger.differences(answer, established, len(world.in_flight))
        for metric in (semconv.INSTRUMENTATION_ERRORS, semconv.INSTRUMENTATION_DROPPED):
            reported.extend([metric.name] if answer.total(metric) else [])
        return not reported

    try:
        wait_for(world, agree, "the ledger")
    except AssertionError:
        raise world.mismatch("\n  ".join(["the rows differ", *reported])) from None
    world.measures.compared["rows of the outcome table"] += 1


def check_times(world: World) -> None:
    """Check the time of all phases against what clients measured around the library's own calls.

    The time of each phase has to match the server's schedule. Both read the clock a little before
    or after the library does, by as much as the machine lets a thread wait: ``world.slack`` is how
    busy it is.
    """
    reported, number = Collection(world.telemetry.reader).phases(), world.ledger.requests
    allowed = number * world.slack
    before = sum(reported.pop(phase) for phase in ("queued", "connecting", "stream_queued"))
    reported["before it is sent"] = before
    whole, measured = sum(reported.values()), world.client_seconds
    measures = world.measures
    measures.compared["time of all phases"] += 1
    least = measured - LATE * allowed - world.unknown_seconds
    if not least < whole < measured + EARLY * allowed:
        raise world.mismatch(f"all phases: reported {whole:.3f} s, measured {measured:.3f} s")
    for phase, seconds in reported.items():
        expected = world.phase_seconds[phase]
        apart = abs(seconds - expected)
        measures.compared["time by phase"] += 1
        if apart > LATE_BY_PHASE * allowed:
            raise world.mismatch(f"{phase}: reported {seconds:.3f}, scheduled {expected:.3f} s")


def _act(world: World) -> None:
    """Act on some of the requests that are held."""
    chance = world.chance
    waiting = [request for request in world.in_flight if not request.is_over]
    unseen = [request for request in waiting if request.phase == UNSEEN]
    if unseen and world.can_cancel and chance.random() < 0.4:
        cancel(world, chance.choice(unseen))  # first, while its phase is known
    handshakes = world.origins["held tls"]
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
    choice = chance.random() if request.phase == "unread" else 1.0
    if choice < 0.35:
        request.exchange.close()
        world.measures.faults["closed unread"] += 1
        _open(request)
    elif choice < 0.5 and _may_be_abandoned(world, request):
        abandon(world, request)
    else:
        release(request)


def release(request: Request) -> None:
    """Let the server continue, and the client read to the end."""
    _open(request)
    if request.reading is None:
        request.read_from = time.monotonic()
        request.reading = request.exchange.begin_read()


def _open(request: Request) -> None:
    if request.gate is not None:
        request.gate.open()


def cancel(world: World, request: Request) -> None:
    """Cancel a request in any phase."""
    phase = request.phase
    if phase == UNSEEN:
        phase = "stream_queued" if request.pool.http2 else "queued"
        if connecting := world.truth()[CONNECTING][request.origin.port]:
            there = (r for r in world.in_flight if r.origin is request.origin and not r.is_over)
            if connecting < sum(other.phase == UNSEEN for other in there):
                return  # it may be queued or connecting
            phase = "connecting"
            # If a handshake fails, httpcore closes its socket; if it is cancelled, httpcore leaves
            # that to the garbage collector (httpcore 1.0.9 and httpcore2 2.16.2, ``start_tls`` of
            # AnyIOStream and TrioStream: ``except Exception``). The socket belongs to no
            # connection.
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
    held = sum(request.is_held_for_ever for request in world.in_flight if request.pool is pool)
    return held + pool.lost.total() < pool.limit - 1


def abandon(world: World, request: Request) -> None:
    """Drop the response without closing it, and collect garbage."""
    library = world.library.name
    world.measures.faults["abandoned"] += 1
    request.abandoned = True
    request.exchange.abandon()
    for _ in range(2):
        gc.collect()
    if library == "urllib3":
        # Its finalizer only closes the response, which never frees the connection in a pool that
        # blocks.
        request.pool.lost[request.pool.group(request.origin)] += 1
    elif library == "aiohttp":
        # Its loop holds the response until the server is done.
        _open(request)
        wait_for(world, lambda: request.seen_at("body_end") is not None, "the server is done")
        request.ended = request.seen_at("body_end")
    else:
        # httpcore keeps an unread response for the lifetime of the pool.
        request.is_held_for_ever = True


def storm(world: World) -> None:
    """Send requests with timeouts of milliseconds, cancel some, and let servers hang up."""
    chance = world.chance
    number = world.crowd * chance.randint(10, 30)
    requests = [_stormy(world, world.pools[0].http2) for _ in range(number)]
    world.in_flight += requests
    world.this_round = [*world.in_flight]
    for request in requests:
        request.send()
        if not request.reads:
            request.exchange._step("close")
        if chance.random() < 0.3:
            time.sleep(chance.random() * 0.004)
        _break_something(world, chance)
    while any(not request.is_over for request in world.in_flight) and chance.random() < 0.95:
        time.sleep(chance.random() * 0.004)
        _break_something(world, chance)
    finish(world)


def _stormy(world: World, http2: str | None) -> Request:
    chance = world.chance
    request = plan(world, chance.choice(world.pools), STORM, {"served": 1})
    request.reads = chance.random() < 0.85
    if chance.random() < 0.2:
        request.timeouts["pool"] = 0.001 + chance.random() * 0.02
    # On HTTP/2 each stream that is broken off keeps its slot, until the pool is stuck.
    if chance.random() < 0.15 and not http2:
        request.timeouts["read"] = 0.001 + chance.random() * 0.01
    if chance.random() < 0.1 and not request.timeouts:
        request.timeouts["connect"] = 0.001 + chance.random() * 0.01
    return request


def _break_something(world: World, chance: random.Random) -> None:
    http2 = world.pools[0].http2
    running = [request for request in world.in_flight if not request.is_over]
    dice = chance.random()
    if dice < 0.1 and running and world.can_cancel and not http2:
        request = chance.choice(running)
        if request.exchange.entered and not request.is_over:
            world.measures.faults["cancelled at any moment"] += 1
            request.cancelled_in = "anything"
            request.exchange.cancel()
            request.forget_error()
    elif dice < 0.15 and not http2:
        # On HTTP/2 a hang-up can lock up httpcore and httpcore2: requests wait for a connection
        # that never comes, with or without the instrumentation.
        origin = world.origins[chance.choice(("plain", "another plain", "tls"))]
        world.measures.faults["server hung up at any moment"] += 1
        origin.server.hang_up(reset=chance.random() < 0.5)


def run(library: str, mode: str, seconds: float, measures: Measures, **settings: Any) -> None:
    """Put pools under load, generation by generation, for ``seconds``.

    Raises MismatchError if a report is not true.
    """
    with World.start(library, mode, measures, **settings) as world:
        deadline = time.monotonic() + seconds
        number = 0
        while time.monotonic() < deadline:
            number += 1
            generation(world, number)


def generation(world: World, number: int) -> None:
    """Use one or two pools from their first request to their end."""
    chance = world.begin(f"{number}.0")
    http2 = None
    if world.library.name in HTTP2 and chance.random() < 0.25:
        http2 = chance.choice(("http2", "http2 cleartext"))
    world.pools = [
        Pool.make(world.library, world.runner, world.context, chance, http2)
        for _ in range(1 if http2 else chance.randint(1, 2))
    ]
    for step in range(1, chance.randint(3, 6)):
        chance = world.begin(f"{number}.{step}")
        if chance.random() < 0.3:
            storm(world)
        else:
            held_round(world)
        idle(world)
    world.begin(f"{number}.end")
    end(world)


def idle(world: World) -> None:
    """Act on the idle connections, and compare."""
    chance = world.chance
    dice = chance.random()
    if dice < 0.2:
        time.sleep(0.07)  # past a short expiry
        compare(world)
    elif dice < 0.6:
        origin = world.origins[chance.choice(("plain", "another plain", "tls"))]
        reset = chance.random() < 0.4
        if any(request.origin is origin for request in world.in_flight):
            return
        origin.server.hang_up(reset=reset)
        how = f"idle connections {'reset' if reset else 'closed'} by the server"
        world.measures.faults[how] += 1
        compare(world)


def end(world: World) -> None:
    """Close the pools, or drop them without closing."""
    how = world.chance.choice(("closed", "closed", "dropped"))
    world.measures.faults[f"pool {how}"] += 1
    begun = time.monotonic()
    for pool in world.pools:
        if how != "dropped":
            pool.under_test.close()
        # Abandoned requests end with the pool's last reference.
        pool.under_test.forget()
        world.runner.pools.remove(pool.under_test)
    world.pools = []
    for request in world.in_flight:
        request.forget_error()
    world.this_round = []  # urllib3's exceptions reference their pool
    for _ in range(3):
        gc.collect()
    ended = time.monotonic()
    world.unknown_seconds += (ended - begun) * len(world.in_flight)
    for request in world.in_flight:
        request.ended = ended
        enter(world, request)
    world.in_flight = []
    check_ledger(world)
    compare(world)
    check_times(world)
