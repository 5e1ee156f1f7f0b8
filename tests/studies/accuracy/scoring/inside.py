"""What goes wrong, or just on, inside the application."""

from __future__ import annotations

import asyncio
import hashlib
import time
from dataclasses import dataclass, replace
from typing import Any

import any_llm

from . import clients
from .plan import Fault, Range, Traffic
from .stage import Stage


@dataclass(frozen=True)
class Nothing(Fault):
    """All is well."""

    async def start(self, stage: Stage) -> None:
        pass


@dataclass(frozen=True)
class OneBurst(Fault):
    """Healthy: many calls at once, one time, for which there is room."""

    callers: int
    after: float

    async def start(self, stage: Stage) -> None:
        stage.spawn(self._burst(stage))

    async def _burst(self, stage: Stage) -> None:
        await asyncio.sleep(self.after)
        traffic = replace(stage.setting.traffic[0], shape="steady", pause=(100.0, 100.0))
        stage.add(replace(traffic, callers=self.callers))


@dataclass(frozen=True)
class MoreOfTheSame(Fault):
    """Healthy: more callers, for whom there is room."""

    callers: int

    async def start(self, stage: Stage) -> None:
        stage.add(replace(stage.setting.traffic[0], callers=self.callers))


@dataclass(frozen=True)
class Lull(Fault):
    """Healthy: for a while nobody calls."""

    after: float
    lasts: float

    async def start(self, stage: Stage) -> None:
        stage.spawn(self._lull(stage))

    async def _lull(self, stage: Stage) -> None:
        await asyncio.sleep(self.after)
        stage.paused.clear()
        await asyncio.sleep(self.lasts)
        stage.paused.set()


@dataclass(frozen=True)
class Crowd(Fault):
    """More callers at a time than the pool has connections."""

    callers: int
    pause: Range

    async def start(self, stage: Stage) -> None:
        traffic = stage.setting.traffic[0]
        stage.add(replace(traffic, callers=self.callers, pause=self.pause))


@dataclass(frozen=True)
class Rush(Fault):
    """More calls a second than the pool can carry."""

    rate: float

    async def start(self, stage: Stage) -> None:
        stage.add(replace(stage.setting.traffic[0], shape="arrivals", rate=self.rate))


@dataclass(frozen=True)
class Abandonment(Fault):
    """Streams that are kept and not read to their end, or not at all."""

    streams: int
    never_read: bool

    async def start(self, stage: Stage) -> None:
        for _ in range(self.streams):
            stage.spawn(self._abandon(stage))

    async def _abandon(self, stage: Stage) -> None:
        rng = stage.source()
        await asyncio.sleep(rng.uniform(0.0, 0.4))
        stream = await stage.clients[0].acompletion(
            model="usual", messages=clients.messages(100, rng), max_tokens=200, stream=True
        )
        stage.kept.append(stream)
        if not self.never_read:
            async for _ in stream:
                break


@dataclass(frozen=True)
class SlowReading(Fault):
    """Every caller works between the chunks of its answer."""

    work: Range

    async def start(self, stage: Stage) -> None:
        stage.work = self.work


@dataclass(frozen=True)
class ThrowAway(Fault):
    """A client for a call or two, instead of one that is kept."""

    way: str
    callers: int
    calls: int
    pause: Range

    async def start(self, stage: Stage) -> None:
        traffic = stage.setting.traffic[0]
        for _ in range(self.callers):
            stage.spawn(self._call_anew(stage, traffic))

    async def _call_anew(self, stage: Stage, traffic: Traffic) -> None:
        rng = stage.source()
        setting = stage.setting
        access = clients.arguments(setting, stage.provider)
        while True:
            if self.way == "function":
                await stage.call(traffic, rng, _Module(setting.provider, access))
            else:
                llm = any_llm.AnyLLM.create(setting.provider, **access)
                for _ in range(self.calls):
                    await stage.call(traffic, rng, llm)
                if self.way == "closed instance":
                    await llm.client.close()  # type: ignore[attr-defined]
            await asyncio.sleep(rng.uniform(*self.pause))


class _Module:
    """any-llm's functions, which build a client for each call."""

    def __init__(self, provider: str, access: dict[str, Any]) -> None:
        self._options = {"provider": provider, **access}

    async def acompletion(self, **options: Any) -> Any:
        return await any_llm.acompletion(**options, **self._options)


@dataclass(frozen=True)
class Block(Fault):
    """Something sleeps or computes in the event loop, again and again."""

    lasts: Range
    free: Range
    computes: bool

    async def start(self, stage: Stage) -> None:
        stage.spawn(self._block(stage))

    async def _block(self, stage: Stage) -> None:
        rng = stage.source()
        while True:
            await asyncio.sleep(rng.uniform(*self.free))
            until = time.monotonic() + rng.uniform(*self.lasts)
            if not self.computes:
                time.sleep(until - time.monotonic())
            while time.monotonic() < until:
                hashlib.sha256(b"anything").hexdigest()
