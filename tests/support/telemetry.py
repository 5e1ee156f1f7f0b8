"""The exported telemetry, read from the SDK's in-memory readers."""

from collections.abc import Mapping
from typing import Any

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import HistogramDataPoint, InMemoryMetricReader, MetricsData
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from opentelemetry.instrumentation.gluellm.telemetry import semconv
from opentelemetry.instrumentation.gluellm.telemetry.semconv import Metric

KEYS: Mapping[str, str] = {
    "address": semconv.SERVER_ADDRESS,
    "anomaly": semconv.ANOMALY_TYPE,
    "error": semconv.ERROR_TYPE,
    "failure": semconv.INSTRUMENTATION_KIND,
    "hook_library": semconv.HOOK_LIBRARY,
    "kind": semconv.TIMEOUT_KIND,
    "library": semconv.POOL_LIBRARY,
    "name": semconv.POOL_NAME,
    "outcome": semconv.CALL_OUTCOME,
    "operation": semconv.OPERATION_NAME,
    "phase": semconv.REQUEST_PHASE,
    "port": semconv.SERVER_PORT,
    "protocol": semconv.PROTOCOL_NAME,
    "provider": semconv.PROVIDER_NAME,
    "reason": semconv.CLOSE_REASON,
    "channel": semconv.CHANNEL_STATE,
    "discard": semconv.DISCARD_REASON,
    "resend": semconv.REQUEST_RESEND,
    "rpc": semconv.RPC_STATUS_CODE,
    "source": semconv.CALL_SOURCE,
    "stage": semconv.CALL_STAGE,
    "state": semconv.CONNECTION_STATE,
    "status": semconv.STATUS_CODE,
    "step": semconv.CONNECTION_STEP,
    "version": semconv.PROTOCOL_VERSION,
}
"""Short names for attribute keys, as the methods below take them."""

Point = Any
"""A number's or a histogram's data point."""


def points_of(data: MetricsData | None) -> dict[str, list[Point]]:
    """All points of a collection by the metric's name."""
    points: dict[str, list[Point]] = {}
    for resource in data.resource_metrics if data else ():
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                points.setdefault(metric.name, []).extend(metric.data.data_points)
    return points


class Reading:
    """The points of one collection, and questions about them.

    ``where`` names attributes by their short names; None asks for points that lack the attribute.
    """

    def __init__(self, points: dict[str, list[Point]]) -> None:
        self._points = points

    def collect(self) -> dict[str, list[Point]]:
        """All points by the metric's name."""
        return self._points

    def points(self, metric: Metric, **where: Any) -> list[Point]:
        """The points of a metric."""
        return [p for p in self.collect().get(metric.name, ()) if _matches(p, where)]

    def value(self, metric: Metric, **where: Any) -> float:
        """The sum over the points of a number metric; 0 where there is none."""
        return float(sum(point.value for point in self.points(metric, **where)))

    def check(self, **values: float) -> None:
        """Assert the `value` of metrics, which are named as ``semconv`` names them."""
        points = Reading(self.collect())
        reported = {name: points.value(getattr(semconv, name)) for name in values}
        assert reported == values, f"reported {reported}, expected {values}"

    def count(self, metric: Metric, **where: Any) -> int:
        """How many values a histogram has."""
        return sum(point.count for point in self.points(metric, **where))

    def total(self, metric: Metric, **where: Any) -> float:
        """The sum of a histogram's values."""
        return float(sum(point.sum for point in self.points(metric, **where)))

    def by(self, metric: Metric, *names: str) -> dict[Any, int]:
        """A metric's values (a histogram's counts) by attributes, without zeros.

        With one name the keys are its values, else tuples.
        """
        result: dict[Any, int] = {}
        for point in self.points(metric):
            key = tuple((point.attributes or {}).get(KEYS[name]) for name in names)
            amount = point.count if isinstance(point, HistogramDataPoint) else point.value
            if amount:
                result[key] = result.get(key, 0) + amount
        return {key[0]: amount for key, amount in result.items()} if len(names) == 1 else result

    def requests(self, status: str = "status") -> dict[Any, int]:
        """Ended requests by status (``rpc`` for gRPC's) and error."""
        return self.by(semconv.REQUESTS, status, "error")

    def closed(self) -> dict[Any, int]:
        """Connections that were closed, by reason."""
        return self.by(semconv.CONNECTION_CLOSED, "reason")

    def phases(self, **where: Any) -> dict[str, float]:
        """Seconds of requests by phase."""
        seconds = dict.fromkeys(semconv.PHASES, 0.0)
        for point in self.points(semconv.REQUEST_TIME, **where):
            seconds[point.attributes[semconv.REQUEST_PHASE]] += point.value
        return seconds

    def steps(self) -> dict[str, float]:
        """Seconds of set-ups of connections by step."""
        return {
            step: self.value(semconv.CONNECTION_CREATE_TIME, step=step) for step in semconv.STEPS
        }

    def current(self, phase: str) -> int:
        """How many requests are in a phase now."""
        return int(self.value(semconv.REQUEST_CURRENT, phase=phase))


class Telemetry(Reading):
    """A meter and a tracer provider in memory. Each method collects anew; `now()` does so once."""

    def __init__(self) -> None:
        self.reader = InMemoryMetricReader()
        self.exporter = InMemorySpanExporter()
        self.meter_provider = MeterProvider(metric_readers=[self.reader], shutdown_on_exit=False)
        self.tracer_provider = TracerProvider(shutdown_on_exit=False)
        self.tracer_provider.add_span_processor(SimpleSpanProcessor(self.exporter))

    def collect(self) -> dict[str, list[Point]]:
        """All points of a new collection by the metric's name."""
        return points_of(self.reader.get_metrics_data())

    def now(self) -> Reading:
        """One collection, for several questions."""
        return Reading(self.collect())

    def spans(self, beginning: str = "") -> list[ReadableSpan]:
        """The spans that have ended, by the beginning of their name."""
        return [s for s in self.exporter.get_finished_spans() if s.name.startswith(beginning)]

    def shutdown(self) -> None:
        """Shut both providers down."""
        self.meter_provider.shutdown()
        self.tracer_provider.shutdown()


def _matches(point: Point, where: Mapping[str, Any]) -> bool:
    attributes = point.attributes or {}
    return all(attributes.get(KEYS[name]) == expected for name, expected in where.items())
