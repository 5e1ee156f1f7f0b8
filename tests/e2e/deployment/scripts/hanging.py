"""Calls a provider that never answers. Arguments: its URL, and where to be scraped: a port, or 0.

With 0 the SDK's own environment variables say where to export to, by OTLP over HTTP.
"""

from __future__ import annotations

import asyncio
import sys

from any_llm import AnyLLM
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricReader, PeriodicExportingMetricReader

from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor


def reader(port: int) -> MetricReader:
    """What is scraped, or what exports."""
    if port:
        from opentelemetry.exporter.prometheus import PrometheusMetricReader
        from prometheus_client import start_http_server

        start_http_server(port, "127.0.0.1")
        return PrometheusMetricReader()
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter

    return PeriodicExportingMetricReader(OTLPMetricExporter())


async def main(url: str, port: str) -> None:
    GlueLLMInstrumentor().instrument(meter_provider=MeterProvider([reader(int(port))]))
    llm = AnyLLM.create("openai", api_key="any", api_base=url)
    await llm.acompletion(model="some-model", messages=[{"role": "user", "content": "hello"}])


asyncio.run(main(*sys.argv[1:]))
