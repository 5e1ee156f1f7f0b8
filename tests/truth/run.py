"""A library in a mode, under load for some steps or seconds."""

from __future__ import annotations

import gc
import time

from .comparing import compare, wait_for
from .measures import Measures
from .pools import make
from .rounds import check_ledger, enter, finish, held_round, let_expire
from .world import HTTP2, World

MODES = {
    "httpx": ("sync", "asyncio", "trio"),
    "httpx2": ("sync", "asyncio", "trio"),
    "aiohttp": ("asyncio",),
    "urllib3": ("sync",),
}


def run(
    library: str,
    mode: str,
    *,
    seed: int,
    measures: Measures,
    seconds: float = 0.0,
    generations: int | None = None,
) -> None:
    """Put pools under load, generation by generation, for so long or so many.

    Raises MismatchError where something was told that is not so.
    """
    deadline = time.monotonic() + seconds
    with World.start(library, mode, seed, measures) as world:
        number = 0
        while number < generations if generations else time.monotonic() < deadline:
            number += 1
            generation(world, number)
        told_of_times(world)


def generation(world: World, number: int) -> None:
    """One or two pools from their first request to their end."""
    chance = world.begin(f"{number}.0")
    http2 = None
    if world.library.name in HTTP2 and chance.random() < 0.25:
        http2 = chance.choice(("http2", "http2 cleartext"))
    world.pools = [
        make(world.library, world.runner, world.origins, chance, http2)
        for _ in range(1 if http2 else chance.randint(1, 2))
    ]
    for step in range(1, chance.randint(3, 6)):
        chance = world.begin(f"{number}.{step}")
        held_round(world)
        idle(world)
    world.check_sockets()
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
        world.measures.faults[f"idle connections {'reset' if reset else 'closed'} by the server"] += 1
        compare(world)


def end(world: World) -> None:
    """Close the pools, or drop them."""
    for pool in world.pools:
        pool.under_test.close()
    now = time.monotonic()
    for pool in world.pools:
        # What was abandoned in it ends with the pool's last reference.
        pool.under_test.forget()
        world.runner.pools.remove(pool.under_test)
    world.pools = []
    for request in world.under_way:
        request.is_held_for_ever = False
        request.pool_was_closed = True
        request.ended = now
        enter(world, request)
    world.under_way = []
    for _ in range(3):
        gc.collect()
    check_ledger(world)
    compare(world)


def told_of_times(world: World) -> None:
    """The time of all phases is what clients measured around the library's own calls."""
