"""A pytest plug-in, ``-p peers.plugin``, that instruments whatever suite it is loaded into.

Every pool is observed, and an SDK collects twice a second, as in a program that exports: from a
thread of its own, at any moment of a test. What was seen is written to a file at the end, so that
nobody takes a suite for instrumented that was not.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    InMemoryMetricReader,
    MetricExporter,
    MetricExportResult,
    MetricsData,
    PeriodicExportingMetricReader,
)
from opentelemetry.sdk.trace import TracerProvider

from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor

from .plugin_names import FOLDER

_INTERVAL_MS = 500


class _Nowhere(MetricExporter):
    def export(
        self, metrics_data: MetricsData, timeout_millis: float = 10_000, **_: object
    ) -> MetricExportResult:
        return MetricExportResult.SUCCESS

    def shutdown(self, timeout_millis: float = 30_000, **_: object) -> None:
        pass

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        return True


class _Instrumented:
    def __init__(self) -> None:
        self._last = InMemoryMetricReader()
        self._meters = MeterProvider(
            [
                PeriodicExportingMetricReader(_Nowhere(), export_interval_millis=_INTERVAL_MS),
                self._last,
            ]
        )
        # Before the suite imports its library, and so before its tests keep what they patch.
        GlueLLMInstrumentor().instrument(
            scope="all", meter_provider=self._meters, tracer_provider=TracerProvider()
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

    def _seen(self) -> dict[str, float]:
        counted: Counter[str] = Counter()
        data = self._last.get_metrics_data()
        for resource in data.resource_metrics if data is not None else ():
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    for point in metric.data.data_points:
                        attributes = point.attributes or {}
                        if metric.name == "gluellm.pool.requests":
                            library = attributes.get("gluellm.pool.library")
                            counted[f"requests of {library}"] += int(getattr(point, "value", 0))
                        elif metric.name == "gluellm.instrumentation.errors":
                            for_kind = " ".join(str(value) for value in attributes.values())
                            counted[f"own failures caught in {for_kind}".strip()] += int(
                                getattr(point, "value", 0)
                            )
        return {name: count for name, count in counted.items() if count}


def pytest_configure(config: pytest.Config) -> None:
    """Instrument, once the command line is read."""
    config.pluginmanager.register(_Instrumented(), "gluellm-instrumented")
