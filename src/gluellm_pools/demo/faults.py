"""What applications do wrong, done on purpose beside an act's traffic."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from opentelemetry.instrumentation.gluellm import snapshot

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


@dataclass
class Fault:
    """One play of it; this one does nothing. Deadlines are values of ``time.monotonic``."""

    explains = False
    """Whether a pool timeout of now tells of what the fault does."""

    async def run(self, load: Load, deadline: float) -> None:
        """Do it until the deadline."""

    def is_noticed(self) -> bool:
        """Whether the instrumentation has told of it. The act goes on for a while until then."""
        return True

    async def clear(self, load: Load) -> None:
        """Undo what is left of it."""


@dataclass
class AbandonedStreams(Fault):
    """Streams that nobody reads, until they hold every connection of the pool."""

    streams: int = CONNECTIONS[OPENAI]
    every: float = _POLL
    begun: Sequence[bool] = (False, True)
    """Whether their reading begins, of one after the other."""
    _abandoned: list[Any] = field(default_factory=list)

    async def run(self, load: Load, deadline: float) -> None:
        ways = [self._break_off if begun else self._never_read for begun in self.begun]
        while time.monotonic() < deadline and len(self._abandoned) < self.streams:
            await load.call(OPENAI, ways[len(self._abandoned) % len(ways)])
            await asyncio.sleep(self.every)
        self.explains = len(self._abandoned) >= self.streams

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


class StuckStreams(Fault):
    """The provider hangs for a while over HTTP/2, callers give up, and their streams stay taken.

    A third of the time it answers, a third it hangs, and in the last it would answer again.
    """

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

    async def clear(self, load: Load) -> None:
        await load.close_client(HTTP2)


@dataclass
class BlockedLoop(Fault):
    """Work that belongs into a thread is done in the event loop, again and again."""

    blocks: tuple[float, float] = (_BLOCK, _BLOCK)
    free: tuple[float, float] = (_FREE, _FREE)
    work: Callable[[float], None] = time.sleep

    async def run(self, load: Load, deadline: float) -> None:
        del load
        while True:
            # First: a block harms nobody before there are requests.
            await asyncio.sleep(random.uniform(*self.free))
            self.work(random.uniform(*self.blocks))
            if time.monotonic() >= deadline:
                return


async def _ask(client: Any) -> None:
    await client.acompletion(model=MODEL, messages=MESSAGES)


async def _until(condition: Callable[[], bool]) -> None:
    """Wait for it, and go on without after a while."""
    given_up = time.monotonic() + _PATIENCE
    while not condition() and time.monotonic() < given_up:  # noqa: ASYNC110
        await asyncio.sleep(_POLL)
