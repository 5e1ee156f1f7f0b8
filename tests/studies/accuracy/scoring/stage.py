"""What a run has in its hands while it goes on: clients, provider, and everything that calls."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from opentelemetry.instrumentation.gluellm.cli.fake_provider import FakeProviderThread

from . import clients
from .answers import Answers
from .plan import Plan, Range, Traffic

_THREADS = 48
_TICK = 0.05
_AFTER_FAILURE = (0.05, 0.25)
_MAX_TOKENS = 200


class Stage:
    """Built inside the run's event loop."""

    def __init__(self, plan: Plan, thread: FakeProviderThread, answers: Answers) -> None:
        self.plan = plan
        self.setting = plan.setting
        self.thread = thread
        self.provider = thread.provider
        self.answers = answers
        self.clients: list[Any] = [
            clients.create(plan.setting, self.provider) for _ in range(plan.setting.clients)
        ]
        self.work: Range = (0.0, 0.0)
        """What every caller does between two chunks, besides its own work."""
        self.paused = asyncio.Event()
        """Cleared while nobody calls."""
        self.paused.set()
        self.kept: list[Any] = []
        """What the application keeps a reference to."""
        self.starved = 0.0
        """The longest that the event loop was late without a reason in this process."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._spawned = 0
        # asyncio's own has a thread or two more than there are processors.
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(_THREADS))

    def source(self) -> random.Random:
        """A source for one task."""
        self._spawned += 1
        return self.plan.source(self._spawned)

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run it until it ends or the run does."""
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            asyncio.get_running_loop().call_exception_handler(
                {"message": "a caller died", "exception": error, "task": task}
            )

    def begin(self) -> None:
        """Start the traffic of the setting."""
        self.spawn(self._notice_starvation())
        for traffic in self.setting.traffic:
            self.add(traffic)

    def add(self, traffic: Traffic) -> None:
        """Start callers of one kind."""
        if traffic.shape == "arrivals":
            self.spawn(self._arrivals(traffic, self.source()))
            return
        call = {"steady": self._steady, "bursts": self._burst, "cancelling": self._cancelling}
        rngs = [self.source() for _ in range(traffic.callers)]
        if traffic.shape == "bursts":
            self.spawn(self._bursts(traffic, rngs))
            return
        for rng in rngs:
            self.spawn(call[traffic.shape](traffic, rng))

    async def end(self) -> None:
        """Let nobody call any more, and no connection remain."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=5)
        await self.thread.call(self.provider.close())
        self.kept.clear()
        if not self.setting.sync:  # those are the runner's, in its own loop
            for llm in self.clients:
                with contextlib.suppress(Exception):
                    await llm.client.close()

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

    async def call(
        self, traffic: Traffic, rng: random.Random, llm: Any | None = None, **more: Any
    ) -> bool:
        """One call of a caller; whether it went well."""
        await self.paused.wait()
        options: dict[str, Any] = {
            "model": traffic.model,
            "messages": clients.messages(rng.randint(*traffic.prompt), rng),
            "max_tokens": _MAX_TOKENS,
            "stream": rng.random() < traffic.streams,
            **more,
        }
        if llm is None:
            llm = self.clients[traffic.client % len(self.clients)]

        def work() -> float:
            return rng.uniform(*traffic.work) + rng.uniform(*self.work)

        try:
            if self.setting.sync:
                await asyncio.to_thread(clients.ask_in_thread, llm, options, work)
            else:
                await clients.ask(llm, options, work)
        except Exception:  # the SDKs' and any-llm's errors share no other base
            await asyncio.sleep(rng.uniform(*_AFTER_FAILURE))
            return False
        return True

    async def _call(self, traffic: Traffic, rng: random.Random) -> None:
        await self.call(traffic, rng)

    async def _steady(self, traffic: Traffic, rng: random.Random) -> None:
        while True:
            await self.call(traffic, rng)
            await asyncio.sleep(rng.uniform(*traffic.pause))

    async def _burst(self, traffic: Traffic, rng: random.Random) -> None:
        await self.call(traffic, rng)

    async def _bursts(self, traffic: Traffic, rngs: list[random.Random]) -> None:
        while True:
            await asyncio.sleep(rngs[0].uniform(*traffic.pause))
            await asyncio.gather(*(self.call(traffic, rng) for rng in rngs))

    async def _arrivals(self, traffic: Traffic, rng: random.Random) -> None:
        while True:
            await asyncio.sleep(rng.expovariate(traffic.rate))
            self.spawn(self._call(traffic, self.source()))

    async def _cancelling(self, traffic: Traffic, rng: random.Random) -> None:
        usual = self.setting.answering.usual
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(rng.uniform(0.2, 2.0) * usual):
                    await self.call(traffic, rng)
            await asyncio.sleep(rng.uniform(*traffic.pause))
