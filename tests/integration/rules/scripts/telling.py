"""For scripts that make requests with a changed copy of a library: what was observed, as JSON."""

from __future__ import annotations

import json
import logging
from typing import Any

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor


class _Keeping(logging.Handler):
    """Keeps what people are told."""

    def __init__(self) -> None:
        super().__init__(level=logging.WARNING)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


class Observed:
    """The instrumentation, on for every pool from now on, and the results of the requests."""

    def __init__(self, library: str) -> None:
        self.results: list[str] = []
        self._warnings = _Keeping()
        logging.getLogger("opentelemetry").addHandler(self._warnings)
        self._reader = InMemoryMetricReader()
        GlueLLMInstrumentor().instrument(
            scope="all",
            meter_provider=MeterProvider(metric_readers=[self._reader], shutdown_on_exit=False),
        )
        self._seams = {
            point.attributes["gluellm.seam"]: point.value
            for point in self.collect()["gluellm.instrumentation.seam"]
            if point.attributes["gluellm.pool.library"] == library
        }

    def collect(self) -> dict[str, list[Any]]:
        """Points by metric."""
        data = self._reader.get_metrics_data()
        return {
            metric.name: list(metric.data.data_points)
            for resource in (data.resource_metrics if data else ())
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }

    def tell(self) -> None:
        """Print everything, and take the instrumentation off."""
        points = self.collect()
        self.collect()
        told = {
            "results": self.results,
            "warnings": self._warnings.messages,
            "seams": self._seams,
            "errors": {
                point.attributes["gluellm.instrumentation.kind"]: point.value
                for point in points.get("gluellm.instrumentation.errors", ())
            },
            "metrics": {
                found: sum(getattr(point, "count", getattr(point, "value", 0)) for point in values)
                for found, values in points.items()
            },
        }
        GlueLLMInstrumentor().uninstrument()
        print(json.dumps(told))
