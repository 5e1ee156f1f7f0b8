"""One process of a service: real calls, metrics over OTLP, and what goes wrong when it is told to.

It is told what to play by the first line of standard input, in JSON, so that no list of processes
gives it away; by the second line to begin; and ends with standard input. Where it is it says on
standard output, in JSON.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import sys
import threading
import time
from typing import Any

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource

from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor
from opentelemetry.instrumentation.gluellm.cli.fake_provider import FakeProviderThread
from studies.accuracy.scoring.answers import Answers
from studies.accuracy.scoring.inside import Nothing
from studies.accuracy.scoring.plan import Plan, Setting
from studies.accuracy.scoring.playing import prepare
from studies.accuracy.scoring.stage import Stage

from .catalogue import INCIDENTS


def main() -> int:
    """Play until standard input ends."""
    told: dict[str, Any] = json.loads(sys.stdin.readline())
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
    prepare()
    exporter = OTLPMetricExporter(f"{told['endpoint']}/v1/metrics")
    reader = PeriodicExportingMetricReader(exporter, told["interval"] * 1000)
    provider = MeterProvider([reader], Resource(told["resource"]))
    GlueLLMInstrumentor().instrument(meter_provider=provider)
    try:
        asyncio.run(_play(told))
    finally:
        provider.shutdown()
    return 0


async def _play(told: dict[str, Any]) -> None:
    incident = INCIDENTS[told["incident"]]
    instance = incident.instances[told["instance"]]
    settings = [instance.setting or incident.setting]
    if incident.beside is not None:
        settings.append(incident.beside)
    fault = asyncio.Event()
    over = asyncio.Event()
    _listen(asyncio.get_running_loop(), fault, over)
    with contextlib.ExitStack() as exits:
        stages = [
            _stage(
                exits,
                Plan(
                    seed=told["seed"],
                    index=number,
                    cause=incident.cause,
                    setting=setting,
                    fault=Nothing() if number else incident.fault,
                    warm_up=0.0,
                    period=0.0,
                ),
            )
            for number, setting in enumerate(settings)
        ]
        for stage in stages:
            stage.begin()
        _say("ready")
        await fault.wait()
        _say("began")
        for stage in stages:
            await stage.plan.fault.start(stage)
        await over.wait()
        _say("over", starved=max(stage.starved for stage in stages))
        for stage in stages:
            await stage.end()


def _stage(exits: contextlib.ExitStack, plan: Plan) -> Stage:
    setting: Setting = plan.setting
    answers = Answers(setting.answering, plan.source("answers"))
    thread = FakeProviderThread(
        behaviour=answers, http2=setting.http2, max_streams=setting.max_streams
    )
    exits.enter_context(thread)
    return Stage(plan, thread, answers)


def _listen(loop: asyncio.AbstractEventLoop, fault: asyncio.Event, over: asyncio.Event) -> None:
    def read() -> None:
        for _ in sys.stdin:
            loop.call_soon_threadsafe(fault.set)
        loop.call_soon_threadsafe(fault.set)
        loop.call_soon_threadsafe(over.set)

    threading.Thread(target=read, daemon=True).start()


def _say(event: str, **more: Any) -> None:
    print(json.dumps({"event": event, "at": time.time(), **more}), flush=True)


if __name__ == "__main__":
    sys.exit(main())
