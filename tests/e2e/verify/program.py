"""Programs that make real calls and export metrics, forked from one that has imported everything.

Each line of standard input is the settings of one, as JSON. A program prints its process id once
its calls run, and ends at SIGTERM; all end with standard input.
"""

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from typing import Any

import httpx
from any_llm import AnyLLM
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
from opentelemetry.sdk.metrics import Histogram, MeterProvider
from opentelemetry.sdk.metrics.export import MetricReader, PeriodicExportingMetricReader
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation
from opentelemetry.sdk.resources import Resource
from prometheus_client import start_http_server

from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor

_PAUSE = 0.02


def put_clock_back(seconds: float) -> None:
    """Put the clock back for every module that imported ``time_ns``."""
    true_time = time.time_ns
    behind = lambda: true_time() - int(seconds * 1e9)  # noqa: E731
    for module in list(sys.modules.values()):
        if getattr(module, "time_ns", None) is true_time:
            module.time_ns = behind  # type: ignore[attr-defined]


def reader(settings: dict[str, Any]) -> MetricReader:
    """Return a reader that is scraped at a port, or one that exports to an endpoint."""
    if settings["port"]:
        start_http_server(settings["port"], addr="127.0.0.1")
        return PrometheusMetricReader()
    exponential = {Histogram: ExponentialBucketHistogramAggregation()}
    exporter = OTLPMetricExporter(
        settings["endpoint"] + "/v1/metrics",
        preferred_aggregation=exponential if settings["exponential"] else None,
    )
    return PeriodicExportingMetricReader(exporter, settings["interval"] * 1000)


async def calls(settings: dict[str, Any]) -> None:
    """Make one call after the other until SIGTERM."""
    over = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, over.set)
    llm = AnyLLM.create("openai", api_key="any", api_base=settings["provider"])
    async with httpx.AsyncClient() as client:
        announced = False
        while not over.is_set():
            if settings["calls"] == "any_llm":
                await llm.acompletion(model="m", messages=[{"role": "user", "content": "hello"}])
            elif settings["calls"] == "httpx":
                await client.get(settings["provider"] + "/models")
            if not announced:
                announced = True
                print(os.getpid(), flush=True)
            await asyncio.sleep(_PAUSE)
    await llm.client.close()


def program(settings: dict[str, Any]) -> None:
    """Instrument, call, export."""
    if settings["behind"]:
        put_clock_back(settings["behind"])
    os.environ["OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE"] = settings["temporality"]
    # Resource.create() of newer SDKs would give each process its own instance.
    provider = MeterProvider([reader(settings)], Resource(settings["resource"]))
    if settings["instrument"] == "gluellm":
        GlueLLMInstrumentor().instrument(meter_provider=provider)
    elif settings["instrument"] == "httpx":
        HTTPXClientInstrumentor().instrument(meter_provider=provider)
    asyncio.run(calls(settings))
    provider.shutdown()


def main() -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # no zombies of ended programs
    print("imported", flush=True)
    started = []
    for line in sys.stdin:
        started.append(os.fork())
        if started[-1] == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            program(json.loads(line))
            os._exit(0)
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)


if __name__ == "__main__":
    main()
