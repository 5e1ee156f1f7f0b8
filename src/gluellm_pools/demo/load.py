"""The load: real any-llm clients, and what their callers see."""

from __future__ import annotations

import asyncio
import importlib
import os
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import ModuleType
from typing import Any

from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor

from ..fake_provider import FakeProvider
from .targets import ANTHROPIC, CONNECTIONS, HTTP2, MESSAGES, MODEL, OPENAI, POOL_NAMES
from .verdict import Symptoms, error_text, explanation

_POOL_TIMEOUTS = {OPENAI: 0.4, ANTHROPIC: 5.0}
"""Seconds that a request waits for a connection at most.

The short one is on httpcore2. httpcore 1.0.9 assigns a released connection to every waiter, and
each one that loses it queues again with a fresh timeout, so that a busy pool never times out.
"""
_TIMEOUT = 5.0
"""Seconds; long, so that a busy machine adds no failures of its own."""
_PAUSE_AFTER_FAILURE = 0.2
_RETRIES = (0, 2)
_Ask = Callable[[Any], Awaitable[None]]
_MAX_TOKENS = 64
_LOOPBACK = "127.0.0.1,localhost"


@dataclass(frozen=True, slots=True)
class Traffic:
    """Callers of one target: each calls, waits ``pause`` seconds, and calls again."""

    target: str
    callers: int
    pause: float = 0.05
    stream: bool = False
    client_per_call: bool = False
    timeout: float | None = None
    """Seconds that the callers allow for each step; None for the client's long timeouts."""
    retries: int = 0
    """Number of times that the SDK sends a failed request again."""


def avoid_proxy() -> None:
    """Keep a proxy of the user away from loopback calls: clients built per call read it."""
    for name in ("NO_PROXY", "no_proxy"):
        os.environ[name] = ",".join(filter(None, (os.environ.get(name), _LOOPBACK)))


def client_library(sdk: str) -> ModuleType:
    """Return the HTTP library that an SDK is built on: openai 2.x uses httpx, 3.x httpx2."""
    client_class = importlib.import_module(sdk).DefaultAsyncHttpxClient
    for base in client_class.__mro__:
        library: str = base.__module__.partition(".")[0]
        if library in ("httpx", "httpx2"):
            return importlib.import_module(library)
    raise RuntimeError(f"the {sdk} SDK is on neither httpx nor httpx2")


class Load:
    """Calls the targets. Build it after `instrument()` was called."""

    def __init__(self, providers: Mapping[str, FakeProvider]) -> None:
        self.providers = providers
        self.symptoms = {target: Symptoms() for target in providers}
        self.explains = False
        """Whether to keep the next pool timeout, whose note names what the act's fault does."""
        self.explained: list[str] = []
        """The kept pool timeout, as a log shows it; one per act."""
        self._clients: dict[tuple[str, int], Any] = {}
        """By target and the SDK's retries."""
        self.http_clients: dict[str, Any] = {}
        """By target."""
        self._ended = asyncio.Event()
        for target in (OPENAI, ANTHROPIC):
            library = client_library(target)
            limits = library.Limits(max_connections=CONNECTIONS[target])
            http_client = library.AsyncClient(limits=limits, trust_env=False)
            timeout = library.Timeout(_TIMEOUT, pool=_POOL_TIMEOUTS[target])
            self._add(target, target, http_client, timeout)
        library = client_library(OPENAI)
        http_client = library.AsyncClient(http1=False, http2=True, trust_env=False)
        # Named: under any-llm's provider name its pool would share a row with the other one.
        GlueLLMInstrumentor.instrument_client(http_client, pool_name=POOL_NAMES[HTTP2])
        self._add(HTTP2, OPENAI, http_client, library.Timeout(_TIMEOUT))

    def _add(self, target: str, provider: str, http_client: Any, timeout: Any) -> None:
        from any_llm import AnyLLM

        serves = self.providers[target]
        for retries in _RETRIES:
            self._clients[target, retries] = AnyLLM.create(
                provider,
                api_key="demo",
                api_base=serves.anthropic_url if provider == ANTHROPIC else serves.openai_url,
                http_client=http_client,
                timeout=timeout,
                max_retries=retries,
            )
        self.http_clients[target] = http_client

    async def warm_up(self) -> None:
        """Call each target once: the SDKs' imports at a first call would disturb the first act."""
        for target in (OPENAI, ANTHROPIC):
            await self.call(target, self._question(Traffic(target, 1)))

    async def play(self, mixed: Sequence[Traffic], fault: Coroutine[Any, Any, None]) -> None:
        """Send traffic until `end` with a fault beside it, and return after the last answer."""
        self._ended.clear()
        self.explains = False
        for symptoms in self.symptoms.values():
            symptoms.recent.clear()
        async with asyncio.TaskGroup() as group:
            group.create_task(fault)
            for traffic in mixed:
                for _ in range(traffic.callers):
                    group.create_task(self._call_until(traffic, self.ended))

    def end(self) -> None:
        """Let no caller of `play` begin another call."""
        self._ended.set()

    def ended(self) -> bool:
        """Whether the act is over."""
        return self._ended.is_set()

    async def close(self) -> None:
        for http_client in self.http_clients.values():
            await http_client.aclose()

    async def call_until(self, is_over: Callable[[], bool], target: str, callers: int) -> None:
        """Let so many callers make calls for a while."""
        async with asyncio.TaskGroup() as group:
            for _ in range(callers):
                group.create_task(self._call_until(Traffic(target, callers), is_over))

    async def call(self, target: str, ask: _Ask, retries: int = 0) -> bool:
        """Make one call and note how it went; return whether it succeeded."""
        began, failure = time.monotonic(), ""
        try:
            await ask(self._clients[target, retries])
        except Exception as error:  # the errors of SDKs and any-llm share no other base
            failure = error_text(error)
            if self.explains and (lines := explanation(error)):
                self.explained, self.explains = lines, False
        ended = time.monotonic()
        self.symptoms[target].recent.append((ended, ended - began, failure))
        return not failure

    async def _call_until(self, traffic: Traffic, is_over: Callable[[], bool]) -> None:
        ask = self._question(traffic)
        while not is_over():
            pause = traffic.pause
            if not await self.call(traffic.target, ask, traffic.retries):
                pause = max(pause, _PAUSE_AFTER_FAILURE)
            await asyncio.sleep(pause)

    def _question(self, traffic: Traffic) -> _Ask:
        if traffic.client_per_call:
            url = self.providers[traffic.target].openai_url
            return lambda _: _call_with_new_client(url)
        options: dict[str, float] = {"max_tokens": _MAX_TOKENS}
        if traffic.timeout is not None:
            options["timeout"] = traffic.timeout
        return partial(read_stream if traffic.stream else complete, **options)


async def complete(client: Any, **options: float) -> None:
    await client.acompletion(model=MODEL, messages=MESSAGES, **options)


async def read_stream(client: Any, **options: float) -> None:
    stream = await client.acompletion(model=MODEL, messages=MESSAGES, stream=True, **options)
    async for _ in stream:
        pass


async def _call_with_new_client(url: str) -> None:
    import any_llm

    messages: Any = MESSAGES
    await any_llm.acompletion(
        model=MODEL, provider=OPENAI, messages=messages, api_key="demo", api_base=url
    )
