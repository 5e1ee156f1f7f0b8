"""What applications do wrong, done on purpose beside an act's traffic."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from ..fake_provider import FakeProvider
from .targets import CONNECTIONS, HTTP2, MAX_STREAMS, MESSAGES, MODEL, OPENAI, QUICK, SILENT

_POLL = 0.02
_PATIENCE = 5.0
"""Seconds to wait for a request to arrive at the provider."""
_LONGEST_HANG = 3.0
"""Seconds; less than the client's own timeout, so that the callers give up first."""
_SHORTEST_WAIT = 0.1
"""Seconds in which waiting callers enter the queue for a stream, also on a busy machine."""
_STREAM_CALLERS = 3
_STREAM_WAITERS = 2
_BLOCK, _FREE = 0.3, 0.2
"""Seconds in which the event loop is blocked, and in which it runs."""


class Calls(Protocol):
    """The load, as far as faults use it."""

    @property
    def providers(self) -> Mapping[str, FakeProvider]: ...

    async def call(self, target: str, ask: Callable[[Any], Awaitable[None]]) -> object:
        """Make one call and count it."""

    async def call_for(self, target: str, duration: float, callers: int) -> None:
        """Make calls again and again for so many seconds."""

    async def close_client(self, target: str) -> None: ...


@dataclass
class Fault:
    """No fault. Deadlines are values of ``time.monotonic``."""

    explains = False
    """Whether the note of a pool timeout now names what the fault does."""

    async def run(self, calls: Calls, deadline: float) -> None:
        """Do it until the deadline."""

    async def clear(self, calls: Calls) -> None:
        """Undo what is left of it."""


@dataclass
class AbandonedStreams(Fault):
    """Streams that are not read to their end, until they hold every connection of the pool."""

    streams: int = CONNECTIONS[OPENAI]
    every: float = _POLL
    begun: Sequence[bool] = (False, True)
    """Whether reading a stream begins, for one stream after the other."""
    _abandoned: list[Any] = field(default_factory=list)

    async def run(self, calls: Calls, deadline: float) -> None:
        variants = [self._break_off if begun else self._never_read for begun in self.begun]
        while time.monotonic() < deadline and len(self._abandoned) < self.streams:
            await calls.call(OPENAI, variants[len(self._abandoned) % len(variants)])
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

    async def clear(self, calls: Calls) -> None:
        del calls
        self.explains = False
        for stream in self._abandoned:
            await stream.aclose()
        self._abandoned.clear()


@dataclass
class StalledStreams(Fault):
    """Callers that wait for items of stalled streams until the act ends."""

    streams: int = 3
    _callers: list[asyncio.Task[object]] = field(default_factory=list)

    async def run(self, calls: Calls, deadline: float) -> None:
        del deadline
        streams = [calls.call(OPENAI, _read) for _ in range(self.streams)]
        self._callers = list(map(asyncio.create_task, streams))

    async def clear(self, calls: Calls) -> None:
        del calls
        for caller in self._callers:
            caller.cancel()
        await asyncio.gather(*self._callers, return_exceptions=True)


class StuckStreams(Fault):
    """The provider hangs for a while over HTTP/2, callers give up, and their streams stay taken.

    It answers for a third of the time, hangs for a third, and then would answer again.
    """

    async def run(self, calls: Calls, deadline: float) -> None:
        provider = calls.providers[HTTP2]
        third = (deadline - time.monotonic()) / 3
        hung = deadline - third
        hangs = min(third, _LONGEST_HANG)
        await calls.call_for(HTTP2, hung - hangs - time.monotonic(), _STREAM_CALLERS)
        provider.behaviour = SILENT
        arrived = provider.counts.requests
        limits: list[asyncio.Timeout] = []

        async def give_up(client: Any) -> None:
            async with asyncio.timeout(None) as limit:
                limits.append(limit)
                await _ask(client)

        async with asyncio.TaskGroup() as group:
            for _ in range(MAX_STREAMS):
                group.create_task(calls.call(HTTP2, give_up))
            # A request that is given up before it arrives would never reach the provider, and no
            # metric distinguishes the two.
            await _until(lambda: provider.counts.requests >= arrived + MAX_STREAMS)
            for _ in range(_STREAM_WAITERS):
                group.create_task(calls.call(HTTP2, _ask))
            await asyncio.sleep(max(hung - time.monotonic(), _SHORTEST_WAIT))
            provider.behaviour = QUICK
            for limit in limits:
                limit.reschedule(asyncio.get_running_loop().time())
        await calls.call_for(HTTP2, deadline - time.monotonic(), _STREAM_CALLERS)

    async def clear(self, calls: Calls) -> None:
        await calls.close_client(HTTP2)


@dataclass
class BlockedLoop(Fault):
    """Work that belongs into a thread runs in the event loop, again and again."""

    blocks: tuple[float, float] = (_BLOCK, _BLOCK)
    free: tuple[float, float] = (_FREE, _FREE)
    work: Callable[[float], None] = time.sleep

    async def run(self, calls: Calls, deadline: float) -> None:
        del calls
        while True:
            # First: a block before the first request has no effect.
            await asyncio.sleep(random.uniform(*self.free))
            self.work(random.uniform(*self.blocks))
            if time.monotonic() >= deadline:
                return


async def _ask(client: Any) -> None:
    await client.acompletion(model=MODEL, messages=MESSAGES)


async def _read(client: Any) -> None:
    async for _ in await client.acompletion(model=MODEL, messages=MESSAGES, stream=True):
        pass


async def _until(condition: Callable[[], bool]) -> None:
    """Wait for the condition, and go on without it after a while."""
    given_up = time.monotonic() + _PATIENCE
    while not condition() and time.monotonic() < given_up:  # noqa: ASYNC110
        await asyncio.sleep(_POLL)
