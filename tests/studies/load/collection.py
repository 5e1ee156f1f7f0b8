"""One collection of the metrics, as every study reads it."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any, Final

from opentelemetry.sdk.metrics.export import HistogramDataPoint, InMemoryMetricReader

from opentelemetry.instrumentation.gluellm.telemetry import semconv
from opentelemetry.instrumentation.gluellm.telemetry.semconv import Metric
from support.telemetry import KEYS

_PACKAGE: Final = "opentelemetry.instrumentation.gluellm"


class Collection:
    """The package's data points by metric. It was made between the times ``since`` and ``until``.

    Attributes are named by the short names of `KEYS`. A histogram's value is its count.
    """

    def __init__(self, reader: InMemoryMetricReader) -> None:
        self.since = time.monotonic()
        data = reader.get_metrics_data()
        self.until = time.monotonic()
        self.points: dict[str, list[Any]] = {}
        for resource in data.resource_metrics if data else ():
            for scope in resource.scope_metrics:
                if scope.scope.name.startswith(_PACKAGE):
                    for metric in scope.metrics:
                        self.points.setdefault(metric.name, []).extend(metric.data.data_points)

    def by(self, metric: Metric, *names: str) -> Counter[Any]:
        """Values above 0 by attributes. With one name the keys are its values, else tuples."""
        found: Counter[Any] = Counter()
        for point in self.points.get(metric.name, ()):
            key = tuple((point.attributes or {}).get(KEYS[name]) for name in names)
            found[key[0] if len(names) == 1 else key] += amount(point)
        return +found

    def total(self, metric: Metric, **where: Any) -> float:
        """The sum of the values with these attributes."""
        wanted = {KEYS[name]: value for name, value in where.items()}
        return sum(
            amount(point)
            for point in self.points.get(metric.name, ())
            if wanted.items() <= dict(point.attributes or {}).items()
        )

    @property
    def phases(self) -> dict[str, float]:
        """Seconds of requests by phase."""
        return dict.fromkeys(semconv.PHASES, 0.0) | self.by(semconv.REQUEST_TIME, "phase")

    @property
    def series(self) -> int:
        """Series as Prometheus counts them: each bucket of a histogram, its sum and its count."""
        return sum(
            len(point.bucket_counts) + 2 if isinstance(point, HistogramDataPoint) else 1
            for points in self.points.values()
            for point in points
        )


def amount(point: Any) -> Any:
    """A point's value, or its count for a histogram."""
    return point.count if isinstance(point, HistogramDataPoint) else point.value
