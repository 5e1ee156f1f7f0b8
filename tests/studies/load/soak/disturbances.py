"""Disturbs the whole process during a run, from a thread of its own; and the process' SDK."""

import gc
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, PeriodicExportingMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor, Snapshot, diagnose, snapshot

from .record import Deck, Record

_SIGNAL: Final = "SIGUSR2"
_PAUSE: Final = (0.3, 1.5)
_STRESS: Final = 2.5
_NAME: Final = "disturbances"


class Sdk:
    """Both providers. They export to an OTLP receiver that fails in many ways."""

    def __init__(self, collector: str) -> None:
        metrics = OTLPMetricExporter(f"{collector}/v1/metrics", timeout=1)
        spans = OTLPSpanExporter(f"{collector}/v1/traces", timeout=1)
        self.reader = InMemoryMetricReader()
        self.periodic = PeriodicExportingMetricReader(metrics, 700, 2000)
        self.meters = MeterProvider([self.reader, self.periodic], shutdown_on_exit=False)
        self.tracers = TracerProvider(shutdown_on_exit=False)
        self.tracers.add_span_processor(
            BatchSpanProcessor(spans, 512, schedule_delay_millis=500, max_export_batch_size=128)
        )

    def instrument(self, **more: Any) -> None:
        """Instrument with everything on, or with other settings."""
        settings: dict[str, Any] = {
            "scope": "all",
            "metrics": "full",
            "model_attributes": True,
            "time_in_queue": True,
            "span_min_duration": 0.0,
            "leak_threshold": 2.0,
            "snapshot_signal": _SIGNAL,
            "meter_provider": self.meters,
            "tracer_provider": self.tracers,
            **more,
        }
        GlueLLMInstrumentor().instrument(**settings)

    def end_exports(self) -> None:
        """Send nothing more; the metrics can still be read."""
        self.periodic.shutdown()
        self.tracers.shutdown()


class Disturbances:
    """Snapshots, signals, re-instrumentation, and stress for the interpreter."""

    def __init__(self, record: Record, sdk: Sdk) -> None:
        self._record = record
        self._sdk = sdk
        self._rng = record.source(_NAME)
        self.previous: Snapshot | None = None
        """The last snapshot, with which the next one is compared."""
        self._again = threading.Event()
        """Set while the main thread has to uninstrument and instrument."""
        collecting = gc.set_threshold, 1, gc.get_threshold()[0]
        switching = sys.setswitchinterval, 1e-6, sys.getswitchinterval()
        actions: list[tuple[str, Callable[[], Any]]] = [
            ("collection of metrics by another thread", sdk.reader.get_metrics_data),
            ("period of garbage collections", partial(self._stress, *collecting)),
            ("period of thread switches", partial(self._stress, *switching)),
            ("full garbage collection", gc.collect),
            *[("snapshot", self._snapshot)] * 2,
            ("report by a signal", self._signal),
            ("uninstrument and instrument", self._again.set),
        ]
        self._deck = Deck(record, _NAME, actions)

    def run(self) -> None:
        """Run one disturbance after the other, until the run is over."""
        while not self._record.over.wait(self._rng.uniform(*_PAUSE)):
            name, method = self._deck.draw()
            self._record.begin(_NAME, name)
            try:
                method()
            except Exception as error:
                self._record.ended(_NAME, name, error)
        self._record.begin(_NAME)

    def _snapshot(self) -> None:
        try:
            now = snapshot()
        except RuntimeError:  # uninstrumented just now
            return
        str(now)
        now.to_dict()
        for finding in diagnose(now, self.previous):
            str(finding)
        self.previous = now

    def _signal(self) -> None:
        # While uninstrumented, the process has no handler, and the signal would end it.
        while self._again.is_set() and not self._record.over.wait(0.05):
            pass
        if not self._again.is_set():
            os.kill(os.getpid(), signal.Signals[_SIGNAL])

    def in_main_thread(self) -> None:
        """Instrument again if that is due: only the main thread can set a signal handler."""
        if self._again.is_set():
            GlueLLMInstrumentor().uninstrument()
            time.sleep(0.05)
            self._sdk.instrument(
                metrics=self._rng.choice(("lean", "full")),
                loop_lag=self._rng.random() < 0.7,
                leak_stacks=self._rng.random() < 0.3,
                max_origins=self._rng.choice((4, 20)),
            )
            self._again.clear()

    def _stress(self, change: Callable[[Any], Any], value: Any, usual: Any) -> None:
        change(value)
        self._record.over.wait(_STRESS)
        change(usual)
