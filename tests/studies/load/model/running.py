"""Machines for each library and mode."""

from __future__ import annotations

from .counting import Counts
from .machine import PoolLife
from .world import Surroundings

MACHINES = (
    ("httpx", "sync"),
    ("httpx", "asyncio"),
    ("httpx2", "sync"),
    ("httpx2", "asyncio"),
)


def machine(surroundings: Surroundings, library: str, mode: str, counts: Counts) -> type[PoolLife]:
    """A machine whose examples are counted in ``counts``."""
    return type(
        f"PoolLifeOf{library.capitalize()}In{mode.capitalize()}",
        (PoolLife,),
        {"surroundings": surroundings, "library": library, "mode": mode, "counts": counts},
    )
