"""The request that is measured, and what is turned on while it is.

A real client of httpx or httpx2 sends a chat completion through its real pool over a scripted
network. The program around it has a current span, as traced programs do, so that exemplars cost
what they cost there.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider

from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor
from opentelemetry.instrumentation.gluellm.attribution.context import current_call
from opentelemetry.instrumentation.gluellm.pool.lease import Call

from .network import Answer, AsyncBackend, Backend, answer, streamed

URL = "http://api.openai.com/v1/chat/completions"
_QUESTION = {
    "model": "gpt-5",
    "messages": [{"role": "user", "content": "What does a connection pool cost? " * 8}],
}
_ANSWER = (
    b'{"id":"chatcmpl-0123456789","object":"chat.completion","created":1793613600,"model":"gpt-5",'
    b'"choices":[{"index":0,"message":{"role":"assistant","content":"Less than it saves."},'
    b'"finish_reason":"stop"}],"usage":{"prompt_tokens":64,"completion_tokens":6}}'
)
CHUNKS = 200
_CHUNK = b'data: {"choices":[{"index":0,"delta":{"content":" token"}}]}\n\n'

OFF, HTTPX, OURS = "off", "opentelemetry-instrumentation-httpx", "gluellm"


@dataclass(frozen=True, slots=True)
class Combination:
    """A client library and a kind of client."""

    library: str
    mode: str
    """``async`` or ``sync``."""

    def __str__(self) -> str:
        return f"{self.library} {self.mode}"


COMBINATIONS = tuple(
    Combination(library, mode) for mode in ("async", "sync") for library in ("httpx2", "httpx")
)


class Sdk:
    """Providers with an in-memory reader, and no exporter."""

    def __init__(self) -> None:
        self.reader = InMemoryMetricReader()
        self.meters = MeterProvider([self.reader])
        self.tracers = TracerProvider()

    @contextlib.contextmanager
    def span(self) -> Iterator[None]:
        """A current span, sampled."""
        with self.tracers.get_tracer("program").start_as_current_span("answer a user"):
            yield


class Instrumentation:
    """What is on: nothing, the yardstick, or the package. One at a time."""

    def __init__(self, library: str, sdk: Sdk | None) -> None:
        self._library = library
        self._providers: dict[str, Any] = {}
        if sdk is not None:
            self._providers = {"tracer_provider": sdk.tracers, "meter_provider": sdk.meters}
        self._current: Any = None

    def turn(self, what: str) -> None:
        """Turn off what is on, then ``what`` on."""
        if self._current is not None:
            self._current.uninstrument()
            self._current = None
        if what == HTTPX:
            package = importlib.import_module("opentelemetry.instrumentation.httpx")
            self._current = getattr(package, f"{self._library.upper()}ClientInstrumentor")()
        elif what == OURS:
            self._current = GlueLLMInstrumentor()
        if self._current is not None:
            self._current.instrument(**self._providers)


def any_llm_call() -> Call:
    """What any-llm's wrapped methods put into the context for each call."""
    return Call("openai", "gpt-5", "chat")


class Client:
    """A client on a scripted network. ``send`` makes whole requests, one after the other."""

    def __init__(self, combination: Combination, parts: Answer | None = None) -> None:
        self._asynchronous = combination.mode == "async"
        module = importlib.import_module(combination.library)
        parts = parts or answer(_ANSWER)
        if self._asynchronous:
            self._client = module.AsyncClient(trust_env=False)
            self._client._transport._pool._network_backend = AsyncBackend(parts)
        else:
            self._client = module.Client(trust_env=False)
            self._client._transport._pool._network_backend = Backend(parts)

    @classmethod
    def streaming(cls, combination: Combination) -> Client:
        """A client whose answers are streams of CHUNKS chunks."""
        return cls(combination, streamed([_CHUNK] * CHUNKS))

    async def send(self, count: int, *, attributed: bool) -> None:
        """``count`` requests; ``attributed`` ones belong to an any-llm call each."""
        client = self._client
        if self._asynchronous:
            for _ in range(count):
                if attributed:
                    token = current_call.set(any_llm_call())
                    await client.post(URL, json=_QUESTION)
                    current_call.reset(token)
                else:
                    await client.post(URL, json=_QUESTION)
        else:
            for _ in range(count):
                if attributed:
                    token = current_call.set(any_llm_call())
                    client.post(URL, json=_QUESTION)
                    current_call.reset(token)
                else:
                    client.post(URL, json=_QUESTION)

    async def stream(self, count: int, *, attributed: bool) -> None:
        """``count`` requests whose streams are read chunk by chunk."""
        client = self._client
        for _ in range(count):
            token = current_call.set(any_llm_call() if attributed else None)
            if self._asynchronous:
                async with client.stream("POST", URL, json=_QUESTION) as response:
                    async for _chunk in response.aiter_raw():
                        pass
            else:
                with client.stream("POST", URL, json=_QUESTION) as response:
                    for _chunk in response.iter_raw():
                        pass
            current_call.reset(token)


def run(main: Callable[[], Awaitable[None]]) -> None:
    """Run to the end, on a loop of its own (sync clients don't mind)."""

    async def wrapped() -> None:
        await main()

    asyncio.run(wrapped())
