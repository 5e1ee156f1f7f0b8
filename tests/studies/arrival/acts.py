"""What the program does to its pools: every row of the contract's table, and every fault."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import ssl
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import any_llm
import pytest
from any_llm import AnyLLM
from opentelemetry.trace import SpanKind, Tracer

from gluellm_pools.demo.load import client_library
from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor, snapshot
from support.clients import PoolUnderTest
from support.libraries import Library
from support.waiting import until

MESSAGES: list[Any] = [{"role": "user", "content": "hello"}]
LONG = 60.0
"""Seconds that no call here takes."""
MAX_STREAMS = 4
"""HTTP/2 streams that a connection may have at once."""
_SHORT = 0.2
_HANDSHAKE = 1.5
"""Seconds in which a connection reaches the TLS handshake even on a busy machine."""
BLOCKED = 0.3
"""Seconds for which the event loop is blocked."""
_WAITS = 0.12
"""Seconds of a wait, long enough for a span and for a bucket above 0."""


async def served(client: Client) -> None:
    """Answers of every kind, on connections that are new and reused."""
    for _ in range(3):
        await client.ask("quick")
    await client.read("quick")
    for model in ("broken", "busy"):
        await client.ask(model)


async def failed_late(client: Client) -> None:
    """A load balancer has forgotten the connection, a read times out, and a caller leaves."""
    await client.ask("quick")
    await client.ask("drop")
    await client.ask("silent", timeout=client.timeout(read=_SHORT))
    await _leave(client, "silent", "awaiting_response")


async def not_connected(make: Callable[..., Client], targets: Any) -> None:
    """Ports where connecting is refused, and one that never answers a TLS handshake."""
    refused, spiteful, deaf = map(make, (targets.refused, targets.spiteful, targets.deaf))
    for client in (refused, spiteful, refused):
        await client.ask("quick")
    await deaf.ask("quick", timeout=deaf.timeout(connect=_HANDSHAKE))
    for client in (refused, spiteful, deaf):
        await client.http.aclose()


async def queued(client: Client) -> None:
    """A pool of one: a timeout, a caller who leaves, and one that is served in the end."""
    holder = await client.open("stall")
    await client.ask("quick", timeout=client.timeout(pool=_SHORT))
    await _leave(client, "quick", "queued")
    stays = asyncio.create_task(client.ask("quick"))
    await until_phase(client.name, "queued")
    await asyncio.sleep(_WAITS)
    await holder.aclose()
    await stays


async def crowded(client: Client) -> None:
    """More callers than connections, or than streams of HTTP/2, so that some wait.

    httpcore 1.0 assigns a released connection to all waiting requests.
    """
    await asyncio.gather(*(client.ask("late") for _ in range(6)))


async def churned(url: str, tracer: Tracer) -> None:
    """A client for each call, as `any_llm.acompletion` makes them; they are not closed."""
    for _ in range(3):
        with span(tracer, "quick"):
            await any_llm.acompletion(
                model="quick", provider="openai", messages=MESSAGES, api_key="any", api_base=url
            )
    gc.collect()


async def called_over_grpc(target: str, tracer: Tracer) -> AnyLLM:
    """Answers of both kinds, on one channel, which lives as long as the returned client."""
    llm = AnyLLM.create("xai", api_key="any", api_host=target, use_insecure_channel=True)
    for stream in (False, True):
        with span(tracer, "quick"):
            answer: Any = await llm.acompletion(model="quick", messages=MESSAGES, stream=stream)
            if stream:
                async for _ in answer:
                    pass
    return llm


async def blocked(client: Client) -> None:
    """Block the event loop with work that belongs in a thread."""
    task = asyncio.create_task(client.ask("late"))
    await until_phase(client.name, "awaiting_response")
    time.sleep(BLOCKED)
    await task


class Held:
    """Requests in every phase, and pools with faults; they stay until `release`."""

    def __init__(self) -> None:
        self.streams: list[Any] = []
        """Streams that are not read."""
        self._tasks: list[asyncio.Task[str]] = []

    async def hold(
        self, plain: Client, tight: Client, deaf: Client, http2: Client, left: Client
    ) -> None:
        """Put a request into each phase, and let one stream be open for the peer alone."""
        # `left` has its own connection: the client considers the stream's slot free, so on a shared
        # connection the call that should queue for it would fail instead.
        for client in (plain, tight, *[http2] * MAX_STREAMS, left):
            self.streams.append(await client.open("stall"))
        for client, phase, call in (
            (plain, "awaiting_response", plain.ask("silent")),
            (plain, "reading", plain.read("stall")),
            (tight, "queued", tight.ask("quick", timeout=tight.timeout(pool=LONG))),
            (deaf, "connecting", deaf.ask("quick", timeout=deaf.timeout(connect=LONG))),
            (http2, "stream_queued", http2.ask("quick")),
        ):
            self._tasks.append(asyncio.create_task(call))
            await until_phase(client.name, phase)
        await _leave(left, "silent", "awaiting_response")

    async def spoil(self, lost: Client, asleep: Client, patient: Client) -> None:
        """Give each of three pools a fault that httpcore has had."""
        # The request is over, but the pool counts it as active.
        stream = await lost.open("stall")
        _pool(lost).lose_connection()
        await stream.aclose()
        # A connection is released, but the waiting request isn't woken.
        await asleep.ask("quick")
        holder = asyncio.create_task(asleep.ask("late"))
        await until_phase(asleep.name, "awaiting_response")
        await self._wait(asleep, LONG, 1)
        _pool(asleep).skip_one_pass()
        await holder
        # A request waits far beyond its pool timeout.
        self.streams.append(await patient.open("stall"))
        with pytest.MonkeyPatch.context() as patch:
            _pool(patient).wait_without_timeout(patch)
            await self._wait(patient, _SHORT, 2)  # the other one was not woken

    async def release(self) -> None:
        """End all requests, waiting ones first, so that none of them is served by chance."""
        for task in self._tasks:
            await _cancel(task)
        for stream in self.streams:
            await stream.aclose()

    async def _wait(self, client: Client, timeout: float, count: int) -> None:
        call = client.ask("quick", timeout=client.timeout(pool=timeout))
        self._tasks.append(asyncio.create_task(call))
        await until_phase(client.name, "queued", count)


def _pool(client: Client) -> PoolUnderTest:
    return PoolUnderTest(Library.load(client.library.__name__), client.http._transport._pool)


async def _leave(client: Client, model: str, phase: str) -> None:
    """Make a call and cancel it in a phase."""
    task = asyncio.create_task(client.ask(model))
    await until_phase(client.name, phase)
    await _cancel(task)


async def _cancel(task: asyncio.Task[str]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


def span(tracer: Tracer, model: str) -> Any:
    """A CLIENT span, as a program with its own instrumentation has around a call."""
    return tracer.start_as_current_span(f"call {model}", kind=SpanKind.CLIENT)


@dataclass
class Counted:
    """The callers' own counts, independent of instrumentation; keys are pool names."""

    ended: Counter[str] = field(default_factory=Counter)
    """``pool|outcome``: ``ok``, or the class of the innermost exception."""
    streams: Counter[str] = field(default_factory=Counter)
    """Streams that were begun."""


