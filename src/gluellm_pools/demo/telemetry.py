"""The demo's OpenTelemetry SDK: metrics read in this process, and exported where that is asked."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from ..view import View, read

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics.export import MetricReader

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT")
_INTERVAL_VARIABLE = "OTEL_METRIC_EXPORT_INTERVAL"
_EXPORT_INTERVAL = 5000.0
"""Milliseconds: a minute, the SDK's default, is longer than the demo."""
_PEAK_WINDOW = 2.0
_TIMEOUT_VARIABLE = "OTEL_EXPORTER_OTLP_TIMEOUT"
_EXPORT_TIMEOUT = 2.0
"""Seconds, retries included: an endpoint where nobody listens must not hold up the end."""
_SHUTDOWN_TIMEOUT = 5000.0
_SERVICE = "gluellm-pools-demo"


class Telemetry:
    """Providers of the demo's own, so that nothing global is touched.

    ``readers`` read the metrics as well.
    """

    def __init__(self, readers: Sequence[MetricReader] = ()) -> None:
        names = {} if os.environ.get("OTEL_SERVICE_NAME") else {"service.name": _SERVICE}
        resource = Resource.create(names)
        self._reader = InMemoryMetricReader()
        all_readers: list[MetricReader] = [self._reader, *readers]
        self.peak_window = _PEAK_WINDOW
        """Seconds that peaks look back: one act is not to be judged by another one's."""
        self.tracer_provider = TracerProvider(resource=resource)
        self.endpoint = next((os.environ[name] for name in _ENDPOINTS if os.environ.get(name)), "")
        """Where metrics and spans are exported to; empty for nowhere."""
        if self.endpoint:
            all_readers.append(self._export())
            self.peak_window = max(_PEAK_WINDOW, 1.25 * _export_interval())
        self.meter_provider = MeterProvider(all_readers, resource)

    def read(self) -> View:
        return read(self._reader.get_metrics_data())

    def shutdown(self) -> None:
        """Export what is left and stop; gives up after 5 s where nobody listens."""
        self.meter_provider.shutdown(_SHUTDOWN_TIMEOUT)
        self.tracer_provider.shutdown()

    def _export(self) -> MetricReader:
        from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

        timeout = None if os.environ.get(_TIMEOUT_VARIABLE) else _EXPORT_TIMEOUT
        interval = None if os.environ.get(_INTERVAL_VARIABLE) else _EXPORT_INTERVAL
        spans = OTLPSpanExporter(timeout=timeout)
        self.tracer_provider.add_span_processor(BatchSpanProcessor(spans))
        return PeriodicExportingMetricReader(OTLPMetricExporter(timeout=timeout), interval)


def _export_interval() -> float:
    """Seconds between two exports, as the SDK reads them."""
    try:
        return float(os.environ.get(_INTERVAL_VARIABLE) or _EXPORT_INTERVAL) / 1000
    except ValueError:
        return _EXPORT_INTERVAL / 1000
