"""A library in a mode, under load for some steps or seconds."""

from __future__ import annotations

import gc
import time
from typing import Any

from .comparing import compare, settle
from .measures import Measures
from .pools import make
from .rounds import begin, check_ledger, check_times, enter, finish, held_round, let_expire, release
from .storms import storm
from .world import HTTP2, World

MODES = {
    "httpx": ("sync", "asyncio", "trio"),
    "httpx2": ("sync", "asyncio", "trio"),
    "aiohttp": ("asyncio",),
    "urllib3": ("sync",),
}


def run(library: str, mode: str, seconds: float, measures: Measures, **settings: Any) -> None:
    """Put pools under load, generation by generation, for so long.

    Raises MismatchError if something was reported that is not so.
    """
    deadline = time.monotonic() + seconds
    with World.start(library, mode, measures, **settings) as world:
        number = 0
        while time.monotonic() < deadline:
            number += 1
            generation(world, number)


def generation(world: World, number: int) -> None:
    """One or two pools from their first request to their end."""
    chance = world.begin(f"{number}.0")
    http2 = None
    if world.library.name in HTTP2 and chance.random() < 0.25:
        http2 = chance.choice(("http2", "http2 cleartext"))
    world.pools = [
        make(world.library, world.runner, world.context, chance, http2)
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
    """Do something to the idle connections, and compare."""
    chance = world.chance
    dice = chance.random()
    if dice < 0.2:
        let_expire(world)
    elif dice < 0.6:
        origin = world.origins.by_kind[chance.choice(("plain", "another plain", "tls"))]
        reset = chance.random() < 0.4
        if any(request.origin is origin for request in world.under_way):
            return
        assert origin.server is not None
        origin.server.hang_up(reset=reset)
        world.measures.faults[
            f"idle connections {'reset' if reset else 'closed'} by the server"
        ] += 1
        compare(world)


def end(world: World) -> None:
    """Close the pools, idle or with requests under way, or drop them without closing."""
    how = world.chance.choice(("closed", "closed", "closed under requests", "dropped"))
    if world.library.name in HTTP2 and world.pools[0].http2 and how == "closed under requests":
        how = "closed"  # streams that are broken off lock httpcore up by themselves
    world.measures.faults[f"pool {how}"] += 1
    if how == "closed under requests":
        close_under_requests(world)
    begun = time.monotonic()
    for pool in world.pools:
        if how != "dropped":
            pool.under_test.close()
        # What was abandoned in it ends with the pool's last reference.
        pool.under_test.forget()
        world.runner.pools.remove(pool.under_test)
    world.pools = []
    for request in world.under_way:
        request.forget_error()
    world.this_round = []  # urllib3's exceptions know their pool
    for _ in range(3):
        gc.collect()
    ended = time.monotonic()
    world.unknown_seconds += (ended - begun) * len(world.under_way)
    for request in world.under_way:
        request.is_held_for_ever = False
        request.pool_was_closed = True
        request.ended = ended
        enter(world, request)
    world.under_way = []
    check_ledger(world)
    compare(world)
    check_times(world)


def close_under_requests(world: World) -> None:
    """Close pools in whose every phase there is a request, and see that each ends once."""
    begin(world, world.crowd * world.chance.randint(3, 8), patient=False)
    settle(world)
    compare(world)
    for request in world.under_way:
        request.pool_was_closed = not request.is_over or request.is_held_for_ever
    for pool in world.pools:
        pool.under_test.close()
    for request in world.under_way:
        if request.is_over:
            continue
        if request.phase == "reading" and world.library.name == "aiohttp":
            request.exchange.cancel()  # who reads from a connector that was closed reads for ever
        else:
            release(request)
    finish(world, look=False)
