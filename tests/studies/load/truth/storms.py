"""Storms: requests that nothing holds, broken off at any moment; looked at when it is over."""

from __future__ import annotations

import random
import time

from support.script import Failure, Reply

from .requests import Request
from .rounds import finish
from .world import World

_KINDS = ("plain", "plain", "another plain", "tls", "tls", "with an idle timeout", "refused")
_FAILURES = tuple(Failure)


def storm(world: World) -> None:
    """Send requests with timeouts of milliseconds, cancel some, let servers hang up."""
    chance = world.chance
    http2 = world.pools[0].http2
    requests = [_plan(world, http2) for _ in range(world.crowd * chance.randint(10, 30))]
    world.under_way += requests
    world.this_round = [*world.under_way]
    for request in requests:
        request.send()
        if not request.reads:
            request.exchange._step("close")
        if chance.random() < 0.3:
            time.sleep(chance.random() * 0.004)
        _break_something(world, chance)
    while any(not request.is_over for request in world.under_way) and chance.random() < 0.95:
        time.sleep(chance.random() * 0.004)
        _break_something(world, chance)
    finish(world)


def _plan(world: World, http2: str | None) -> Request:
    chance = world.chance
    pool = chance.choice(world.pools)
    world.number += 1
    origin = world.origins.by_kind[http2 or chance.choice(_KINDS)]
    request = Request(number=world.number, pool=pool, origin=origin)
    world.measures.requests[f"{world.library.name} {world.mode}"] += 1
    failure = chance.choice(_FAILURES) if chance.random() < 0.25 and not http2 else Failure.NONE
    if failure is not Failure.NONE:
        world.measures.faults[f"{failure}, in a storm"] += 1
    request.reply = Reply(
        head_after=_delay(chance),
        status=chance.choice((200, 200, 201, 404, 500)),
        chunks=tuple((_delay(chance), b"x" * 100) for _ in range(chance.randint(1, 3))),
        end_after=_delay(chance),
        failure=failure,
    )
    request.reads = chance.random() < 0.85
    if chance.random() < 0.2:
        request.timeouts["pool"] = 0.001 + chance.random() * 0.02
    # On HTTP/2 a stream that is broken off keeps its place, until the pool is stuck.
    if chance.random() < 0.15 and not http2:
        request.timeouts["read"] = 0.001 + chance.random() * 0.01
    if chance.random() < 0.1 and not request.timeouts:
        request.timeouts["connect"] = 0.001 + chance.random() * 0.01
    return request


def _delay(chance: random.Random) -> float:
    return chance.choice((0.0, 0.0, 0.001, 0.004))


def _break_something(world: World, chance: random.Random) -> None:
    http2 = world.pools[0].http2
    running = [request for request in world.under_way if not request.is_over]
    dice = chance.random()
    if dice < 0.1 and running and world.can_cancel and not http2:
        request = chance.choice(running)
        if request.exchange.entered and not request.is_over:
            world.measures.faults["cancelled at any moment"] += 1
            request.cancelled_in = "anything"
            request.exchange.cancel()
            request.forget_error()
    elif dice < 0.15 and not http2:
        # On HTTP/2 httpcore and httpcore2 lock up by themselves when that strikes: requests wait
        # for a connection that nobody gives them, with the instrumentation and without it.
        kind = chance.choice(("plain", "another plain", "tls"))
        server = world.origins.by_kind[kind].server
        assert server is not None
        world.measures.faults["server hung up at any moment"] += 1
        server.hang_up(reset=chance.random() < 0.5)
