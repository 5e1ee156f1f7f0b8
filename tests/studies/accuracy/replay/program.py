"""One process of a service: an application, and metrics over OTLP.

The first line of standard input, in JSON, names the incident, so that a list of processes doesn't
reveal it. The second line begins the incident. Each further line names a file for a snapshot. The
program ends when standard input ends. It reports its state on standard output, in JSON.
"""

import asyncio
import io
import json
import logging
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from .. import clock

_LEAK_AFTER, _CHECK_PEERS_AFTER = 60.0, 10.0
"""Defaults of ``leak_threshold`` and ``peer_check_after``, which `clock` doesn't scale."""
_ENDS_WITHIN = 5.0


def main() -> None:
    """Play until standard input ends."""
    asked: dict[str, Any] = json.loads(sys.stdin.readline())
    clock.scale(asked["speed"])
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import (
        ConsoleMetricExporter,
        MetricExporter,
        PeriodicExportingMetricReader,
    )
    from opentelemetry.sdk.resources import Resource

    from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor

    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
    exporter: MetricExporter = ConsoleMetricExporter(out=io.StringIO(), formatter=lambda _: "")
    if asked["endpoint"]:
        exporter = OTLPMetricExporter(f"{asked['endpoint']}/v1/metrics")
    reader = PeriodicExportingMetricReader(exporter, asked["interval"] * 1000)
    provider = MeterProvider([reader], Resource(asked["resource"]))
    GlueLLMInstrumentor().instrument(
        meter_provider=provider,
        scope="all",
        snapshot_signal="SIGUSR2",
        leak_threshold=_LEAK_AFTER / asked["speed"],
        peer_check_after=max(1.0, _CHECK_PEERS_AFTER / asked["speed"]),  # the minimum
    )
    asyncio.run(_play(asked))


async def _play(asked: dict[str, Any]) -> None:
    from ..app import App
    from ..catalogue import INCIDENTS

    app, loop = App(asked["incident"]), asyncio.get_running_loop()
    # The loop's own executor is the application's.
    standard_input = ThreadPoolExecutor(1)
    playing = asyncio.create_task(app.run(INCIDENTS[asked["incident"]].play))
    up = asyncio.create_task(app.is_up.wait())
    await asyncio.wait([playing, up], return_when=asyncio.FIRST_COMPLETED)
    if playing.done():
        playing.result()
    _report("ready")
    if await loop.run_in_executor(standard_input, sys.stdin.readline):
        _report("began")
        app.begin()
        await loop.run_in_executor(standard_input, _keep_snapshots)
    failed = playing.exception() if playing.done() else None
    playing.cancel()
    await asyncio.wait([playing], timeout=_ENDS_WITHIN)
    seen = {"calls": app.calls, "starved": app.starved}
    _report("over", failed=repr(failed) if failed else "", **seen)
    os._exit(0)  # don't wait for threads, servers and leaked requests


def _keep_snapshots() -> None:
    from opentelemetry.instrumentation.gluellm import snapshot

    for line in sys.stdin:
        Path(line.rstrip()).write_text(json.dumps(snapshot().to_dict()))
        _report("kept")


def _report(event: str, **more: Any) -> None:
    print(json.dumps({"event": event, "at": time.time(), **more}), flush=True)


if __name__ == "__main__":
    main()
