"""One worker of an event loop: a library's clients, used well and badly by turns."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from contextlib import suppress
from typing import Any

import anyio
import sniffio

from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor

from .clients import AsyncClient, AsyncLibrary, Wish
from .setting import Deck, Setting, deeds_of

_CLIENT_LASTS = (10, 60)
_BURST = 8
_BLOCKS = 0.3


class AsyncWorker:
    """Lives in one loop, and in the next one again under the same name, with the same draws."""

    def __init__(self, setting: Setting, library: AsyncLibrary, name: str) -> None:
        self.name = name
        self._setting = setting
        self._library = library
        self._rng = setting.source(name)
        self.deck = Deck(
            self._rng,
            [
                *deeds_of(self, library.wheres),
                ("cancelled in a read", self.cancel, ("slow",)),
                ("cancelled in a stream", self.cancel, ("chunks",)),
                ("cancelled in a queue", self.cancel_queued, ()),
                ("cancelled in a set-up", self.cancel_setup, ()),
                ("blocked event loop", self.block, ()),
            ],
        )
        setting.deeds |= self.deck.names
        self._client: Any = None
        self._lasts = 0
        self._deed = ""

    async def work(self, until: float) -> None:
        """One deed after the other. What is left then is left open, or not."""
        try:
            await self._work(until)
        except BaseException as error:
            # Nobody cancels a worker: whoever did has cancelled more than a request.
            self._setting.tally.died(f"{self.name}, {self._deed}", error)
            if not isinstance(error, asyncio.CancelledError):
                raise
        finally:
            self._client, self._lasts = None, 0
            self._setting.progress.left(self.name)

    async def _work(self, until: float) -> None:
        while not self._setting.over.is_set() and time.monotonic() < until:
            if self._lasts <= 0:
                await self._renew()
            self._lasts -= 1
            self._deed, method, arguments = self.deck.draw()
            self._setting.progress.step(self.name, self._deed)
            await method(*arguments)
            self._setting.tally.did(self._deed)
            await anyio.sleep(self._rng.uniform(0, self._setting.pause))
        if self._rng.random() < 0.7:
            await self._close(self._client)

    # Use

    async def read(self, answer: str, client: AsyncClient | None = None) -> None:
        """One whole request."""
        await self._attempt((client or self._client).get(answer))

    async def burst(self) -> None:
        """More at once than the pool has connections."""
        async with anyio.create_task_group() as group:
            for number in range(_BURST):
                group.start_soon(self.read, "slow" if number % 2 else "ok")

    async def stream(self, answer: str = "chunks") -> None:
        """Read to the end, piece by piece."""
        await self._attempt(self._iterate(self._client, answer, None))

    async def elsewhere(self, where: str) -> None:
        """Two requests of a client for another place, which is closed or not."""
        client = self._new(where=where)
        for _ in range(2):
            await self.read("ok", client)
        if self._rng.random() < 0.5:
            await self._close(client)

    # Misuse

    async def abandon(self, chunks: int) -> None:
        """Take a stream and drop it after so many pieces."""
        await self._attempt(self._iterate(self._client, "chunks", chunks))

    async def keep(self) -> None:
        """Hold a stream without reading it, longer than the threshold for leaks now and then."""
        kept: list[Any] = []
        client = self._new()

        async def take() -> None:
            kept.append(await client.open("chunks"))

        await self._attempt(take())
        await anyio.sleep(self._rng.uniform(0.2, 4.5))
        kept.clear()
        await self._close(client)

    async def hand_in(self) -> None:
        """A client under a name of its own, and taken out again or not."""
        client = self._new()
        name = f"of my own {self._rng.randint(1, 3)}"
        if self._setting.instrumented:
            GlueLLMInstrumentor.instrument_client(client.raw, name)
        await self.read("ok", client)
        if self._setting.instrumented and self._rng.random() < 0.5:
            GlueLLMInstrumentor.uninstrument_client(client.raw)
            await self.read("ok", client)
        if self._rng.random() < 0.5:
            await self._close(client)

    async def pool_timeout(self) -> None:
        """Three requests of a pool with one connection, and no time to wait."""
        client = self._new(connections=1, pool_timeout=0.05)
        async with anyio.create_task_group() as group:
            for _ in range(3):
                group.start_soon(self.read, "slow", client)
        await self._close(client)

    async def client_per_call(self, closed: bool) -> None:
        """As code does that builds a client where it needs one."""
        for _ in range(4):
            client = self._new()
            await self.read("ok", client)
            if closed:
                await self._close(client)

    async def close_in_flight(self) -> None:
        """Close a client while it is in the middle of requests, and queued ones wait."""
        client = self._new(connections=2)
        async with anyio.create_task_group() as group:
            for number in range(4):
                answer = "chunks" if number % 2 else "slow"
                group.start_soon(self._attempt, self._iterate(client, answer, None))
            await anyio.sleep(self._rng.uniform(0, 0.15))
            await self._close(client)

    async def cancel(self, answer: str) -> None:
        """Give up at a random moment."""
        await self._given_up(self._iterate(self._client, answer, None), 0.2)

    async def cancel_queued(self) -> None:
        """Give up five requests of a pool with one connection, each at its own moment."""
        client = self._new(connections=1)
        async with anyio.create_task_group() as group:
            for _ in range(5):
                group.start_soon(self._given_up, client.get("slow"), 0.3)
        if self._rng.random() < 0.5:
            await self._close(client)

    async def cancel_setup(self) -> None:
        """Give up while the connection is made, if the client can hang there."""
        where = "silent" if "silent" in self._library.wheres else "discarding"
        known = where in self._library.wheres
        client = self._new(where=where) if known else self._new()
        await self._given_up(client.get("ok"), 0.3)
        await self._close(client)

    async def block(self) -> None:
        """Compute for a moment without letting the loop go on, with a request under way."""
        async with anyio.create_task_group() as group:
            group.start_soon(self.read, "slow")
            await anyio.sleep(0.01)
            time.sleep(_BLOCKS)

    # What they have in common

    def _new(self, **wish: Any) -> AsyncClient:
        return self._library(Wish(places=self._setting.places, **wish))

    async def _renew(self) -> None:
        if self._client is not None and self._rng.random() < 0.5:
            await self._close(self._client)
        self._client = self._new()
        self._lasts = self._rng.randint(*_CLIENT_LASTS)

    async def _close(self, client: AsyncClient | None) -> None:
        if client is not None:
            await self._attempt(client.close(), counts=False)

    async def _iterate(self, client: AsyncClient, answer: str, chunks: int | None) -> None:
        stream = await client.open(answer)
        if chunks == 0:
            return
        taken = 0
        async for _ in stream:
            taken += 1
            if taken == chunks:
                break

    async def _given_up(self, request: Awaitable[None], longest: float) -> None:
        moment = self._rng.uniform(0, longest)
        if sniffio.current_async_library() == "asyncio":
            # Not anyio's: gRPC raises a CancelledError of its own, which that takes for another's.
            try:
                async with asyncio.timeout(moment):
                    await self._attempt(request)
            except TimeoutError:
                self._setting.tally.gave_up()
            return
        with anyio.move_on_after(moment) as scope:
            await self._attempt(request)
        if scope.cancelled_caught:
            self._setting.tally.gave_up()

    async def _attempt(self, action: Awaitable[None], *, counts: bool = True) -> None:
        if counts:
            self._setting.tally.sent(self._library.name)
        try:
            await action
        except BaseException as error:
            # A channel that is closed cancels its calls, not the task that waits for them.
            if not isinstance(error, Exception) and not (
                isinstance(error, asyncio.CancelledError)
                and asyncio.CancelledError in self._library.expected
                and not _is_cancelled()
            ):
                raise
            tally = self._setting.tally
            tally.ended(self._library.name, self._deed, error, self._library.expected)


def _is_cancelled() -> bool:
    with suppress(sniffio.AsyncLibraryNotFoundError):
        if sniffio.current_async_library() == "asyncio":
            task = asyncio.current_task()
            return task is not None and task.cancelling() > 0
    return True
