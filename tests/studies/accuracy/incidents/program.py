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
import time
from typing import Any

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource

from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor

from ..catalogue import BESIDE, INCIDENTS
from ..stage import Stage, prepare


def main() -> None:
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


async def _play(told: dict[str, Any]) -> None:
    incident = INCIDENTS[told["incident"]]
    setting = incident.joins if told["joins"] else incident.setting
    assert setting is not None
    settings = [setting] if incident.joins else [setting, BESIDE[setting.provider]]
    with contextlib.ExitStack() as exits:
        stages = [Stage(one, f"{told['seed']}/{number}") for number, one in enumerate(settings)]
        for stage in stages:
            exits.enter_context(stage.thread)
            stage.begin()
        _say("ready")
        if await asyncio.to_thread(sys.stdin.readline):
            _say("began")
            stages[0].go_wrong(incident.fault)
            await asyncio.to_thread(sys.stdin.readline)
        _say("over", starved=max(stage.starved for stage in stages))
        for stage in stages:
            await stage.end()


def _say(event: str, **more: Any) -> None:
    print(json.dumps({"event": event, "at": time.time(), **more}), flush=True)


if __name__ == "__main__":
    main()
