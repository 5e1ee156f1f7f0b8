"""Storms: requests that nothing holds, broken off at any moment; looked at when it is over."""

from __future__ import annotations

import random
import time

from .plans import plan
from .requests import Request
from .rounds import finish
from .world import World

_KINDS = {"served": 60, "broken": 22, "with an idle timeout": 10, "refused": 8}


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
    request = plan(world, chance.choice(world.pools), _KINDS, ("served",))
    request.reads = chance.random() < 0.85
    if chance.random() < 0.2:
        request.timeouts["pool"] = 0.001 + chance.random() * 0.02
    # On HTTP/2 a stream that is broken off keeps its place, until the pool is stuck.
    if chance.random() < 0.15 and not http2:
        request.timeouts["read"] = 0.001 + chance.random() * 0.01
    if chance.random() < 0.1 and not request.timeouts:
        request.timeouts["connect"] = 0.001 + chance.random() * 0.01
    return request


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
