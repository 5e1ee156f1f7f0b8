"""An SDK as programs have it, whose exporters fail in every way that they can."""

from __future__ import annotations

import itertools
import time
from collections import Counter
from typing import Any

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    InMemoryMetricReader,
    MetricExportResult,
    PeriodicExportingMetricReader,
)
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult

_TURNS = ("sends", "succeeds", "sends", "raises", "sends", "is slow", "fails", "hangs")
_DELAYS = {"is slow": 0.3, "hangs": 2.5}


class ExporterError(Exception):
    """What an exporter with a defect raises."""


def _failing(exporter: Any, what: str, done: Counter[str]) -> Any:
    """Let an exporter send, succeed, fail, raise or hang by turns."""
    turns, send = itertools.cycle(_TURNS), exporter.export
    results: Any = MetricExportResult if what == "metrics" else SpanExportResult

    def export(*arguments: Any, **options: Any) -> Any:
        turn = next(turns)
        done[f"exporter of {what} {turn}"] += 1
        if turn == "raises":
            raise ExporterError(what)
        if turn == "sends":
            return send(*arguments, **options)
        time.sleep(_DELAYS.get(turn, 0.0))
        return results.FAILURE if turn == "fails" else results.SUCCESS

    exporter.export = export
    return exporter


class Sdk:
    """Both providers, which send to an OTLP receiver."""

    def __init__(self, collector: str) -> None:
        self.done: Counter[str] = Counter()
        """What the exporters did."""
        metrics = OTLPMetricExporter(f"{collector}/v1/metrics", timeout=1)
        spans = OTLPSpanExporter(f"{collector}/v1/traces", timeout=1)
        self.reader = InMemoryMetricReader()
        self.periodic = PeriodicExportingMetricReader(
            _failing(metrics, "metrics", self.done),
            export_interval_millis=700,
            export_timeout_millis=2000,
        )
        self.meters = MeterProvider([self.reader, self.periodic], shutdown_on_exit=False)
        self.tracers = TracerProvider(shutdown_on_exit=False)
        self.tracers.add_span_processor(
            BatchSpanProcessor(
                _failing(spans, "spans", self.done),
                schedule_delay_millis=500,
                max_queue_size=512,
                max_export_batch_size=128,
            )
        )

    def end_exports(self) -> None:
        """Send nothing more; the metrics can still be read."""
        self.periodic.shutdown()
        self.tracers.shutdown()
