"""Real any-llm calls in this process, and the export of their metrics."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from any_llm import AnyLLM
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricReader, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource

from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor

SERVICE = "answers"
_NEVER = 3_600_000.0
"""Interval in milliseconds: exports happen only when flushed and at the end."""


def call(url: str, times: int) -> None:
    """Make calls one after the other with one client, then close the client."""

    async def calls() -> None:
        llm = AnyLLM.create("openai", api_key="any", api_base=url)
        for _ in range(times):
            await llm.acompletion(model="some", messages=[{"role": "user", "content": "hello"}])
        await llm.client.close()

    asyncio.run(calls())


def exporting(endpoint: str) -> MetricReader:
    """Return a reader that exports to an OTLP/HTTP endpoint (base URL) when it is flushed."""
    return PeriodicExportingMetricReader(
        OTLPMetricExporter(endpoint=f"{endpoint}/v1/metrics"), export_interval_millis=_NEVER
    )


@contextmanager
def instrumented(reader: MetricReader, instance: str) -> Iterator[MeterProvider]:
    """Instrument for a block. The reader collects once more at its end."""
    resource = Resource.create({"service.name": SERVICE, "service.instance.id": instance})
    provider = MeterProvider([reader], resource=resource, shutdown_on_exit=False)
    GlueLLMInstrumentor().instrument(meter_provider=provider)
    try:
        yield provider
    finally:
        provider.shutdown()
        GlueLLMInstrumentor().uninstrument()
