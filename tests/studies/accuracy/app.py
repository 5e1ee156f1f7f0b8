"""An application: clients of real SDKs, callers, and a scripted provider on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import random
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from gluellm_pools.demo.load import client_library
from gluellm_pools.fake_provider import Behaviour, FakeProviderThread, ReceivedRequest
from support.listener import Listener, ServerLoop
from support.network import Certificates

Call = Callable[[], Coroutine[Any, Any, Any]]
OPENAI, ANTHROPIC = "openai", "anthropic"
USUAL = Behaviour(head_delay=0.3, jitter=0.4, tokens=12, token_rate=40)
"""An answer takes 0.6 to 1 s."""
MODELS = {OPENAI: "gpt-4o-mini", ANTHROPIC: "claude-sonnet-4-5"}
MODEL, CLAUDE = MODELS.values()
_MESSAGES: list[Any] = [{"role": "user", "content": "Summarize this ticket in one sentence."}]
_TICK = 0.05


class Route(Listener):
    """Relays connections to a provider; ``setup_after`` slows down its TLS handshake."""

    to: Any = None
    """The provider."""

    async def serve(
        self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Relay a connection."""
        await self._relay(self.to.host, self.to.port, reader, writer)


class App:
    """Builds the parts of an incident's application.

    ``name`` seeds the random numbers. The providers listen on ``ports``, as those before an `end`.
    """

    def __init__(self, name: str, ports: Iterable[int] = ()) -> None:
        self.name = name
        self.rng = random.Random(name)
        self.is_up, self._begins = asyncio.Event(), asyncio.Event()
        self.over = threading.Event()
        self.starved = 0.0
        """Seconds since start-up in which the process was ready to run but got no processor."""
        self.kept: list[Any] = []
        """What the application keeps alive."""
        self.calls = {"before": Counter[str](), "after": Counter[str]()}
        """The application's calls by outcome, and their total time in tenths of a second."""
        self.certificates = Certificates.make()
        self._exits = contextlib.ExitStack()
        self._ports = iter(ports)
        self._providers: list[FakeProviderThread] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._servers: ServerLoop | None = None

    # Life cycle

    async def goes_wrong(self) -> None:
        """Mark the application as built and running, and return when the incident begins."""
        self.is_up.set()
        await self._begins.wait()

    def begin(self) -> None:
        """Begin the incident."""
        self._begins.set()

    async def run(self, play: Callable[[App], Awaitable[None]]) -> None:
        """Play until cancelled."""
        self.spawn(self._notice_starvation())
        try:
            await play(self)
            self.is_up.set()
            await asyncio.Event().wait()
        finally:
            self.over.set()

    async def end(self) -> list[int]:
        """End callers and providers, as a release without the fault does. Return the ports."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        self.kept.clear()
        with ThreadPoolExecutor(1) as thread:
            await asyncio.get_running_loop().run_in_executor(thread, self._exits.close)
        return [provider.port for provider in self._providers]

    async def _notice_starvation(self) -> None:
        await self.is_up.wait()  # before that, imports compete for the processor
        while True:
            wall, computed = time.monotonic(), time.process_time()
            await asyncio.sleep(_TICK)
            late = time.monotonic() - wall - _TICK
            self.starved += max(late - (time.process_time() - computed), 0.0)

    # Providers and routes

    def serve(self, **settings: Any) -> FakeProviderThread:
        """A provider."""
        given = {"behaviour": USUAL, "port": next(self._ports, 0), **settings}
        self._providers.append(self._exits.enter_context(FakeProviderThread(**given)))
        return self._providers[-1]

    def listen(self, kind: type[Any], **settings: Any) -> Any:
        """A route or a proxy."""
        self._servers = self._servers or ServerLoop()
        return kind(self._servers, **settings)

    def tls_route(self, provider: Any, **settings: Any) -> Any:
        """A route that terminates TLS; the clients of `certificates` trust it."""
        return self.listen(Route, to=provider, tls=self.certificates.server(), **settings)

    def some(self, share: float, bad: Behaviour) -> Callable[[ReceivedRequest], Behaviour]:
        """A behaviour that is bad for a share of the requests."""
        return lambda _: bad if self.rng.random() < share else USUAL

    # Clients

    def http(self, sdk: str, connections: int = 1000, expiry: float = 30.0, **more: Any) -> Any:
        """An HTTP client of the library that the SDK uses, with the SDK's limit."""
        library = client_library(sdk)
        limits = library.Limits(max_connections=connections, keepalive_expiry=expiry)
        return library.AsyncClient(limits=limits, trust_env=False, **more)

    def sdk(self, name: str, url: str, **options: Any) -> Any:
        options.setdefault("http_client", self.http(name))
        client = {OPENAI: "AsyncOpenAI", ANTHROPIC: "AsyncAnthropic"}[name]
        return getattr(importlib.import_module(name), client)(
            base_url=url, api_key="key", **options
        )

    def any_llm(self, name: str, url: str, **options: Any) -> Any:
        from any_llm import AnyLLM

        options.setdefault("http_client", self.http(name))
        return AnyLLM.create(name, api_key="key", api_base=url, **options)

    def served(
        self, sdk: str, *, direct: bool = False, **options: Any
    ) -> tuple[FakeProviderThread, Any]:
        """A provider, and a client of it: of any-llm, or the SDK itself."""
        provider = self.serve()
        make = self.sdk if direct else self.any_llm
        return provider, make(sdk, getattr(provider, f"{sdk}_url"), **options)

    # Callers

    async def steady(
        self, sdk: str, rate: float = 3, *, direct: bool = False, stream: bool = False, **more: Any
    ) -> FakeProviderThread:
        """Calls of any-llm, or of an SDK, to a provider. Return it when the incident begins."""
        provider, client = self.served(sdk, direct=direct, **more)
        self.arrivals(rate, ask(client, MODELS[sdk], stream=stream))
        await self.goes_wrong()
        return provider

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def callers(self, count: int, call: Call, pause: tuple[float, float] = (0.5, 1.5)) -> None:
        """Start ``count`` callers, each of which calls, pauses, and calls again."""

        async def again() -> None:
            while True:
                await asyncio.sleep(self.rng.uniform(*pause))
                await self._tried(call)

        for _ in range(count):
            self.spawn(again())

    def arrivals(self, rate: float, call: Call) -> None:
        """Start calls at a rate per second, without waiting for earlier ones."""

        async def arrive() -> None:
            while True:
                await asyncio.sleep(self.rng.expovariate(rate))
                self.spawn(self._tried(call))

        self.spawn(arrive())

    def thread(self, work: Callable[[], object], pause: float) -> None:
        """Start a thread of the application that repeats ``work``."""

        def again() -> None:
            while not self.over.wait(pause):
                with contextlib.suppress(Exception):
                    work()

        threading.Thread(target=again, daemon=True).start()

    async def _tried(self, call: Call) -> None:
        began, ended = time.monotonic(), "ok"
        try:
            await call()
        except Exception as error:  # the errors of the SDKs share no other base
            ended = type(error).__name__
        counts = self.calls["after" if self._begins.is_set() else "before"]
        counts.update({ended: 1, "tenths": round(10 * (time.monotonic() - began))})


def ask(client: Any, model: str = MODEL, *, stream: bool = False) -> Call:
    """A call of an SDK that reads the answer to its end."""
    options = {"model": model, "messages": _MESSAGES, "stream": stream}
    if hasattr(client, "chat"):
        create = client.chat.completions.create
    else:
        options["max_tokens"] = 256
        create = client.acompletion if hasattr(client, "acompletion") else client.messages.create

    async def call() -> None:
        answer = await create(**options)
        if stream:
            async for _ in answer:
                pass

    return call


def within(seconds: float, call: Call, *ignored: type[Exception]) -> Call:
    """A call that is cancelled after ``seconds``, as by a user or a request handler."""

    async def limited() -> None:
        with contextlib.suppress(*ignored):
            async with asyncio.timeout(seconds):
                await call()

    return limited
