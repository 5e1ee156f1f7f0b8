"""Telemetry of one process. Call `set_up()` in each process that calls an LLM, after any fork."""

from __future__ import annotations

import uuid

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.metrics import get_meter_provider, set_meter_provider
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import get_tracer_provider, set_tracer_provider

from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor


def set_up() -> None:
    """Start to export, as set by the OTEL_EXPORTER_OTLP_* variables.

    Does nothing if the SDK is already set up, by an earlier call or by opentelemetry-instrument.
    """
    if isinstance(get_meter_provider(), MeterProvider):
        return
    # Takes precedence over an id in OTEL_RESOURCE_ATTRIBUTES, which all processes would share.
    resource = Resource.create({"service.instance.id": str(uuid.uuid4())})
    set_meter_provider(
        MeterProvider([PeriodicExportingMetricReader(OTLPMetricExporter())], resource=resource)
    )
    tracer_provider = TracerProvider(resource=resource)
    tracer_provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    set_tracer_provider(tracer_provider)
    GlueLLMInstrumentor().instrument()


def flush() -> None:
    """Export the data since the last export, and wait for it.

    OTEL_EXPORTER_OTLP_TIMEOUT limits the wait, once for metrics and once for spans. An argument of
    force_flush() does not shorten it.
    """
    for provider in get_meter_provider(), get_tracer_provider():
        if isinstance(provider, (MeterProvider, TracerProvider)):
            provider.force_flush()


def shut_down() -> None:
    """Export for the last time. By default, the SDK does this in Python's exit handlers."""
    for provider in get_meter_provider(), get_tracer_provider():
        if isinstance(provider, (MeterProvider, TracerProvider)):
            provider.shutdown()
