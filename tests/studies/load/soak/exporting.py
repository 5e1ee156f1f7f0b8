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
    MetricExporter,
    MetricExportResult,
    MetricsData,
    PeriodicExportingMetricReader,
)
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

EXPORTS_EVERY = 0.7
_SLOW, _HANGS = 0.3, 2.5
_TURNS = ("over OTLP", "fine", "over OTLP", "raises", "over OTLP", "slow", "fails", "hangs")


class ExporterError(Exception):
    """What an exporter raises that has a mistake."""


class _Faults:
    """By turns: what the next export does, counted."""

    def __init__(self, done: Counter[str], what: str) -> None:
        self._turns = itertools.cycle(_TURNS)
        self._done = done
        self._what = what

    def next(self) -> str:
        turn = next(self._turns)
        self._done[f"exporter of {self._what} {turn}"] += 1
        if turn == "raises":
            raise ExporterError("as it is told to")
        if turn in ("slow", "hangs"):
            time.sleep(_SLOW if turn == "slow" else _HANGS)
        return turn


class FaultyMetricExporter(MetricExporter):
    """Passes on to a Collector, where it doesn't fail."""

    def __init__(self, inner: OTLPMetricExporter, done: Counter[str]) -> None:
        super().__init__()
        self._inner = inner
        self._faults = _Faults(done, "metrics")

    def export(
        self, metrics_data: MetricsData, timeout_millis: float = 10_000, **kwargs: Any
    ) -> MetricExportResult:
        """As its turn is."""
        turn = self._faults.next()
        if turn == "over OTLP":
            return self._inner.export(metrics_data, timeout_millis, **kwargs)
        return MetricExportResult.FAILURE if turn == "fails" else MetricExportResult.SUCCESS

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        """Nothing is kept here."""
        return True

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: Any) -> None:
        """The end."""
        self._inner.shutdown()


class FaultySpanExporter(SpanExporter):
    """The same for spans."""

    def __init__(self, inner: OTLPSpanExporter, done: Counter[str]) -> None:
        self._inner = inner
        self._faults = _Faults(done, "spans")

    def export(self, spans: Any) -> SpanExportResult:
        """As its turn is."""
        turn = self._faults.next()
        if turn == "over OTLP":
            return self._inner.export(spans)
        return SpanExportResult.FAILURE if turn == "fails" else SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        """The end."""
        self._inner.shutdown()


class Sdk:
    """Both providers."""

    def __init__(self, collector: str) -> None:
        self.done: Counter[str] = Counter()
        """What the exporters did."""
        metrics = OTLPMetricExporter(f"{collector}/v1/metrics", timeout=1)
        spans = OTLPSpanExporter(f"{collector}/v1/traces", timeout=1)
        self.reader = InMemoryMetricReader()
        self.periodic = PeriodicExportingMetricReader(
            FaultyMetricExporter(metrics, self.done),
            export_interval_millis=EXPORTS_EVERY * 1000,
            export_timeout_millis=2000,
        )
        self.meters = MeterProvider([self.reader, self.periodic], shutdown_on_exit=False)
        self.tracers = TracerProvider(shutdown_on_exit=False)
        self.tracers.add_span_processor(
            BatchSpanProcessor(
                FaultySpanExporter(spans, self.done),
                schedule_delay_millis=500,
                max_queue_size=512,
                max_export_batch_size=128,
            )
        )

    @property
    def collections(self) -> int:
        """Exports of metrics that were tried."""
        return sum(count for name, count in self.done.items() if " metrics " in name)

    def end_exports(self) -> None:
        """Let nothing be sent any more; the metrics can still be read."""
        self.periodic.shutdown()
        self.tracers.shutdown()

    def shutdown(self) -> None:
        """The end of the rest."""
        self.meters.shutdown()
