"""The program's side of OpenTelemetry: what it exports, and a note of exactly that."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    InMemoryMetricReader,
    MetricExporter,
    MetricExportResult,
    MetricsData,
    PeriodicExportingMetricReader,
)
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from prometheus_client import start_http_server

_FLUSH = 20_000.0
"""Milliseconds."""


def _exporters() -> tuple[MetricExporter, SpanExporter]:
    # As the environment says, which is what `opentelemetry-instrument` does too.
    if os.environ["OTEL_EXPORTER_OTLP_PROTOCOL"] == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

        return OTLPMetricExporter(), OTLPSpanExporter()
    from opentelemetry.exporter.otlp.proto.http import metric_exporter, trace_exporter

    return metric_exporter.OTLPMetricExporter(), trace_exporter.OTLPSpanExporter()


class _MetricTee(MetricExporter):
    """Writes down what each export holds, and whether it was taken."""

    def __init__(self, inner: MetricExporter, note: Callable[[Any], None]) -> None:
        super().__init__(inner._preferred_temporality, inner._preferred_aggregation)
        self._inner = inner
        self._note = note

    def export(
        self, metrics_data: MetricsData, timeout_millis: float = 10_000, **kwargs: Any
    ) -> MetricExportResult:
        result = self._inner.export(metrics_data, timeout_millis, **kwargs)
        self._note({"result": result.name, "metrics": json.loads(metrics_data.to_json())})
        return result

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        return self._inner.force_flush(timeout_millis)

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: Any) -> None:
        self._inner.shutdown(timeout_millis, **kwargs)


class _SpanTee(SpanExporter):
    """Writes down the spans of each export, and whether they were taken."""

    def __init__(self, inner: SpanExporter, note: Callable[[Any], None]) -> None:
        self._inner = inner
        self._note = note

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = self._inner.export(spans)
        self._note({"result": result.name, "spans": [_whole(span) for span in spans]})
        return result

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._inner.force_flush(timeout_millis)

    def shutdown(self) -> None:
        self._inner.shutdown()


def _whole(span: ReadableSpan) -> dict[str, Any]:
    context = span.get_span_context()
    assert context is not None
    return {
        "name": span.name,
        "kind": span.kind.name,
        "trace": f"{context.trace_id:032x}",
        "span": f"{context.span_id:016x}",
        "parent": f"{span.parent.span_id:016x}" if span.parent is not None else "",
        "start": span.start_time,
        "end": span.end_time,
        "attributes": dict(span.attributes or {}),
        "links": [
            [f"{link.context.trace_id:032x}", f"{link.context.span_id:016x}"] for link in span.links
        ],
        "status": span.status.status_code.name,
        "scope": [scope.name, scope.version] if (scope := span.instrumentation_scope) else [],
    }


class _Spiteful(SpanProcessor):
    """A host's own span processor that fails for one span: our failure to be caught and counted."""

    def __init__(self, span_name: str) -> None:
        self._span_name = span_name

    def on_start(self, span: Any, parent_context: Any = None) -> None:
        if span.name == self._span_name:
            raise RuntimeError("a span processor of the program's own is broken")


class Telling:
    """The providers, with the program's own note of every export in a folder."""

    def __init__(self, folder: Path, broken_span: str) -> None:
        self._folder = folder
        metrics, spans = _exporters()
        self._in_memory = InMemoryMetricReader()
        server, _ = start_http_server(0, "127.0.0.1")
        self.scrape_port: int = server.server_port
        # Exported when the script says so: then nobody has to guess which export a store shows.
        periodic = PeriodicExportingMetricReader(
            _MetricTee(metrics, self._noting("metrics.jsonl")), float("inf")
        )
        self.meter_provider = MeterProvider(
            [periodic, self._in_memory, PrometheusMetricReader()], shutdown_on_exit=False
        )
        self._periodic = periodic
        self.tracer_provider = TracerProvider(shutdown_on_exit=False)
        self.tracer_provider.add_span_processor(
            BatchSpanProcessor(_SpanTee(spans, self._noting("spans.jsonl")))
        )
        self.tracer_provider.add_span_processor(_Spiteful(broken_span))

    def export(self) -> None:
        """Export metrics and spans now."""
        self._periodic.force_flush(_FLUSH)
        self.tracer_provider.force_flush(int(_FLUSH))

    def read(self) -> Any:
        """What the metrics are now, in the form in which exports are noted."""
        data = self._in_memory.get_metrics_data()
        return json.loads(data.to_json()) if data is not None else {"resource_metrics": []}

    def shutdown(self) -> None:
        """The last export."""
        self.meter_provider.shutdown(_FLUSH)
        self.tracer_provider.shutdown()

    def _noting(self, name: str) -> Callable[[Any], None]:
        file = self._folder / name

        def note(what: Any) -> None:
            with file.open("a") as lines:
                lines.write(json.dumps(what) + "\n")

        return note