class Client:
    """One any-llm instance with a pool of its own."""

    def __init__(
        self,
        url: str,
        counted: Counted,
        tracer: Tracer,
        *,
        name: str = "",
        sdk: str = "openai",
        connections: int = 10,
        verify: ssl.SSLContext | bool = True,
        retries: int = 0,
        **transport: Any,
    ) -> None:
        self.library: Any = client_library(sdk)
        self.name = name or sdk
        limits = self.library.Limits(
            max_connections=connections, max_keepalive_connections=connections
        )
        settings = {"limits": limits, "trust_env": False, "verify": verify, **transport}
        self.http = self.library.AsyncClient(**settings)
        if name:
            GlueLLMInstrumentor.instrument_client(self.http, pool_name=name)
        self._llm = AnyLLM.create(
            sdk,
            api_key="any",
            api_base=url,
            http_client=self.http,
            max_retries=retries,
            timeout=self.timeout(),
        )
        self._counted = counted
        self._tracer = tracer

    def timeout(self, **seconds: float | None) -> Any:
        """The library's timeouts."""
        return self.library.Timeout(LONG, **{"pool": 5.0, **seconds})

    async def ask(self, model: str, **options: Any) -> str:
        """Make one call to its end, and return its outcome."""
        return await self._count(model, options, stream=False)

    async def read(self, model: str) -> str:
        """Make one streamed call, read it to its end, and return its outcome."""
        return await self._count(model, {}, stream=True)

    async def open(self, model: str) -> Any:
        """Open a stream for the caller, and leave it unread."""
        with span(self._tracer, model):
            return await self._complete(model, {}, stream=True)

    async def _complete(self, model: str, options: dict[str, Any], *, stream: bool) -> Any:
        answer = await self._llm.acompletion(
            model=model, messages=MESSAGES, stream=stream, max_tokens=100, **options
        )
        if stream:
            self._counted.streams[self.name] += 1
        return answer

    async def _count(self, model: str, options: dict[str, Any], *, stream: bool) -> str:
        outcome = "cancelled"
        try:
            with span(self._tracer, model):
                answer = await self._complete(model, options, stream=stream)
                if stream:
                    async for _ in answer:
                        pass
            outcome = "ok"
        except Exception as error:  # the SDKs' and any-llm's errors share no other base
            outcome = _innermost(error)
        finally:
            self._counted.ended[f"{self.name}|{outcome}"] += 1
        return outcome


def _innermost(error: BaseException) -> str:
    """The name of what the HTTP library raised, which the SDKs and any-llm wrap."""
    while (cause := error.__cause__) is not None and "core" not in type(cause).__module__:
        error = cause
    return type(error).__name__


async def until_phase(pool: str, phase: str, count: int = 1) -> None:
    """Wait until ``count`` requests of a pool are in a phase."""

    def requests() -> list[Any]:
        pools = (one for one in snapshot().pools if one.name == pool)
        return [each for one in pools for each in one.requests if each.phase == phase]

    await until(lambda: len(requests()) >= count, f"{count} requests {phase} in {pool}")
