"""OTLP messages: like the instrumentation's, with made-up values, and arbitrary ones."""

from collections.abc import Callable, Sequence
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from hypothesis import strategies as st
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric

from gluellm_pools.view import METRICS
from gluellm_pools.watch.intake import REQUESTS
from opentelemetry.instrumentation.gluellm.telemetry import semconv

from .texts import FLOATS, TEXTS, integers

_KEYS = sorted(semconv.ATTRIBUTES)
_NAMES = sorted(METRICS)
_RESOURCE = ("service.name", "service.instance.id", "service.namespace", "host.name", "process.pid")
_OFTEN = semconv.ACQUIRE_DURATION.name
_USUAL = ("openai", "httpx2", "grpc", "active", "queued", "reading", "unread", "pool", "500", "OK")
_FIELD = FieldDescriptor
_NUMBERS: dict[int, st.SearchStrategy[Any]] = {
    _FIELD.CPPTYPE_DOUBLE: FLOATS,
    _FIELD.CPPTYPE_FLOAT: st.floats(width=32),
    _FIELD.CPPTYPE_BOOL: st.booleans(),
    _FIELD.CPPTYPE_STRING: st.one_of(st.sampled_from([semconv.SCOPE_NAME, *_NAMES, *_KEYS]), TEXTS),
    _FIELD.CPPTYPE_ENUM: integers(-(2**31), 2**31 - 1),
    _FIELD.CPPTYPE_INT32: integers(-(2**31), 2**31 - 1),
    _FIELD.CPPTYPE_INT64: integers(-(2**63), 2**63 - 1),
    _FIELD.CPPTYPE_UINT32: integers(0, 2**32 - 1),
    _FIELD.CPPTYPE_UINT64: integers(0, 2**64 - 1),
}
Draw = Callable[[st.SearchStrategy[Any]], Any]
_FEW = st.integers(0, 3)
_TIMES = st.one_of(st.sampled_from((0, 1, 10**18, 10**18 + 1, 2**64 - 1)), integers(0, 2**64 - 1))


@st.composite
def arbitrary(draw: Draw, signal: str) -> Message:
    """A request with any fields and any values."""
    request: Message = REQUESTS[signal]()
    _fill(draw, request, request.DESCRIPTOR, 0)
    return request


def _fill(draw: Draw, message: Any, descriptor: Descriptor, depth: int) -> None:
    for one in descriptor.fields:
        for _ in range(draw(_FEW) if depth < 7 else 0):
            if one.message_type is None:
                is_bytes = one.type == _FIELD.TYPE_BYTES
                value = draw(st.binary(max_size=40) if is_bytes else _NUMBERS[one.cpp_type])
                if one.default_value == []:
                    getattr(message, one.name).append(value)
                else:
                    setattr(message, one.name, value)
            elif one.default_value == []:
                _fill(draw, getattr(message, one.name).add(), one.message_type, depth + 1)
            elif not message.HasField(one.name):
                getattr(message, one.name).SetInParent()
                _fill(draw, getattr(message, one.name), one.message_type, depth + 1)


_PLAIN = (
    st.builds(AnyValue, string_value=st.one_of(st.sampled_from(_USUAL), TEXTS)),
    st.builds(AnyValue, int_value=_NUMBERS[_FIELD.CPPTYPE_INT64]),
    st.builds(AnyValue, double_value=FLOATS),
    st.builds(AnyValue, bool_value=st.booleans()),
    st.builds(AnyValue, bytes_value=st.binary(max_size=20)),
    st.builds(AnyValue),
)
_VALUES = st.recursive(
    st.one_of(_PLAIN[0], *_PLAIN),
    lambda inner: st.lists(inner, min_size=1, max_size=2).map(
        lambda values: AnyValue(array_value=ArrayValue(values=values))
    ),
    max_leaves=6,
)


def pairs(keys: Sequence[str]) -> st.SearchStrategy[list[KeyValue]]:
    """Attributes, mostly with these keys, possibly with duplicates."""
    key = st.one_of(st.sampled_from(keys), TEXTS)
    return st.lists(st.builds(KeyValue, key=key, value=_VALUES), max_size=5)


@st.composite
def metric(draw: Draw) -> Metric:
    """A metric of the contract, with numbers that may contradict each other."""
    found = Metric(name=draw(st.one_of(st.just(_OFTEN), st.sampled_from(_NAMES))))
    histograms = ("histogram", "histogram", "histogram", "exponential_histogram", "sum")
    numbers = ("sum", "sum", "sum", "gauge", "gauge", "summary", "histogram", "")
    is_histogram = found.name.endswith("duration")
    kind = draw(st.sampled_from(histograms if is_histogram else numbers))
    if not kind:
        return found
    data = getattr(found, kind)
    data.SetInParent()
    if hasattr(data, "aggregation_temporality"):
        data.aggregation_temporality = draw(st.sampled_from((0, 1, 1, 2, 2, 2, 77)))
    if hasattr(data, "is_monotonic"):
        data.is_monotonic = draw(st.booleans())
    for _ in range(draw(_FEW)):
        _point(draw, data.data_points.add())
    return found


def _point(draw: Draw, point: Any) -> None:
    point.start_time_unix_nano, point.time_unix_nano = draw(_TIMES), draw(_TIMES)
    if draw(st.booleans()):  # else of the series without attributes
        point.attributes.extend(draw(pairs(_KEYS)))
    fields = point.DESCRIPTOR.fields_by_name
    if "as_int" in fields:
        if draw(st.booleans()):
            point.as_int = draw(integers(-(2**63), 2**63 - 1))
        elif draw(st.integers(0, 5)):
            point.as_double = draw(FLOATS)
        return
    if "explicit_bounds" not in fields:
        _fill(draw, point, point.DESCRIPTOR, 5)
        return
    point.count = draw(integers(0, 2**64 - 1))
    point.sum = draw(FLOATS)
    if draw(st.booleans()):
        point.max = draw(FLOATS)
    bounds = draw(st.lists(FLOATS, max_size=draw(st.sampled_from((0, 4)))))
    if draw(st.integers(0, 4)):
        bounds = sorted({bound for bound in bounds if bound == bound and abs(bound) < 1e300})
    point.explicit_bounds.extend(bounds)
    more = draw(st.sampled_from((1, 1, 1, 1, 0, 2, -len(bounds))))
    size = max(len(bounds) + more, 0)
    counts = st.one_of(st.integers(0, 50), integers(0, 2**64 - 1))
    point.bucket_counts.extend(draw(st.lists(counts, min_size=size, max_size=size)))


@st.composite
def shaped(draw: Draw) -> ExportMetricsServiceRequest:
    """A request like those of the instrumentation, with made-up values."""
    request = ExportMetricsServiceRequest()
    for _ in range(draw(st.integers(1, 2))):
        found = request.resource_metrics.add()
        if draw(st.booleans()):
            found.resource.attributes.extend(draw(pairs(_RESOURCE)))
        for _ in range(draw(st.integers(1, 2))):
            scope = found.scope_metrics.add()
            foreign = draw(st.integers(0, 4)) == 0
            scope.scope.name = draw(TEXTS) if foreign else semconv.SCOPE_NAME
            scope.metrics.extend(draw(st.lists(metric(), max_size=3)))
    return request
