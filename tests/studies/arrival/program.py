"""A real any-llm program. Its exporters come from the environment, its targets from a file.

Argument: a folder with ``targets.json``, where it notes what it exports. It says where it is on
standard output, a line of JSON each, and goes on when it is told to on standard input.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor, snapshot
from opentelemetry.instrumentation.gluellm.telemetry import semconv

from . import acts
from .calling import Client, Counted
from .telling import Telling

_PATIENCE = 60.0
"""Seconds for what the watch counts: it looks once a second, and not while the loop is late."""


class Program:
    """The calls, and the points at which it stands still."""

    def __init__(self, folder: Path) -> None:
        self.targets = SimpleNamespace(**json.loads((folder / "targets.json").read_text()))
        broken = urlsplit(self.targets.spiteful)
        span = semconv.SPAN_SETUP.format(address=broken.hostname, port=broken.port)
        self.telling = Telling(folder, span)
        GlueLLMInstrumentor().instrument(
            meter_provider=self.telling.meter_provider,
            tracer_provider=self.telling.tracer_provider,
            metrics="full",
            time_in_queue=True,
            model_attributes=True,
            leak_threshold=2,
        )
        self.counted = Counted()
        self._tracer = self.telling.tracer_provider.get_tracer("program")

    def client(self, url: str, **settings: Any) -> Client:
        """A client that counts here."""
        return Client(url, self.counted, self._tracer, **settings)

    async def run(self) -> None:
        """All acts, the hold, the end."""
        self.say("began", scrape_port=self.telling.scrape_port)
        client, targets = self.client, self.targets
        authority = ssl.create_default_context(cafile=targets.authority)
        plain = client(targets.plain)
        tight = client(targets.tight, name="tight", connections=1)
        odd = [client(targets.odd, name="odd", connections=1) for _ in range(3)]
        crowded = client(targets.anthropic, sdk="anthropic", connections=1)
        http2 = client(targets.http2, name="http2", http1=False, http2=True)
        left = client(targets.http2, name="left", http1=False, http2=True)
        secure = client(targets.tls, name="tls", verify=authority)
        deaf = client(targets.deaf, name="deaf")
        retrying = client(targets.plain, retries=1)
        clients = [plain, tight, *odd, crowded, http2, left, secure, deaf, retrying]

        await asyncio.gather(
            acts.served(plain),
            acts.queued(tight),
            acts.contended(crowded),
            acts.streams(http2),
            acts.not_connected(client, targets),
            secure.ask("quick"),
        )
        await acts.dropped_when_idle(plain)
        await acts.gave_up_reading(plain)
        await retrying.ask("once")
        # Before connections are left to the garbage collector: asyncio takes a later descriptor
        # with the number of one of theirs for it, and then nothing wakes gRPC's calls.
        xai = await acts.called_over_grpc(targets.xai, self._tracer)
        await acts.churned(targets.plain, self._tracer)
        held = acts.Held()
        await held.hold(plain, tight, deaf, http2, left)
        await held.spoil(*odd)
        await _until(lambda: sum(pool.leaks for pool in snapshot().totals) >= held.leaks)
        await _until(lambda: _anomalies() == set(semconv.ANOMALY_TYPES))
        # Only now: for a while after this the watch takes nothing for an anomaly.
        await acts.blocked(plain)
        await _until(lambda: (snapshot().process.event_loop_lag or 0) > acts.BLOCKED / 2)
        await asyncio.to_thread(self.telling.export)
        await self.stand("held")
        await held.release()
        await self.stand("quiet")
        for each in clients:
            await each.http.aclose()
        await xai.client.close()  # type: ignore[attr-defined]
        await asyncio.to_thread(self.telling.export)
        counted = self.counted
        self.say("counted", ended=counted.ended, streams=counted.streams, chunks=counted.chunks)
        await asyncio.to_thread(self.telling.shutdown)

    async def stand(self, where: str) -> None:
        """Stand still; ``read`` is answered with the metrics of now, ``go`` ends it."""
        self.say(where)
        while (line := (await asyncio.to_thread(sys.stdin.readline)).strip()) == "read":
            self.say("metrics", metrics=await asyncio.to_thread(self.telling.read))
        if line != "go":
            sys.exit("whoever started the program is gone")

    @staticmethod
    def say(event: str, **more: Any) -> None:
        """Tell whoever started the program."""
        print(json.dumps({"event": event, **more}), flush=True)


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(_PATIENCE):
        while not condition():
            await asyncio.sleep(0.1)


def _anomalies() -> set[str]:
    return {kind for pool in snapshot().totals for kind, n in pool.anomalies.items() if n}


if __name__ == "__main__":
    asyncio.run(Program(Path(sys.argv[1])).run())
