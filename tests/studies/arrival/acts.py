"""What the program does to its pools: every row of the contract's table, and every fault."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import time
from collections.abc import Callable
from typing import Any

import any_llm
from any_llm import AnyLLM
from opentelemetry.trace import SpanKind, Tracer

from . import faults
from .calling import LONG, MAX_STREAMS, MESSAGES, Client, until_phase

_SHORT = 0.2
_HANDSHAKE = 1.5
"""Seconds in which a busy machine gets as far as the TLS handshake."""
BLOCKED = 0.3
"""Seconds for which the event loop stands still."""
_WAITS = 0.12
"""Seconds of a wait that is to be a span, and in a bucket beyond 0."""


async def served(client: Client) -> None:
    """Answers of every kind, on connections that are new and reused."""
    for _ in range(3):
        await client.ask("quick")
    await client.read("quick")
    for model in ("broken", "busy"):
        await client.ask(model)


async def dropped_when_idle(client: Client) -> None:
    """A load balancer has forgotten the connection."""
    await client.ask("quick")
    await client.ask("drop")


async def gave_up_reading(client: Client) -> None:
    """A read timeout, and a caller who leaves."""
    await client.ask("silent", timeout=client.timeout(read=_SHORT))
    task = asyncio.create_task(client.ask("silent"))
    await until_phase(client.name, "awaiting_response")
    await cancel(task)


async def not_connected(make: Callable[..., Client], targets: Any) -> None:
    """Nobody listens, and somebody who never answers a TLS handshake."""
    refused = make(targets.refused)
    spiteful = make(targets.spiteful)
    deaf = make(targets.deaf)
    for client in (refused, spiteful, refused):
        await client.ask("quick")
    await deaf.ask("quick", timeout=deaf.timeout(connect=_HANDSHAKE))
    for client in (refused, spiteful, deaf):
        await client.http.aclose()


async def queued(client: Client) -> None:
    """A pool of one: a timeout, a caller who leaves, and one who is served in the end."""
    holder = await client.open("stall")
    await client.ask("quick", timeout=client.timeout(pool=_SHORT))
    leaves = asyncio.create_task(client.ask("quick"))
    await until_phase(client.name, "queued")
    await cancel(leaves)
    stays = asyncio.create_task(client.ask("quick"))
    await until_phase(client.name, "queued")
    await asyncio.sleep(_WAITS)
    await holder.aclose()
    await stays


async def contended(client: Client) -> None:
    """More callers than connections: httpcore 1.0 gives a released one to all that wait."""
    await asyncio.gather(*(client.ask("late") for _ in range(6)))
    await client.read("quick")


async def streams(client: Client) -> None:
    """HTTP/2: more callers than streams, so that some wait for one."""
    await asyncio.gather(*(client.ask("late") for _ in range(6)))


async def churned(url: str, tracer: Tracer) -> None:
    """A client for each call, as `any_llm.acompletion` makes them, and nobody closes them."""
    for _ in range(3):
        with tracer.start_as_current_span("call quick", kind=SpanKind.CLIENT):
            await any_llm.acompletion(
                model="quick",
                provider="openai",
                messages=MESSAGES,  # type: ignore[arg-type]
                api_key="any",
                api_base=url,
            )
    gc.collect()


async def called_over_grpc(target: str, tracer: Tracer) -> AnyLLM:
    """Answers of both kinds, on one channel; who gets the client back keeps the channel."""
    llm = AnyLLM.create("xai", api_key="any", api_host=target, use_insecure_channel=True)
    for stream in (False, True):
        with tracer.start_as_current_span("call quick", kind=SpanKind.CLIENT):
            answer = await llm.acompletion(
                model="quick",
                messages=MESSAGES,  # type: ignore[arg-type]
                stream=stream,
            )
            if stream:
                async for _ in answer:  # type: ignore[union-attr]
                    pass
    return llm


async def blocked(client: Client) -> None:
    """Work that belongs into a thread is done in the event loop."""
    task = asyncio.create_task(client.ask("late"))
    await until_phase(client.name, "awaiting_response")
    time.sleep(BLOCKED)
    await task


class Held:
    """Requests in every phase, and what a pool should never be in; they stay until `release`."""

    def __init__(self) -> None:
        self._streams: list[Any] = []
        self._tasks: list[asyncio.Task[str]] = []
        self.leaks = 0
        """Streams that nobody reads."""

    async def hold(
        self, plain: Client, tight: Client, deaf: Client, http2: Client, left: Client
    ) -> None:
        """Some request in each phase, and one stream that the peer keeps open for nobody."""
        await self._leave(plain)
        await self._leave(tight)
        self._begin(plain.ask("silent"))
        self._begin(plain.read("stall"))
        self._begin(tight.ask("quick", timeout=tight.timeout(pool=LONG)))
        self._begin(deaf.ask("quick", timeout=deaf.timeout(connect=LONG)))
        for _ in range(MAX_STREAMS):
            await self._leave(http2)
        self._begin(http2.ask("quick"))
        # On a connection of its own: the client takes the stream's place for free, and the call
        # that would have to queue for it fails instead.
        await self._leave(left)
        leaves = asyncio.create_task(left.ask("silent"))
        await until_phase(left.name, "awaiting_response")
        await cancel(leaves)
        for client, phase in (
            (plain, "awaiting_response"),
            (plain, "reading"),
            (tight, "queued"),
            (deaf, "connecting"),
            (http2, "stream_queued"),
        ):
            await until_phase(client.name, phase)

    async def spoil(self, lost: Client, asleep: Client, patient: Client) -> None:
        """Let three pools have a fault each."""
        await faults.lose_connection(lost)
        self._tasks.append(await faults.lose_wake_up(asleep))
        await self._leave(patient)
        self._tasks.append(await faults.lose_timeout(patient))

    async def release(self) -> None:
        """Let all of it end. Who waits is cancelled first, so that nobody is served by chance."""
        await cancel(*self._tasks)
        for stream in self._streams:
            await stream.aclose()

    async def _leave(self, client: Client) -> None:
        self._streams.append(await client.open("stall"))
        self.leaks += 1

    def _begin(self, work: Any) -> None:
        self._tasks.append(asyncio.create_task(work))


async def cancel(*tasks: asyncio.Task[str]) -> None:
    """Cancel tasks and wait for their end."""
    for task in tasks:
        task.cancel()
    for task in tasks:
        with contextlib.suppress(asyncio.CancelledError):
            await task
