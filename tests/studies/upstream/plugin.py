"""A pytest plug-in, ``-p studies.upstream.plugin``: it instruments a suite.

Every pool is observed, and an SDK collects twice a second, as in a program that exports: from a
thread of its own, at any moment of a test. What was seen is written to a file at the end, so that
nobody takes a suite for instrumented that was not; and each failure of ours with its error, which
the package itself keeps to itself.
"""

import io
import json
import os
import traceback
from collections import Counter
from pathlib import Path

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    ConsoleMetricExporter,
    InMemoryMetricReader,
    PeriodicExportingMetricReader,
)
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor
from opentelemetry.instrumentation.gluellm.failures import Failures

from . import FOLDER, OWN, REQUESTS

_INTERVAL_MS = 500.0


class _Instrumented:
    def __init__(self) -> None:
        self._last = InMemoryMetricReader()
        nowhere = ConsoleMetricExporter(io.StringIO(), lambda _: "")
        collecting = PeriodicExportingMetricReader(nowhere, export_interval_millis=_INTERVAL_MS)
        self._meters = MeterProvider([collecting, self._last])
        self._spans = InMemorySpanExporter()
        tracers = TracerProvider()
        tracers.add_span_processor(SimpleSpanProcessor(self._spans))
        self._errors: Counter[str] = Counter()
        _count(self._errors)
        # Before the suite imports its library, and so before its tests keep what they patch.
        GlueLLMInstrumentor().instrument(
            scope="all", meter_provider=self._meters, tracer_provider=tracers
        )

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self) -> None:
        """Tell what was seen. In each worker of pytest-xdist too."""
        seen = self._seen()
        GlueLLMInstrumentor().uninstrument()
        self._meters.shutdown()
        folder = os.environ.get(FOLDER)
        if folder:
            Path(folder, f"seen-{os.getpid()}.json").write_text(json.dumps(seen))

    def _seen(self) -> dict[str, int]:
        seen: Counter[str] = Counter(self._errors)
        seen["processes"] = 1
        data = self._last.get_metrics_data()
        seen["spans"] = len(self._spans.get_finished_spans())
        scopes = [s for r in (data.resource_metrics if data else ()) for s in r.scope_metrics]
        for metric in (metric for scope in scopes for metric in scope.metrics):
            if metric.name == "gluellm.pool.requests":
                for point in metric.data.data_points:
                    library = (point.attributes or {}).get("gluellm.pool.library")
                    seen[f"{REQUESTS}{library}"] += int(getattr(point, "value", 0))
        return {name: count for name, count in seen.items() if count}


def _count(errors: Counter[str]) -> None:
    """Count what the package catches of its own failures, by kind, error and line."""
    caught = Failures.caught

    def counted(self: Failures, kind: str, error: BaseException) -> None:
        caught(self, kind, error)
        frames = traceback.extract_tb(error.__traceback__)  # none where it was never raised
        place = f"{Path(frames[-1].filename).name}:{frames[-1].lineno} " if frames else ""
        words = f"{type(error).__name__}: {error}".partition("\n")[0][:200]
        errors[f"{OWN} in {kind} ({place}{words})"] += 1

    Failures.caught = counted  # type: ignore[method-assign]


def pytest_configure(config: pytest.Config) -> None:
    """Instrument, once the command line is read."""
    config.pluginmanager.register(_Instrumented(), "gluellm-instrumented")
