"""What counts as a part of a body: all that takes more memory than it has bytes."""

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from opentelemetry.instrumentation.gluellm.cli.watch import decoding
from opentelemetry.instrumentation.gluellm.cli.watch.decoding import Encoding, Signal, decode
from opentelemetry.instrumentation.gluellm.cli.watch.refusal import RefusedError
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from support.otlp import histogram, metrics_request

TOO_MANY = decoding.PARTS + 1


def field(number: int, inner: bytes) -> bytes:
    """A length-delimited field."""
    length, size = b"", len(inner)
    while size > 127:
        length += bytes([size & 127 | 128])
        size >>= 7
    return bytes([number << 3 | 2]) + length + bytes([size]) + inner


def exponential(buckets: bytes) -> bytes:
    """A request with one exponential histogram, whose positive buckets are these."""
    point = field(8, buckets)
    metric = field(10, field(1, point))
    return field(1, field(2, field(2, metric)))


def entity(keys: bytes) -> bytes:
    """A request whose resource refers to an entity with these fields."""
    return field(1, field(1, field(3, keys)))


@pytest.mark.parametrize(
    "body",
    [
        exponential(field(2, b"\x01" * TOO_MANY + bytes(2**17))),
        exponential(field(2, b"\xff\x01" * TOO_MANY)),
        exponential(b"\x10\x01" * TOO_MANY),
        exponential(field(2, b"\x01\x01\x01") * (TOO_MANY // 3 + 1)),
        entity(b"\x1a\x00" * TOO_MANY),
        entity(b"\x22\x01x" * TOO_MANY),
    ],
    ids=["packed", "packed, two bytes each", "one by one", "in pieces", "id keys", "descriptions"],
)
def test_numbers_and_texts_of_lists_are_parts(body):
    """One byte becomes a number of eight, and two become a text of dozens: 413."""
    assert len(ExportMetricsServiceRequest.FromString(body).resource_metrics) == 1
    assert len(body) > decoding.UNCOUNTED_BYTES
    with pytest.raises(RefusedError) as raised:
        decode(Signal.METRICS, Encoding.PROTOBUF, body)
    assert raised.value.status == 413


@pytest.mark.parametrize("cut", [1, 3, 70_000])
def test_a_list_that_is_truncated_is_refused(cut):
    """Counting never reads beyond the body."""
    body = exponential(field(2, b"\xff\xff\x01" * 200_000))
    with pytest.raises(RefusedError) as raised:
        decode(Signal.METRICS, Encoding.PROTOBUF, body[:-cut])
    assert raised.value.status == 400


def test_what_the_bound_allows_is_taken():
    """Nothing below it is refused. Buckets of fixed size take in memory what they take here."""
    parts = 6  # messages around it
    body = exponential(field(2, b"\xff\x01" * (decoding.PARTS - parts)))
    assert len(body) > decoding.UNCOUNTED_BYTES
    decode(Signal.METRICS, Encoding.PROTOBUF, body)
    bounds = [float(n) for n in range(150)]
    metric = histogram(semconv.ACQUIRE_DURATION, range(151), bounds)
    request = metrics_request(*[metric] * 2000)
    body = request.SerializeToString()
    assert len(body) > 8 * decoding.PARTS
    assert decode(Signal.METRICS, Encoding.PROTOBUF, body) == request
