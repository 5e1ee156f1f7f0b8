"""Telemetry of one process: `set_up()` in each process that calls an LLM, after any fork."""

from __future__ import annotations

import os
import uuid

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.metrics import set_meter_provider
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import set_tracer_provider

from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor

meters: MeterProvider | None = None
tracers: TracerProvider | None = None


def set_up() -> None:
    """Export from now on, to where the OTEL_EXPORTER_OTLP_* variables say. Twice is harmless."""
    global meters, tracers
    if meters is not None:
        return
    # Given here, it wins over one in OTEL_RESOURCE_ATTRIBUTES, which all processes would share.
    resource = Resource.create(
        {"service.instance.id": str(uuid.uuid4()), "process.pid": os.getpid()}
    )
    meters = MeterProvider([PeriodicExportingMetricReader(OTLPMetricExporter())], resource=resource)
    tracers = TracerProvider(resource=resource)
    tracers.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    set_meter_provider(meters)
    set_tracer_provider(tracers)
    GlueLLMInstrumentor().instrument()


def flush() -> None:
    """Export what came since the last export, and wait for that."""
    if meters is not None and tracers is not None:
        meters.force_flush()
        tracers.force_flush()


def shut_down() -> None:
    """Export for the last time. The providers do so at exit by themselves, where there is one."""
    if meters is not None and tracers is not None:
        meters.shutdown()
        tracers.shutdown()
