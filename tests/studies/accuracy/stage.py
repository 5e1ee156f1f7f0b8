"""Real any-llm clients that call a fake provider, and how it answers. Times are seconds."""

from __future__ import annotations

import asyncio
import contextlib
import math
import random
import time
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

from gluellm_pools.demo.load import client_library
from gluellm_pools.fake_provider import Behaviour, FakeProviderThread

Range = tuple[float, float]
"""Evenly distributed between the two."""
OPENAI, ANTHROPIC = "openai", "anthropic"
HUNG = "hung"
"""The model whose answers never come."""
_ERRORS = (429, 429, 500, 529)
_THREADS = 48
_TICK = 0.05
_AFTER_FAILURE = (0.05, 0.25)
_MAX_TOKENS = 200


@dataclass(kw_only=True)
class Answers:
    """How the provider answers. What is given a default here is for faults to change."""

    head_delay: float = 0.0
    jitter: float = 0.0
    tokens: tuple[int, int]
    token_rate: float
    error_share: float = 0.0
    """Of the requests: 429, 500 or 529."""
    reasoning: Range = (0.0, 0.0)
    """Until the head of an answer that needs thought."""
    head_factor: float = 1.0
    """Times the usual time until the head."""
    token_factor: float = 1.0
    """Times the usual time between tokens."""
    silent_share: float = 0.0
    """Of the requests: these are never answered."""
    dropped_share: float = 0.0
    """Of the requests on reused connections: their connection is reset instead."""
    close: bool = False
    """Whether each connection is closed behind its answer."""

    @property
    def usual(self) -> float:
        """How long an ordinary answer takes in the mean."""
        return self.head_delay + self.jitter / 2 + sum(self.tokens) / 2 / self.token_rate

    def to(self, request: Any, rng: random.Random) -> Behaviour:
        """Called in the provider's thread."""
        if request.model == HUNG or rng.random() < self.silent_share:
            return Behaviour(head_delay=math.inf)
        thinks = request.model == "reasoning"
        delay = rng.uniform(*self.reasoning) if thinks else self.head_delay
        return Behaviour(
            head_delay=delay * self.head_factor,
            jitter=self.jitter * self.head_factor,
            tokens=rng.randint(*self.tokens),
            token_rate=self.token_rate / self.token_factor,
            status=rng.choice(_ERRORS) if rng.random() < self.error_share else 200,
            retry_after=rng.uniform(0.05, 0.3),
            drop_reused=rng.random() < self.dropped_share,
            close=self.close,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """Callers of one kind."""

    shape: str = "steady"
    """``steady``: each calls, pauses, and calls again. ``arrivals``: calls come at a rate, whatever
    becomes of the others. ``bursts``: all call at once, again and again. ``cancelling``: each gives
    up on some of its calls."""
    callers: int = 1
    pause: Range = (0.05, 0.2)
    rate: float = 0.0
    """Calls a second of ``arrivals``."""
    model: str = "usual"
    """``reasoning`` is silent for long before its head."""
    streams: float = 0.5
    """Share of the calls that ask for a stream."""
    prompt: tuple[int, int] = (4, 80)
    """Words."""
    client: int = 0
    work: Range = (0.0, 0.0)
    """What the caller does between two chunks of a stream."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """A service that is well."""

    provider: str
    sync: bool = False
    """any-llm's synchronous API, called from threads."""
    http2: bool = False
    max_streams: int = 100
    clients: int = 1
    connections: int | None = None
    """The pool's limit; None leaves the SDK its own client."""
    keepalive_expiry: float = 5.0
    pool_timeout: float = 600.0
    connect_timeout: float = 5.0
    read_timeout: float = 600.0
    retries: int = 0
    answers: Answers
    traffic: tuple[Traffic, ...] = ()

    @property
    def callers(self) -> int:
        """All that call at a time."""
        return sum(part.callers for part in self.traffic)


def access(setting: Setting, provider: Any) -> dict[str, Any]:
    """What any-llm needs to reach the fake provider."""
    base = provider.anthropic_url if setting.provider == ANTHROPIC else provider.openai_url
    return {"api_key": "any", "api_base": base}


def create(setting: Setting, provider: Any, **more: Any) -> Any:
    """A client with a pool as the setting has it. ``more`` is for ``AnyLLM.create``."""
    from any_llm import AnyLLM

    library = client_library(setting.provider)
    times = {"connect": setting.connect_timeout, "pool": setting.pool_timeout}
    options: dict[str, Any] = {
        **access(setting, provider),
        "timeout": library.Timeout(setting.read_timeout, **times),
        "max_retries": setting.retries,
    }
    if setting.connections is not None or setting.http2:
        limits = library.Limits(
            max_connections=setting.connections, keepalive_expiry=setting.keepalive_expiry
        )
        options["http_client"] = library.AsyncClient(
            http1=not setting.http2, http2=setting.http2, limits=limits, trust_env=False
        )
    return AnyLLM.create(setting.provider, **{**options, **more})


class Stage:
    """Clients, provider, and everything that calls. ``name`` seeds what is drawn on it.

    ``with stage.thread:``, within the event loop, it can `begin`.
    """

    def __init__(self, setting: Setting, name: str) -> None:
        self.setting = setting
        self.answers = replace(setting.answers)
        rng = random.Random(f"{name}/answers")
        self.thread = FakeProviderThread(
            behaviour=lambda request: self.answers.to(request, rng),
            http2=setting.http2,
            max_streams=setting.max_streams,
        )
        self.provider = self.thread
        self.clients: list[Any] = []
        self.work: Range = (0.0, 0.0)
        """What every caller does between two chunks, besides its own work."""
        self.paused = asyncio.Event()
        """Cleared while nobody calls."""
        self.paused.set()
        self.starved = 0.0
        """The longest that the event loop was late without a reason in this process."""
        self._name = name
        self._tasks: list[asyncio.Task[None]] = []
        self._sources = 0

    def source(self) -> random.Random:
        """A source for one task, so that tasks don't depend on their order."""
        self._sources += 1
        return random.Random(f"{self._name}/{self._sources}")

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run it until it ends or the stage does."""
        self._tasks = [task for task in self._tasks if not task.done() or _error(task)]
        self._tasks.append(asyncio.create_task(coroutine))

    def begin(self) -> None:
        """Build the clients, and start the traffic of the setting."""
        self.clients = [create(self.setting, self.provider) for _ in range(self.setting.clients)]
        # asyncio's own has a thread or two more than there are processors.
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(_THREADS))
        self.spawn(self._notice_starvation())
        for traffic in self.setting.traffic:
            self.add(traffic)

    def go_wrong(self, fault: Any) -> None:
        """Let a fault begin, one of ours or of the demo's. Keep it: it has what it abandons."""
        self.spawn(fault.run(self, math.inf))

    def add(self, traffic: Traffic) -> None:
        """Start callers of one kind."""
        together = traffic.shape in ("arrivals", "bursts")
        for _ in range(1 if together else traffic.callers):
            self.spawn(getattr(self, f"_{traffic.shape}")(traffic, self.source()))

    async def end(self) -> None:
        """Let nobody call any more, and no connection remain. Raises what a task has raised."""
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks, timeout=5)
        await self.thread.call(self.provider.close())
        if not self.setting.sync:  # those are the runner's, in its own loop
            for client in self.clients:
                with contextlib.suppress(Exception):
                    await client.client.close()
        for error in filter(None, map(_error, self._tasks)):
            raise error

    async def _notice_starvation(self) -> None:
        """Tell a machine that is busy with others from what this process does.

        Late by as much as this process computed is its own doing; what is beyond that, it was
        waiting for a processor. (Or its loop slept, which only a run with a blocked one does.)
        """
        while True:
            wall, computed = time.monotonic(), time.process_time()
            await asyncio.sleep(_TICK)
            late = time.monotonic() - wall - _TICK
            self.starved = max(self.starved, late - (time.process_time() - computed))

    # Calls

    async def call(self, target: str, ask: Callable[[Any], Awaitable[None]]) -> None:
        """As the demo's faults call: the first client, whatever the target."""
        await self._try(ask(self.clients[0]))

    async def ask(
        self, traffic: Traffic, rng: random.Random, client: Any = None, **more: Any
    ) -> None:
        """One call of a caller, its answer read to the end."""
        await self.paused.wait()
        options: dict[str, Any] = {
            "model": traffic.model,
            "messages": [{"role": "user", "content": "word " * rng.randint(*traffic.prompt)}],
            "max_tokens": _MAX_TOKENS,
            "stream": rng.random() < traffic.streams,
            **more,
        }
        client = client or self.clients[traffic.client % len(self.clients)]

        def work() -> float:
            return rng.uniform(*traffic.work) + rng.uniform(*self.work)

        if self.setting.sync:
            await self._try(asyncio.to_thread(_ask_in_thread, client, options, work))
        else:
            await self._try(_ask(client, options, work))

    async def _try(self, call: Awaitable[None]) -> None:
        """A caller who failed pauses."""
        try:
            await call
        except Exception:  # the SDKs' and any-llm's errors share no other base
            await asyncio.sleep(random.uniform(*_AFTER_FAILURE))

    async def _steady(self, traffic: Traffic, rng: random.Random) -> None:
        while True:
            await self.ask(traffic, rng)
            await asyncio.sleep(rng.uniform(*traffic.pause))

    async def _bursts(self, traffic: Traffic, rng: random.Random) -> None:
        rngs = [self.source() for _ in range(traffic.callers)]
        while True:
            await asyncio.sleep(rng.uniform(*traffic.pause))
            await asyncio.gather(*(self.ask(traffic, own) for own in rngs))

    async def _arrivals(self, traffic: Traffic, rng: random.Random) -> None:
        while True:
            await asyncio.sleep(rng.expovariate(traffic.rate))
            self.spawn(self.ask(traffic, self.source()))

    async def _cancelling(self, traffic: Traffic, rng: random.Random) -> None:
        usual = self.setting.answers.usual
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(rng.uniform(0.2, 2.0) * usual):
                    await self.ask(traffic, rng)
            await asyncio.sleep(rng.uniform(*traffic.pause))


def prepare() -> None:
    """Import and build once what a first call does: it takes a second, and blocks the loop."""

    async def call() -> None:
        answers = Answers(tokens=(2, 2), token_rate=100)
        for provider in (OPENAI, ANTHROPIC):
            stage = Stage(Setting(provider=provider, answers=answers, connections=1), "first")
            with stage.thread:
                stage.begin()
                for streams in (0.0, 1.0):
                    await stage.ask(Traffic(streams=streams), stage.source())
                await stage.end()

    asyncio.run(call())


async def _ask(client: Any, options: dict[str, Any], work: Callable[[], float]) -> None:
    answer = await client.acompletion(**options)
    if options["stream"]:
        async for _ in answer:
            if pause := work():
                await asyncio.sleep(pause)


def _ask_in_thread(client: Any, options: dict[str, Any], work: Callable[[], float]) -> None:
    answer = client.completion(**options)
    if options["stream"]:
        for _ in answer:
            if pause := work():
                time.sleep(pause)


def _error(task: asyncio.Task[None]) -> BaseException | None:
    return task.exception() if task.done() and not task.cancelled() else None
