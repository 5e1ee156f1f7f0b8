"""What goes wrong, as far as `scoring` does not have it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace

from studies.accuracy.scoring import clients
from studies.accuracy.scoring.plan import Fault
from studies.accuracy.scoring.stage import Stage


@dataclass(frozen=True)
class Together(Fault):
    """Several faults at once."""

    faults: tuple[Fault, ...]

    async def start(self, stage: Stage) -> None:
        for fault in self.faults:
            await fault.start(stage)


@dataclass(frozen=True)
class Repeatedly(Fault):
    """A fault that comes little by little."""

    fault: Fault
    every: float
    times: int

    async def start(self, stage: Stage) -> None:
        stage.spawn(self._repeat(stage))

    async def _repeat(self, stage: Stage) -> None:
        for _ in range(self.times):
            await self.fault.start(stage)
            await asyncio.sleep(self.every)


@dataclass(frozen=True)
class Overload(Fault):
    """The provider answers late, and a share of the requests with an error that SDKs resend on."""

    share: float
    factor: float

    async def start(self, stage: Stage) -> None:
        stage.answers.head_factor = self.factor
        stage.answers.error_share = self.share


@dataclass(frozen=True)
class Unresolvable(Fault):
    """Some callers are given a host name that no resolver knows."""

    callers: int
    host: str = "eu.llm.invalid"

    async def start(self, stage: Stage) -> None:
        url = clients.arguments(stage.setting, stage.provider)["api_base"]
        url = url.replace(stage.provider.host, self.host)
        stage.clients.append(clients.create(stage.setting, stage.provider, api_base=url))
        number = len(stage.clients) - 1
        stage.add(replace(stage.setting.traffic[0], callers=self.callers, client=number))
