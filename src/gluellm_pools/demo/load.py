"""The load: real any-llm and GlueLLM clients, and what the callers themselves counted."""

from __future__ import annotations

import asyncio
import importlib
import os
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor

from ..fake_provider import FakeProvider
from .acts import Act, Traffic
from .errors import explanation
from .faults import Fault
from .targets import ANTHROPIC, CONNECTIONS, GLUELLM, HTTP2, MESSAGES, MODEL, OPENAI, POOL_NAMES

POOL_TIMEOUTS = {OPENAI: 0.4, ANTHROPIC: 5.0}
"""Seconds that a request waits for a connection at most.

The short one is on httpcore2: httpcore 1.0.9 gives a released connection to all that wait, and each
that loses it queues again with a fresh timeout, so that a busy pool never times out.
"""
_TIMEOUT = 5.0
"""Seconds; generous, so that a busy machine makes no failures of its own."""
_PAUSE_AFTER_FAILURE = 0.2
_OVERTIME = 4.0
"""Seconds beyond its length that an act waits for what it is to show."""
_MAX_TOKENS = 64
_LOOPBACK = "127.0.0.1,localhost"


@dataclass(slots=True)
class Tally:
    """What the callers of one target counted."""

    sent: int = 0
    failed: int = 0


def prepare_environment(gluellm_url: str | None) -> None:
    """Settings that GlueLLM only takes from the environment, before it is imported.

    A proxy of the user's must not see the loopback calls, and clients built per call read it from
    the environment.
    """
    for name in ("NO_PROXY", "no_proxy"):
        os.environ[name] = ",".join(filter(None, (os.environ.get(name), _LOOPBACK)))
    if gluellm_url is None:
        return
    os.environ["OPENAI_BASE_URL"] = gluellm_url
    os.environ["OPENAI_API_KEY"] = "demo"
    os.environ["GLUELLM_RATE_LIMIT_ENABLED"] = "false"
    os.environ["GLUELLM_HTTP_MAX_CONNECTIONS"] = str(CONNECTIONS[GLUELLM])
    os.environ["GLUELLM_HTTP_MAX_KEEPALIVE_CONNECTIONS"] = str(CONNECTIONS[GLUELLM])


def client_library(sdk: str) -> ModuleType:
    """The HTTP library that an SDK is built on: openai 2.x is on httpx, 3.x on httpx2."""
    client_class = importlib.import_module(sdk).DefaultAsyncHttpxClient
    for base in client_class.__mro__:
        library: str = base.__module__.partition(".")[0]
        if library in ("httpx", "httpx2"):
            return importlib.import_module(library)
    raise RuntimeError(f"the {sdk} SDK is on neither httpx nor httpx2")


