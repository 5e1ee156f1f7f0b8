"""What applications do wrong, done on purpose beside an act's traffic."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from ... import snapshot
from .targets import CONNECTIONS, HTTP2, MAX_STREAMS, MESSAGES, MODEL, OPENAI, QUICK, SILENT

if TYPE_CHECKING:
    from .load import Load

_POLL = 0.02
_PATIENCE = 5.0
"""Seconds after which something that was to come is given up."""
_LONGEST_HANG = 3.0
"""Seconds; less than the client's own timeout, so that it is the callers who give up."""
_SHORTEST_WAIT = 0.1
"""Seconds in which those that wait for a stream get as far as its queue, on a busy machine too."""
_STREAM_CALLERS = 3
_STREAM_WAITERS = 2
_BLOCK, _FREE = 0.3, 0.2
"""Seconds in which the event loop stands still, and in which it runs."""


class Fault(Protocol):
    """One play of it. Deadlines are values of ``time.monotonic``."""

    explains: bool
    """Whether a pool timeout of now tells of what the fault does."""

    async def run(self, load: Load, deadline: float) -> None:
        """Do it until the deadline."""

    def is_noticed(self) -> bool:
        """Whether the instrumentation has told of it. The act goes on for a while until then."""

    async def clear(self, load: Load) -> None:
        """Undo what is left of it."""


class AbandonedStreams:
    """Streams that nobody reads, until they hold every connection of the pool."""

    def __init__(self) -> None:
        self.explains = False
        self._abandoned: list[Any] = []

    async def run(self, load: Load, deadline: float) -> None:
        ways = (self._never_read, self._break_off)
        wanted = CONNECTIONS[OPENAI]
        while time.monotonic() < deadline and len(self._abandoned) < wanted:
            await load.call(OPENAI, ways[len(self._abandoned) % 2])
            await asyncio.sleep(_POLL)
        self.explains = len(self._abandoned) >= wanted

    async def _never_read(self, client: Any) -> None:
        stream = await client.acompletion(model=MODEL, messages=MESSAGES, stream=True)
        self._abandoned.append(stream)

    async def _break_off(self, client: Any) -> None:
        stream = await client.acompletion(model=MODEL, messages=MESSAGES, stream=True)
        self._abandoned.append(stream)
        async for _ in stream:
            break

    def is_noticed(self) -> bool:
        return any(r.leak_suspected for pool in snapshot().pools for r in pool.requests)

    async def clear(self, load: Load) -> None:
        del load
        self.explains = False
        for stream in self._abandoned:
            await stream.aclose()
        self._abandoned.clear()


class StuckStreams:
    """The provider hangs for a while over HTTP/2, callers give up, and their streams stay taken.

    A third of the time it answers, a third it hangs, and in the last it would answer again.
    """

    explains = False

    async def run(self, load: Load, deadline: float) -> None:
        provider = load.providers[HTTP2]
        third = (deadline - time.monotonic()) / 3
        hung = deadline - third
        hangs = min(third, _LONGEST_HANG)
        await load.call_for(HTTP2, hung - hangs - time.monotonic(), _STREAM_CALLERS)
        provider.behaviour = SILENT
        arrived = provider.counts.requests
        limits: list[asyncio.Timeout] = []

        async def give_up(client: Any) -> None:
            async with asyncio.timeout(None) as limit:
                limits.append(limit)
                await _ask(client)

        async with asyncio.TaskGroup() as group:
            for _ in range(MAX_STREAMS):
                group.create_task(load.call(HTTP2, give_up))
            # Whoever gave up before its request has arrived would never have reached the provider,
            # and no metric tells these two apart.
            await _until(lambda: provider.counts.requests >= arrived + MAX_STREAMS)
            for _ in range(_STREAM_WAITERS):
                group.create_task(load.call(HTTP2, _ask))
            await asyncio.sleep(max(hung - time.monotonic(), _SHORTEST_WAIT))
            provider.behaviour = QUICK
            for limit in limits:
                limit.reschedule(asyncio.get_running_loop().time())
        await load.call_for(HTTP2, deadline - time.monotonic(), _STREAM_CALLERS)

    def is_noticed(self) -> bool:
        return True

    async def clear(self, load: Load) -> None:
        await load.close_client(HTTP2)


class BlockedLoop:
    """Work that belongs into a thread is done in the event loop, again and again."""

    explains = False

    async def run(self, load: Load, deadline: float) -> None:
        del load
        while True:
            await asyncio.sleep(_FREE)  # first: a block harms nobody before there are requests
            time.sleep(_BLOCK)  # noqa: ASYNC251
            if time.monotonic() >= deadline:
                return

    def is_noticed(self) -> bool:
        return True

    async def clear(self, load: Load) -> None:
        del load


async def _ask(client: Any) -> None:
    await client.acompletion(model=MODEL, messages=MESSAGES)


async def _until(condition: Callable[[], bool]) -> None:
    """Wait for it, and go on without after a while."""
    given_up = time.monotonic() + _PATIENCE
    while not condition() and time.monotonic() < given_up:  # noqa: ASYNC110
        await asyncio.sleep(_POLL)
