"""The demo's OpenTelemetry SDK: metrics are read in this process and may be exported as well."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from opentelemetry.sdk.metrics import MeterProvider, export
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from ..view import Subject, View, read

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT")
_DEFAULTS = {
    # ms: the SDK's default, a minute, is longer than an act. Peaks look back a little longer.
    "OTEL_METRIC_EXPORT_INTERVAL": "2000",
    "OTEL_PYTHON_GLUELLM_FINDINGS_INTERVAL": "5",
    # Seconds, retries included: an endpoint that does not answer must not hold up the end.
    "OTEL_EXPORTER_OTLP_TIMEOUT": "2",
    "OTEL_SERVICE_NAME": "gluellm-pools-demo",
}
_SHUTDOWN_TIMEOUT = 5000.0


class Telemetry:
    """Providers of the demo's own; the global ones stay untouched.

    ``readers`` read the metrics as well.
    """

    def __init__(self, readers: Sequence[export.MetricReader] = ()) -> None:
        for name, value in _DEFAULTS.items():
            os.environ[name] = os.environ.get(name) or value
        resource = Resource.create()
        self._reader = export.InMemoryMetricReader()
        all_readers: list[export.MetricReader] = [self._reader, *readers]
        self.tracer_provider = TracerProvider(resource=resource)
        self.endpoint = next((os.environ[name] for name in _ENDPOINTS if os.environ.get(name)), "")
        """Where metrics and spans are exported to; empty for nowhere."""
        if self.endpoint:
            from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

            all_readers.append(export.PeriodicExportingMetricReader(OTLPMetricExporter()))
            self.tracer_provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self.meter_provider = MeterProvider(all_readers, resource)

    def read(self, evidence: Mapping[tuple[Subject, str], str]) -> View:
        return read(self._reader.get_metrics_data(), evidence)

    def shutdown(self) -> None:
        """Export what is left and stop; gives up after 5 s if the endpoint does not answer."""
        self.meter_provider.shutdown(_SHUTDOWN_TIMEOUT)
        self.tracer_provider.shutdown()
