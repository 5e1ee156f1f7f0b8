"""A program that makes real calls and exports metrics as its one argument, JSON, tells.

It says ``ready`` on standard output once its calls run, and ends with standard input.
"""

from __future__ import annotations

import asyncio
import json
import sys
import threading
import time
from typing import Any

SETTINGS: dict[str, Any] = json.loads(sys.argv[1])

if SETTINGS["behind"]:
    # A machine whose clock is behind: before the SDK takes the function.
    true_time = time.time_ns
    time.time_ns = lambda: true_time() - int(SETTINGS["behind"] * 1e9)

import httpx  # noqa: E402
from any_llm import AnyLLM  # noqa: E402
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter  # noqa: E402
from opentelemetry.exporter.prometheus import PrometheusMetricReader  # noqa: E402
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor  # noqa: E402
from opentelemetry.sdk.metrics import Histogram, MeterProvider  # noqa: E402
from opentelemetry.sdk.metrics.export import (  # noqa: E402
    MetricReader,
    PeriodicExportingMetricReader,
)
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation  # noqa: E402
from opentelemetry.sdk.resources import Resource  # noqa: E402
from prometheus_client import start_http_server  # noqa: E402

from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor  # noqa: E402

_PAUSE = 0.02


def reader() -> MetricReader:
    """What exports: scraped at a port, or sent to an endpoint."""
    if SETTINGS["port"]:
        start_http_server(SETTINGS["port"], addr="127.0.0.1")
        return PrometheusMetricReader()
    exponential = {Histogram: ExponentialBucketHistogramAggregation()}
    exporter = OTLPMetricExporter(
        SETTINGS["endpoint"] + "/v1/metrics",
        preferred_aggregation=exponential if SETTINGS["exponential"] else None,
    )
    return PeriodicExportingMetricReader(exporter, SETTINGS["interval"] * 1000)


async def calls() -> None:
    """One after the other until standard input ends."""
    over = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), over.set()), daemon=True).start()
    llm = AnyLLM.create("openai", api_key="any", api_base=SETTINGS["provider"])
    async with httpx.AsyncClient() as client:
        said = False
        while not over.is_set():
            if SETTINGS["calls"] == "any_llm":
                await llm.acompletion(model="m", messages=[{"role": "user", "content": "hello"}])
            elif SETTINGS["calls"] == "httpx":
                await client.get(SETTINGS["provider"] + "/models")
            if not said:
                said = True
                print("ready", flush=True)
            await asyncio.sleep(_PAUSE)
    await llm.client.close()


def main() -> None:
    """Instrument, call, export."""
    # Not Resource.create(): newer SDKs give each process an instance of its own there.
    provider = MeterProvider([reader()], Resource(SETTINGS["resource"]))
    if SETTINGS["instrument"] == "gluellm":
        GlueLLMInstrumentor().instrument(meter_provider=provider)
    elif SETTINGS["instrument"] == "httpx":
        HTTPXClientInstrumentor().instrument(meter_provider=provider)
    asyncio.run(calls())
    provider.shutdown()


if __name__ == "__main__":
    main()
