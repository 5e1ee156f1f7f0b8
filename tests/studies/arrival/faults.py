"""Faults of the pool itself, done to the real one: httpcore has had bugs of each kind."""

from __future__ import annotations

import asyncio
import importlib
from typing import Any

from .calling import LONG, Client, until_phase

_SHORT = 0.2


async def lose_connection(client: Client) -> None:
    """Its request is over, and the pool takes it for active."""
    stream = await client.open("stall")
    (connection,) = client.pool.connections

    async def nothing() -> None:
        pass

    connection._connection._response_closed = nothing
    await stream.aclose()


async def lose_wake_up(client: Client) -> asyncio.Task[str]:
    """A connection is given back, and nobody tells the request that waits for it."""
    await client.ask("quick")
    holder = asyncio.create_task(client.ask("late"))
    await until_phase(client.name, "awaiting_response")
    waiter = asyncio.create_task(client.ask("quick", timeout=client.timeout(pool=LONG)))
    await until_phase(client.name, "queued")
    pool = client.pool

    def skipped() -> list[Any]:
        del pool._assign_requests_to_connections
        return []

    pool._assign_requests_to_connections = skipped
    await holder
    return waiter


async def lose_timeout(client: Client) -> asyncio.Task[str]:
    """A request waits on, far beyond its pool timeout. The pool must be full already."""
    core = type(client.pool).__module__.partition(".")[0]
    event = importlib.import_module(f"{core}._synchronization").AsyncEvent
    original = event.wait
    event.wait = lambda self, timeout=None: original(self)
    try:
        waiter = asyncio.create_task(client.ask("quick", timeout=client.timeout(pool=_SHORT)))
        await until_phase(client.name, "queued", 2)  # the other one lost its wake-up
    finally:
        event.wait = original
    return waiter
