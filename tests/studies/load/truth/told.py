"""What the metrics told, in one collection."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

from opentelemetry.sdk.metrics.export import HistogramDataPoint

from opentelemetry.instrumentation.gluellm.telemetry import semconv
from opentelemetry.instrumentation.gluellm.telemetry.semconv import Metric
from support.telemetry import KEYS, Telemetry


class Told:
    """One collection, read through the SDK. It was taken between ``asked`` and ``answered``."""

    def __init__(self, telemetry: Telemetry) -> None:
        self.asked = time.monotonic()
        self._points = telemetry.collect()
        self.answered = time.monotonic()

    def by(self, metric: Metric, *names: str) -> Counter[Any]:
        """Values, and histograms' counts, by attributes; one name gives keys that are no tuples."""
        result: Counter[Any] = Counter()
        for point in self._points.get(metric.name, ()):
            attributes = point.attributes or {}
            key: Any = tuple(attributes.get(KEYS[name]) for name in names)
            amount = point.count if isinstance(point, HistogramDataPoint) else point.value
            result[key[0] if len(names) == 1 else key] += amount
        return +result

    def value(self, metric: Metric) -> float:
        """The sum of a metric's values, or of a histogram's counts."""
        return float(sum(self.by(metric, "library").values()))

    def total(self, metric: Metric) -> float:
        """The sum of what a histogram has recorded."""
        return float(sum(point.sum for point in self._points.get(metric.name, ())))

    @property
    def phases(self) -> dict[str, float]:
        """Seconds of requests by phase."""
        return dict.fromkeys(semconv.PHASES, 0.0) | self.by(semconv.REQUEST_TIME, "phase")
