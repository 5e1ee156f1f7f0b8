"""What goes wrong, or just on, beside the demo's own faults."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from types import SimpleNamespace
from typing import Any

from gluellm_pools.demo.faults import Fault

from .stage import HUNG, Range, Stage, Traffic, access, create


@dataclass
class Answered(Fault):
    """The provider answers otherwise, for a while or for good."""

    changes: Mapping[str, float]
    """Of `Answers`."""
    lasts: float = math.inf

    async def run(self, stage: Stage, deadline: float) -> None:
        usual = {name: getattr(stage.answers, name) for name in self.changes}
        vars(stage.answers).update(self.changes)
        await asyncio.sleep(self.lasts)
        vars(stage.answers).update(usual)


@dataclass
class More(Fault):
    """More callers, like those that there are."""

    changes: Mapping[str, Any]
    """Of their `Traffic`."""
    after: float = 0.0

    async def run(self, stage: Stage, deadline: float) -> None:
        await asyncio.sleep(self.after)
        stage.add(replace(stage.setting.traffic[0], **self.changes))


@dataclass
class Lull(Fault):
    """For a while nobody calls."""

    after: float
    lasts: float

    async def run(self, stage: Stage, deadline: float) -> None:
        await asyncio.sleep(self.after)
        stage.paused.clear()
        await asyncio.sleep(self.lasts)
        stage.paused.set()


@dataclass
class SlowReading(Fault):
    """Every caller works between the chunks of its answer."""

    work: Range

    async def run(self, stage: Stage, deadline: float) -> None:
        stage.work = self.work


@dataclass
class ThrowAway(Fault):
    """A client for a call or two, instead of one that is kept."""

    way: str
    """``function``: any-llm's own, which build one for each call. ``kept``: for some calls.
    ``closed``: the same, closed behind them."""
    callers: int
    calls: int
    pause: Range

    async def run(self, stage: Stage, deadline: float) -> None:
        await asyncio.gather(*(self._call_anew(stage) for _ in range(self.callers)))

    async def _call_anew(self, stage: Stage) -> None:
        import any_llm

        rng, traffic = stage.source(), stage.setting.traffic[0]
        provider, options = stage.setting.provider, access(stage.setting, stage.provider)

        by_function = partial(any_llm.acompletion, provider=provider, **options)
        client: Any = SimpleNamespace(acompletion=by_function)
        while True:
            if self.way != "function":
                client = any_llm.AnyLLM.create(provider, **options)
            for _ in range(self.calls):
                await stage.ask(traffic, rng, client)
            if self.way == "closed":
                await client.client.close()
            await asyncio.sleep(rng.uniform(*self.pause))


@dataclass
class WrongAddress(Fault):
    """Some callers were given an address where nobody answers."""

    callers: int
    wrong: str
    """``port``: it refuses. ``scheme``: it knows no TLS. ``host``: no resolver knows it."""

    async def run(self, stage: Stage, deadline: float) -> None:
        url = access(stage.setting, stage.provider)["api_base"]
        old, new = {
            "port": (f":{stage.provider.port}", ":9"),  # discard, which nobody serves
            "scheme": ("http://", "https://"),
            "host": (stage.provider.host, "eu.llm.invalid"),
        }[self.wrong]
        client = create(stage.setting, stage.provider, api_base=url.replace(old, new))
        stage.clients.append(client)
        mine = {"shape": "steady", "callers": self.callers, "client": len(stage.clients) - 1}
        stage.add(replace(stage.setting.traffic[0], **mine))


@dataclass
class Down(Fault):
    """Nothing listens any more."""

    async def run(self, stage: Stage, deadline: float) -> None:
        await stage.thread.call(stage.provider.refuse())
        await stage.thread.call(stage.provider.drop())


@dataclass
class Flapping(Fault):
    """The provider comes and goes, and closes each connection behind its answer."""

    up: float
    down: float

    async def run(self, stage: Stage, deadline: float) -> None:
        stage.answers.close = True
        while True:
            await stage.thread.call(stage.provider.refuse())
            await asyncio.sleep(self.down)
            await stage.thread.call(stage.provider.listen())
            await asyncio.sleep(self.up)


@dataclass
class Resets(Fault):
    """Something on the way resets all connections now and then, also those that wait."""

    every: float

    async def run(self, stage: Stage, deadline: float) -> None:
        while True:
            await asyncio.sleep(self.every)
            await stage.thread.call(stage.provider.drop(reset=True))


@dataclass
class HungStreams(Fault):
    """Requests that the provider lets hang over HTTP/2."""

    streams: int
    patience: Range | None = None
    """Until their callers give up, and leave the streams to the provider; None: they never do."""
    every: float = 0.0

    async def run(self, stage: Stage, deadline: float) -> None:
        for _ in range(self.streams):
            stage.spawn(self._hang(stage))
            await asyncio.sleep(self.every)

    async def _hang(self, stage: Stage) -> None:
        rng = stage.source()
        if self.patience is not None:
            await asyncio.sleep(rng.uniform(0.0, 0.5))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(rng.uniform(*self.patience)):
                    await stage.ask(Traffic(), rng, model=HUNG)
            return
        while True:  # who finds no stream may be turned away with an error
            await stage.ask(Traffic(), rng, model=HUNG)


@dataclass
class Together(Fault):
    """Several at once."""

    faults: tuple[Fault, ...]

    async def run(self, stage: Stage, deadline: float) -> None:
        for fault in self.faults:
            stage.go_wrong(fault)


def compute(seconds: float) -> None:
    """Work, for so long."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        hashlib.sha256(b"anything").hexdigest()
