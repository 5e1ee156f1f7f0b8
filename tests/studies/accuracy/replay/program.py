"""One process of a service: an application, and metrics over OTLP.

The first line of standard input, in JSON, names the incident, so that a list of processes doesn't
reveal it. The second line begins the incident. Of the further lines, ``mend`` ends it, and each
other one names a file for a snapshot. The program ends when standard input ends. It reports its
state on standard output, and what it logs on standard error, in JSON.
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

_ENDS_WITHIN = 5.0


def main() -> None:
    """Play until standard input ends."""
    asked: dict[str, Any] = json.loads(sys.stdin.readline())
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import (
        ConsoleMetricExporter,
        MetricExporter,
        PeriodicExportingMetricReader,
    )
    from opentelemetry.sdk.resources import Resource

    from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor
    from studies.late_loops import enter, own_cgroup

    if asked["incident"] == "throttled":  # as a process of a container, from its start on
        enter(own_cgroup())
    logging.basicConfig(level=logging.WARNING)
    logging.getLogger("opentelemetry.instrumentation.gluellm").setLevel(logging.INFO)
    logging.getLogger().handlers[0].setFormatter(_AsJson())
    exporter: MetricExporter = ConsoleMetricExporter(out=io.StringIO(), formatter=lambda _: "")
    if asked["endpoint"]:
        exporter = OTLPMetricExporter(f"{asked['endpoint']}/v1/metrics")
    reader = PeriodicExportingMetricReader(exporter, asked["interval"] * 1000)
    provider = MeterProvider([reader], Resource(asked["resource"]))
    GlueLLMInstrumentor().instrument(
        meter_provider=provider, scope="all", snapshot_signal="SIGUSR2"
    )
    asyncio.run(_play(asked))


class _AsJson(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        kind = getattr(record, "gluellm.finding.kind", "")
        severity = getattr(record, "gluellm.finding.severity", "")
        said = {"kind": kind, "severity": severity, "text": record.getMessage()}
        return json.dumps({"at": record.created, "level": record.levelname, **said})


async def _play(asked: dict[str, Any]) -> None:
    from ..app import App

    loop = asyncio.get_running_loop()
    # The loop's own executor is the application's.
    standard_input = ThreadPoolExecutor(1)
    app = App(asked["incident"])
    playing = await _up(app)
    _report("ready")
    line = await loop.run_in_executor(standard_input, sys.stdin.readline)
    if line:
        _report("began")
        app.begin()
    while line := await loop.run_in_executor(standard_input, sys.stdin.readline):
        if line.rstrip() == "mend":
            playing.cancel()
            await asyncio.wait([playing])
            mended = App(asked["incident"], await app.end())
            mended.calls, mended.starved = app.calls, app.starved
            app = mended
            playing = await _up(app)
            _report("mended")
        else:
            await loop.run_in_executor(standard_input, _keep_snapshot, Path(line.rstrip()))
            _report("kept")
    failed = playing.exception() if playing.done() else None
    playing.cancel()
    await asyncio.wait([playing], timeout=_ENDS_WITHIN)
    seen = {"calls": app.calls, "starved": app.starved}
    _report("over", failed=repr(failed) if failed else "", **seen)
    os._exit(0)  # don't wait for threads, servers and leaked requests


async def _up(app: Any) -> asyncio.Task[None]:
    from ..catalogue import INCIDENTS

    playing = asyncio.create_task(app.run(INCIDENTS[app.name].play))
    up = asyncio.create_task(app.is_up.wait())
    await asyncio.wait([playing, up], return_when=asyncio.FIRST_COMPLETED)
    if playing.done():
        playing.result()
    return playing


def _keep_snapshot(file: Path) -> None:
    from opentelemetry.instrumentation.gluellm import snapshot

    file.write_text(json.dumps(snapshot().to_dict()))


def _report(event: str, **more: Any) -> None:
    print(json.dumps({"event": event, "at": time.time(), **more}), flush=True)


if __name__ == "__main__":
    main()
