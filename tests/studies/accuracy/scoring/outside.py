"""What goes wrong, or just on, at the provider and on the way to it."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, replace

from . import clients
from .answers import HUNG
from .plan import Fault, Traffic
from .stage import Stage


@dataclass(frozen=True)
class Mood(Fault):
    """Healthy: the provider is a little slower or quicker than it was."""

    factor: float

    async def start(self, stage: Stage) -> None:
        stage.answers.head_factor = stage.answers.token_factor = self.factor


@dataclass(frozen=True)
class ErrorSpell(Fault):
    """Healthy pools: for a while the provider answers with 429 and 500."""

    share: float
    lasts: float

    async def start(self, stage: Stage) -> None:
        stage.spawn(self._refuse(stage))

    async def _refuse(self, stage: Stage) -> None:
        stage.answers.error_share = self.share
        await asyncio.sleep(self.lasts)
        stage.answers.error_share = stage.setting.answering.error_share


@dataclass(frozen=True)
class Slowness(Fault):
    """The provider takes so many times longer, until the head and between tokens."""

    factor: float
    tokens: float

    async def start(self, stage: Stage) -> None:
        stage.answers.head_factor = self.factor
        stage.answers.token_factor = self.tokens


@dataclass(frozen=True)
class Silence(Fault):
    """The provider does not answer that share of the requests."""

    share: float

    async def start(self, stage: Stage) -> None:
        stage.answers.silent_share = self.share


@dataclass(frozen=True)
class Down(Fault):
    """Nothing listens any more."""

    async def start(self, stage: Stage) -> None:
        await stage.thread.call(stage.provider.refuse())
        await stage.thread.call(stage.provider.drop())


@dataclass(frozen=True)
class Flapping(Fault):
    """The provider comes and goes, and closes each connection behind its answer."""

    up: float
    down: float

    async def start(self, stage: Stage) -> None:
        stage.answers.close = True
        stage.spawn(self._flap(stage))

    async def _flap(self, stage: Stage) -> None:
        while True:
            await stage.thread.call(stage.provider.refuse())
            await asyncio.sleep(self.down)
            await stage.thread.call(stage.provider.listen())
            await asyncio.sleep(self.up)


@dataclass(frozen=True)
class WrongAddress(Fault):
    """Some callers have a port that refuses them, or one that does not even answer TLS."""

    callers: int
    answers: bool

    async def start(self, stage: Stage) -> None:
        url = clients.arguments(stage.setting, stage.provider)["api_base"]
        if self.answers:
            url = url.replace(f":{stage.provider.port}", ":9")  # discard, which nobody serves
        else:
            url = url.replace("http://", "https://")
        stage.clients.append(clients.create(stage.setting, stage.provider, api_base=url))
        traffic = replace(
            stage.setting.traffic[0],
            shape="steady",
            callers=self.callers,
            client=len(stage.clients) - 1,
        )
        stage.add(traffic)


@dataclass(frozen=True)
class Dropping(Fault):
    """Something on the way has forgotten idle connections, and resets them when they are used."""

    share: float

    async def start(self, stage: Stage) -> None:
        stage.answers.dropped_share = self.share


@dataclass(frozen=True)
class Resets(Fault):
    """Something on the way resets all connections now and then, also those that wait."""

    every: float

    async def start(self, stage: Stage) -> None:
        stage.spawn(self._reset(stage))

    async def _reset(self, stage: Stage) -> None:
        while True:
            await asyncio.sleep(self.every)
            await stage.thread.call(stage.provider.drop(reset=True))


@dataclass(frozen=True)
class Orphans(Fault):
    """Requests that the provider lets hang over HTTP/2, and that their callers give up."""

    streams: int

    async def start(self, stage: Stage) -> None:
        for _ in range(self.streams):
            stage.spawn(self._give_up(stage))

    async def _give_up(self, stage: Stage) -> None:
        rng = stage.source()
        await asyncio.sleep(rng.uniform(0.0, 0.5))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(rng.uniform(0.3, 1.0)):
                await stage.call(Traffic(shape="steady"), rng, model=HUNG)


@dataclass(frozen=True)
class HungStreams(Fault):
    """Every stream of an HTTP/2 connection hangs, and all others wait for one."""

    period = 7.0
    streams: int

    async def start(self, stage: Stage) -> None:
        for _ in range(self.streams):
            stage.spawn(self._hang(stage))

    async def _hang(self, stage: Stage) -> None:
        rng = stage.source()
        while True:  # who finds no stream may be turned away with an error
            await stage.call(Traffic(shape="steady"), rng, model=HUNG)
