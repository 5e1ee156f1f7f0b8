"""OTLP requests like those of programs, for tests of receivers."""

import base64
import json
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import AggregationTemporality, Metric

from opentelemetry.instrumentation.gluellm.telemetry import semconv

CUMULATIVE = AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE
DELTA = AggregationTemporality.AGGREGATION_TEMPORALITY_DELTA
POOL: dict[str, str | int] = {
    semconv.PROVIDER_NAME: "openai",
    semconv.POOL_NAME: "openai",
    semconv.POOL_LIBRARY: "httpx2",
}
START, LATER = 1_000_000_000, 2_000_000_000
SECOND = 1_000_000_000
"""Nanoseconds."""


def pairs(attributes: Mapping[str, object]) -> list[KeyValue]:
    """Attributes in OTLP's form."""
    found = []
    for key, value in attributes.items():
        pair = KeyValue(key=key)
        if isinstance(value, int):
            pair.value.int_value = value
        else:
            pair.value.string_value = str(value)
        found.append(pair)
    return found


def number(
    metric: semconv.Metric | str,
    value: float,
    time: int = LATER,
    *,
    start: int = START,
    temporality: int = CUMULATIVE,
    monotonic: bool = True,
    about: Mapping[str, object] = POOL,
    **attributes: object,
) -> Metric:
    """A sum with one point about `POOL`; ``__`` in further attributes stands for a dot."""
    made = Metric(name=metric if isinstance(metric, str) else metric.name)
    made.sum.aggregation_temporality = temporality  # type: ignore[assignment]
    made.sum.is_monotonic = monotonic
    point = made.sum.data_points.add(start_time_unix_nano=start, time_unix_nano=time)
    point.attributes.extend(pairs({**about, **_dotted(attributes)}))
    if isinstance(value, int):
        point.as_int = value
    else:
        point.as_double = value
    return made


def finding(
    kind: str, severity: str = "error", value: int = 1, about: Mapping[str, object] = POOL
) -> Metric:
    """A finding that a process reports about itself."""
    named = {semconv.FINDING_KIND: kind, semconv.FINDING_SEVERITY: severity}
    return number(semconv.FINDING_CURRENT, value, monotonic=False, about={**about, **named})


def gauge(metric: semconv.Metric, value: float, time: int = LATER, **attributes: object) -> Metric:
    """A gauge with one point."""
    made = Metric(name=metric.name)
    point = made.gauge.data_points.add(time_unix_nano=time, as_double=value)
    point.attributes.extend(pairs({**POOL, **_dotted(attributes)}))
    return made


def histogram(
    metric: semconv.Metric,
    counts: Iterable[int],
    bounds: Iterable[float],
    time: int = LATER,
    *,
    start: int = START,
    temporality: int = CUMULATIVE,
) -> Metric:
    """A histogram with one point of the pool."""
    counts = list(counts)
    made = Metric(name=metric.name)
    made.histogram.aggregation_temporality = temporality  # type: ignore[assignment]
    point = made.histogram.data_points.add(
        start_time_unix_nano=start,
        time_unix_nano=time,
        count=sum(counts),
        bucket_counts=counts,
        explicit_bounds=list(bounds),
    )
    point.attributes.extend(pairs(POOL))
    return made


def metrics_request(
    *metrics: Metric, scope: str = semconv.SCOPE_NAME, **resource: object
) -> ExportMetricsServiceRequest:
    """One process's metrics; ``__`` in the resource's attributes stands for a dot."""
    request = ExportMetricsServiceRequest()
    found = request.resource_metrics.add()
    found.resource.attributes.extend(pairs(_dotted({"service__name": "shop", **resource})))
    scope_metrics = found.scope_metrics.add()
    scope_metrics.scope.name = scope
    scope_metrics.metrics.extend(metrics)
    return request


def logs_request(
    text: str,
    severity: int = 13,
    scope: str = semconv.SCOPE_NAME,
    attributes: Mapping[str, object] = MappingProxyType({}),
) -> ExportLogsServiceRequest:
    """One log record."""
    request = ExportLogsServiceRequest()
    found = request.resource_logs.add()
    found.resource.attributes.extend(pairs({"service.name": "shop"}))
    scope_logs = found.scope_logs.add()
    scope_logs.scope.name = scope
    record = scope_logs.log_records.add(severity_number=severity)
    record.body.string_value = text
    record.attributes.extend(pairs(attributes))
    return request


def traces_request() -> Message:
    """One span."""
    request = ExportTraceServiceRequest()
    spans = request.resource_spans.add().scope_spans.add().spans
    spans.add(trace_id=b"t" * 16, span_id=b"s" * 8, name="call")
    return request


def as_json(message: Message) -> bytes:
    """OTLP/JSON: ids are hexadecimal, enums are numbers."""
    found = MessageToDict(message, use_integers_for_enums=True)
    return json.dumps(_with_hexadecimal_ids(found)).encode()


def _with_hexadecimal_ids(value: Any) -> Any:
    if isinstance(value, list):
        return [_with_hexadecimal_ids(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key: base64.b64decode(item).hex()
        if key in ("traceId", "spanId", "parentSpanId")
        else _with_hexadecimal_ids(item)
        for key, item in value.items()
    }


def _dotted(attributes: Mapping[str, object]) -> dict[str, object]:
    return {key.replace("__", "."): value for key, value in attributes.items()}


def field(number: int, inner: bytes) -> bytes:
    """An encoded field of a message: a message, text or packed numbers of this length."""
    length, size = b"", len(inner)
    while size > 127:
        length += bytes([size & 127 | 128])
        size >>= 7
    return bytes([number << 3 | 2]) + length + bytes([size]) + inner