class Load:
    """Calls the targets as an act says, and counts. To be built once `instrument()` was called."""

    def __init__(self, providers: dict[str, FakeProvider], *, gluellm: bool) -> None:
        self.providers = providers
        self.tallies: dict[str, Tally] = {}
        self.libraries: dict[str, str] = {}
        """Name of the HTTP library, by target."""
        self.explained: list[str] = []
        """A pool timeout that tells of the act's fault, as a log would have it; once an act."""
        self.told = False
        """Whether that one was shown."""
        self._clients: dict[str, Any] = {}
        self._http_clients: dict[str, Any] = {}
        self._fault = Fault()
        for target in (OPENAI, ANTHROPIC):
            library = client_library(target)
            limits = library.Limits(max_connections=CONNECTIONS[target])
            http_client = library.AsyncClient(limits=limits, trust_env=False)
            timeout = library.Timeout(_TIMEOUT, pool=POOL_TIMEOUTS[target])
            self._add(target, target, http_client, timeout)
        library = client_library(OPENAI)
        http_client = library.AsyncClient(http1=False, http2=True, trust_env=False)
        # A name of its own: by any-llm's provider its pool would be one row with the other one.
        GlueLLMInstrumentor.instrument_client(http_client, pool_name=POOL_NAMES[HTTP2])
        self._add(HTTP2, OPENAI, http_client, library.Timeout(_TIMEOUT))
        if gluellm:
            self._clients[GLUELLM] = importlib.import_module("gluellm").GlueLLM(
                model=f"{OPENAI}:{MODEL}"
            )
            self.libraries[GLUELLM] = "httpx"
            self.tallies[GLUELLM] = Tally()

    def _add(self, target: str, provider: str, http_client: Any, timeout: Any) -> None:
        from any_llm import AnyLLM

        serves = self.providers[target]
        self._clients[target] = AnyLLM.create(
            provider,
            api_key="demo",
            api_base=serves.anthropic_url if provider == ANTHROPIC else serves.openai_url,
            http_client=http_client,
            timeout=timeout,
            max_retries=0,
        )
        self._http_clients[target] = http_client
        self.libraries[target] = type(http_client).__module__.partition(".")[0]
        self.tallies[target] = Tally()

    async def warm_up(self) -> None:
        """Call each target once, so that no act has what the SDKs import at their first call."""
        for target in self._clients:
            if target != HTTP2:  # on the same SDK as another target, and a pool of one act only
                await self.call(target, self._asking(Traffic(target, 1)))

    async def play(self, act: Act, duration: float) -> None:
        """Send the act's traffic; no request begins that could not end in time.

        Returns when the last answer is there, which is when numbers can be compared. What a fault
        has left behind stays until `clear`.
        """
        deadline = time.monotonic() + max(duration - act.longest, duration / 3)
        self.explained, self.told = [], False
        self._fault = act.fault()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._fault.run(self, deadline))
            for traffic in act.traffic:
                if traffic.target in self._clients:
                    for _ in range(traffic.callers):
                        group.create_task(self._call_repeatedly(traffic, deadline))

    async def clear(self) -> None:
        """Undo what the act's fault has left behind."""
        fault, self._fault = self._fault, Fault()
        await fault.clear(self)

    async def close(self) -> None:
        for target in self._http_clients:
            await self.close_client(target)
        if GLUELLM in self._clients:
            await importlib.import_module("gluellm.api").close_providers()

    async def close_client(self, target: str) -> None:
        await self._http_clients[target].aclose()

    async def call_for(self, target: str, duration: float, callers: int) -> None:
        """Let so many callers call again and again for a while."""
        deadline = time.monotonic() + duration
        async with asyncio.TaskGroup() as group:
            for _ in range(callers):
                group.create_task(self._call_repeatedly(Traffic(target, callers), deadline))

    async def call(self, target: str, ask: Callable[[Any], Awaitable[None]]) -> bool:
        """Let a caller ask the target's client once, and count; whether it went well."""
        tally = self.tallies[target]
        tally.sent += 1
        try:
            await ask(self._clients[target])
        except Exception as error:  # the SDKs', any-llm's and GlueLLM's errors share no other base
            tally.failed += 1
            if self._fault.explains and not self.explained:
                self.explained += explanation(error)
            return False
        except asyncio.CancelledError:
            tally.failed += 1
            raise
        return True

    async def _call_repeatedly(self, traffic: Traffic, deadline: float) -> None:
        ask = self._asking(traffic)
        while self._goes_on(deadline):
            pause = traffic.pause
            if not await self.call(traffic.target, ask):
                pause = max(pause, _PAUSE_AFTER_FAILURE)
            await asyncio.sleep(pause)

    def _goes_on(self, deadline: float) -> bool:
        """Until the deadline, and for a while longer if the act's fault has yet to be noticed."""
        late = time.monotonic() - deadline
        return late < 0 or (late < _OVERTIME and not self._fault.is_noticed())

    def _asking(self, traffic: Traffic) -> Callable[[Any], Awaitable[None]]:
        if traffic.target == GLUELLM:
            return _ask_gluellm
        if traffic.client_per_call:
            url = self.providers[traffic.target].openai_url
            return lambda _: _call_with_new_client(url)
        options: dict[str, float] = {"max_tokens": _MAX_TOKENS}
        if traffic.timeout is not None:
            options["timeout"] = traffic.timeout
        if traffic.stream:
            return lambda client: _stream(client, options)
        return lambda client: _complete(client, options)


async def _complete(client: Any, options: dict[str, float]) -> None:
    await client.acompletion(model=MODEL, messages=MESSAGES, **options)


async def _stream(client: Any, options: dict[str, float]) -> None:
    stream = await client.acompletion(model=MODEL, messages=MESSAGES, stream=True, **options)
    async for _ in stream:
        pass


async def _call_with_new_client(url: str) -> None:
    import any_llm

    await any_llm.acompletion(
        model=MODEL,
        provider=OPENAI,
        messages=MESSAGES,  # type: ignore[arg-type]
        api_key="demo",
        api_base=url,
    )


async def _ask_gluellm(client: Any) -> None:
    await client.complete("Say something.", retry_enabled=False)
