"""Calls of a real any-llm, each in a span of the program's own, and what their callers counted."""

from __future__ import annotations

import asyncio
import importlib
import ssl
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from any_llm import AnyLLM
from opentelemetry.trace import SpanKind, Tracer

from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor, snapshot
from support.waiting import until

MESSAGES = [{"role": "user", "content": "hello"}]
LONG = 60.0
"""Seconds that nothing here takes."""
MAX_STREAMS = 4
"""HTTP/2 streams that a connection may have at once."""


def library(sdk: str) -> Any:
    """The HTTP library that an SDK runs on: openai 2.x is on httpx, 3.x on httpx2."""
    for base in importlib.import_module(sdk).DefaultAsyncHttpxClient.__mro__:
        name = base.__module__.partition(".")[0]
        if name in ("httpx", "httpx2"):
            return importlib.import_module(name)
    raise RuntimeError(f"the {sdk} SDK is on neither httpx nor httpx2")


@dataclass
class Counted:
    """What the callers saw, apart from all instrumentation; keys are pool names."""

    ended: Counter[str] = field(default_factory=Counter)
    """``pool|outcome``: ``ok``, or the class of the innermost exception."""
    streams: Counter[str] = field(default_factory=Counter)
    """Streams that were begun."""
    chunks: Counter[str] = field(default_factory=Counter)


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
        pool_timeout: float | None = 5.0,
        verify: ssl.SSLContext | bool = True,
        retries: int = 0,
        **transport: Any,
    ) -> None:
        self.library = library(sdk)
        self.name = name or sdk
        self.http = self.library.AsyncClient(
            limits=self.library.Limits(
                max_connections=connections, max_keepalive_connections=connections
            ),
            trust_env=False,
            verify=verify,
            **transport,
        )
        if name:
            GlueLLMInstrumentor.instrument_client(self.http, pool_name=name)
        self._pool_timeout = pool_timeout
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

    @property
    def pool(self) -> Any:
        """The pool itself, to do to it what its faults do."""
        return self.http._transport._pool

    def timeout(self, **seconds: float | None) -> Any:
        """The library's timeouts."""
        return self.library.Timeout(LONG, **{"pool": self._pool_timeout, **seconds})

    async def ask(self, model: str, **options: Any) -> str:
        """One call to its end; how it went."""
        return await self._count(self._complete(model, options), model)

    async def read(self, model: str, **options: Any) -> str:
        """One streamed call, read to its end; how it went."""
        return await self._count(self._read(model, options), model)

    async def open(self, model: str, **options: Any) -> Any:
        """A stream that is left to the caller: nobody reads it."""
        with self._span(model):
            stream = await self._llm.acompletion(
                model=model, messages=MESSAGES, stream=True, **_limited(options)
            )
        self._counted.streams[self.name] += 1
        return stream

    async def _complete(self, model: str, options: dict[str, Any]) -> None:
        await self._llm.acompletion(model=model, messages=MESSAGES, **_limited(options))

    async def _read(self, model: str, options: dict[str, Any]) -> None:
        stream = await self._llm.acompletion(
            model=model, messages=MESSAGES, stream=True, **_limited(options)
        )
        self._counted.streams[self.name] += 1
        async for _ in stream:
            self._counted.chunks[self.name] += 1

    async def _count(self, work: Any, model: str) -> str:
        outcome = "ok"
        try:
            with self._span(model):
                await work
        except asyncio.CancelledError:
            self._counted.ended[f"{self.name}|cancelled"] += 1
            raise
        except Exception as error:  # the SDKs' and any-llm's errors share no other base
            outcome = _innermost(error)
        self._counted.ended[f"{self.name}|{outcome}"] += 1
        return outcome

    def _span(self, model: str) -> Any:
        # A program with its own instrumentation has a CLIENT span around a call.
        return self._tracer.start_as_current_span(f"call {model}", kind=SpanKind.CLIENT)


def _limited(options: dict[str, Any]) -> dict[str, Any]:
    return {"max_tokens": 100, **options}


def _innermost(error: BaseException) -> str:
    """The name of what the HTTP library raised, which the SDKs and any-llm wrap."""
    while (cause := error.__cause__) is not None and "core" not in type(cause).__module__:
        error = cause
    return type(error).__name__


def phases() -> Counter[tuple[str, str]]:
    """Requests under way by pool and phase."""
    return Counter(
        (pool.name, request.phase) for pool in snapshot().pools for request in pool.requests
    )


async def until_phase(pool: str, phase: str, count: int = 1) -> None:
    """Wait until so many requests of a pool are in a phase."""
    await until(lambda: phases()[pool, phase] >= count, f"{count} requests {phase} in {pool}")
