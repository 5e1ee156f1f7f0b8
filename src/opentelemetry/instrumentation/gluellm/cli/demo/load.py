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

from ..fake_provider import FakeProvider
from .acts import ANTHROPIC, GLUELLM, OPENAI, Act, Traffic

CONNECTIONS = {OPENAI: 4, ANTHROPIC: 4, GLUELLM: 2}
"""Pool sizes, small enough to saturate in a second."""
POOL_TIMEOUTS = {OPENAI: 0.4, ANTHROPIC: 5.0}
"""Seconds that a request waits for a connection at most.

The short one is on httpcore2: httpcore 1.0.9 gives a released connection to all that wait, and each
that loses it queues again with a fresh timeout, so that a busy pool never times out.
"""
_TIMEOUT = 5.0
"""Seconds; generous, so that a busy machine makes no failures of its own."""
_PAUSE_AFTER_FAILURE = 0.2
_MODEL = "demo"
_MAX_TOKENS = 64
_MESSAGES = [{"role": "user", "content": "Say something."}]
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
    """Calls the targets as an act says, and counts."""

    def __init__(self, providers: dict[str, FakeProvider], *, gluellm: bool) -> None:
        from any_llm import AnyLLM

        self._providers = providers
        self.tallies: dict[str, Tally] = {}
        self.libraries: dict[str, str] = {}
        """Name of the HTTP library, by target."""
        self._clients: dict[str, Any] = {}
        self._http_clients: list[Any] = []
        for target, url in (
            (OPENAI, providers[OPENAI].openai_url),
            (ANTHROPIC, providers[ANTHROPIC].anthropic_url),
        ):
            library = client_library(target)
            limits = library.Limits(max_connections=CONNECTIONS[target])
            http_client = library.AsyncClient(limits=limits, trust_env=False)
            timeout = library.Timeout(_TIMEOUT, pool=POOL_TIMEOUTS[target])
            self._clients[target] = AnyLLM.create(
                target,
                api_key="demo",
                api_base=url,
                http_client=http_client,
                timeout=timeout,
                max_retries=0,
            )
            self._http_clients.append(http_client)
            self.libraries[target] = library.__name__
            self.tallies[target] = Tally()
        if gluellm:
            self._clients[GLUELLM] = importlib.import_module("gluellm").GlueLLM(
                model=f"{OPENAI}:{_MODEL}"
            )
            self.libraries[GLUELLM] = "httpx"
            self.tallies[GLUELLM] = Tally()

    async def play(self, act: Act, duration: float) -> None:
        """Send the act's traffic; no request begins that could not end in time.

        Returns when the last answer is there, which is when numbers can be compared.
        """
        deadline = time.monotonic() + max(duration - act.longest, duration / 3)
        async with asyncio.TaskGroup() as group:
            for traffic in act.traffic:
                if traffic.target in self._clients:
                    for _ in range(traffic.callers):
                        group.create_task(self._call_repeatedly(traffic, deadline))

    async def close(self) -> None:
        for http_client in self._http_clients:
            await http_client.aclose()
        if GLUELLM in self._clients:
            await importlib.import_module("gluellm.api").close_providers()

    async def _call_repeatedly(self, traffic: Traffic, deadline: float) -> None:
        tally = self.tallies[traffic.target]
        call = self._caller(traffic)
        while time.monotonic() < deadline:
            tally.sent += 1
            pause = traffic.pause
            try:
                await call()
            except Exception:  # the SDKs', any-llm's and GlueLLM's errors share no other base
                tally.failed += 1
                pause = max(pause, _PAUSE_AFTER_FAILURE)
            except asyncio.CancelledError:
                tally.failed += 1
                raise
            await asyncio.sleep(pause)

    def _caller(self, traffic: Traffic) -> Callable[[], Awaitable[None]]:
        client = self._clients[traffic.target]
        if traffic.target == GLUELLM:
            return lambda: _ask_gluellm(client)
        if traffic.client_per_call:
            return lambda: _call_with_new_client(self._providers[traffic.target].openai_url)
        options: dict[str, float] = {"max_tokens": _MAX_TOKENS}
        if traffic.timeout is not None:
            options["timeout"] = traffic.timeout
        if traffic.stream:
            return lambda: _stream(client, options)
        return lambda: _complete(client, options)


async def _complete(client: Any, options: dict[str, float]) -> None:
    await client.acompletion(model=_MODEL, messages=_MESSAGES, **options)


async def _stream(client: Any, options: dict[str, float]) -> None:
    stream = await client.acompletion(model=_MODEL, messages=_MESSAGES, stream=True, **options)
    async for _ in stream:
        pass


async def _call_with_new_client(url: str) -> None:
    import any_llm

    await any_llm.acompletion(
        model=_MODEL,
        provider=OPENAI,
        messages=_MESSAGES,  # type: ignore[arg-type]
        api_key="demo",
        api_base=url,
    )


async def _ask_gluellm(client: Any) -> None:
    await client.complete("Say something.", retry_enabled=False)
