"""The program's side of OpenTelemetry: what it exports, and a note of exactly that."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    InMemoryMetricReader,
    PeriodicExportingMetricReader,
)
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from prometheus_client import start_http_server

_FLUSH = 20_000.0
"""Milliseconds."""


def _exporters() -> tuple[Any, Any]:
    # As the environment says, which is what `opentelemetry-instrument` does too.
    protocol = os.environ["OTEL_EXPORTER_OTLP_PROTOCOL"].removesuffix("/protobuf")
    package = f"opentelemetry.exporter.otlp.proto.{protocol}"
    return (
        import_module(f"{package}.metric_exporter").OTLPMetricExporter(),
        import_module(f"{package}.trace_exporter").OTLPSpanExporter(),
    )


def _noted(exporter: Any, file: Path, form: Callable[[Any], dict[str, Any]]) -> Any:
    """The exporter, which notes what each export holds, and whether it was taken."""
    export = exporter.export

    def noting(data: Any, *arguments: Any, **more: Any) -> Any:
        result = export(data, *arguments, **more)
        with file.open("a") as lines:
            lines.write(json.dumps({"result": result.name, **form(data)}) + "\n")
        return result

    exporter.export = noting
    return exporter


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
        metrics, spans = _exporters()
        self._in_memory = InMemoryMetricReader()
        server, _ = start_http_server(0, "127.0.0.1")
        self.scrape_port: int = server.server_port
        # Exported when the script says so: then nobody has to guess which export a store shows.
        _noted(
            metrics,
            folder / "metrics.jsonl",
            lambda data: {"metrics": json.loads(data.to_json())},
        )
        periodic = PeriodicExportingMetricReader(metrics, float("inf"))
        self.meter_provider = MeterProvider(
            [periodic, self._in_memory, PrometheusMetricReader()], shutdown_on_exit=False
        )
        self._periodic = periodic
        self.tracer_provider = TracerProvider(shutdown_on_exit=False)
        _noted(spans, folder / "spans.jsonl", lambda batch: {"spans": list(map(_whole, batch))})
        self.tracer_provider.add_span_processor(BatchSpanProcessor(spans))
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
