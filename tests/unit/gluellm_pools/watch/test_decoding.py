"""Both encodings of OTLP, and invalid data."""

import base64
import json
import os
import subprocess
import sys

import pytest
from google.protobuf.message import Message
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from gluellm_pools.watch import decoding
from gluellm_pools.watch.decoding import REQUESTS, Encoding, Signal, decode
from gluellm_pools.watch.refusal import RefusedError
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from support.otlp import (
    as_json,
    gauge,
    histogram,
    logs_request,
    metrics_request,
    number,
    traces_request,
)

MANY = metrics_request(
    number(semconv.REQUESTS, 2**53 + 1, http__response__status_code=200),
    gauge(semconv.EVENT_LOOP_LAG_PEAK, 0.25),
    histogram(semconv.ACQUIRE_DURATION, [3, 0, 1], [0.0, 0.5]),
)
MESSAGES = {
    Signal.METRICS: MANY,
    Signal.TRACES: traces_request(bytes(range(16)), bytes(range(8))),
    Signal.LOGS: logs_request("a leak"),
}


NESTED = (
    b'{"resourceMetrics": [{"resource": {"attributes": [{"value": '
    + b'{"arrayValue": {"values": [' * 100
    + b"]}}" * 100
    + b"}]}}]}"
)


def refusal(signal: Signal, encoding: Encoding, body: bytes) -> RefusedError:
    with pytest.raises(RefusedError) as found:
        decode(signal, encoding, body)
    return found.value


@pytest.mark.parametrize("signal", Signal)
def test_json_and_protobuf_say_the_same(signal):
    """Ids are hexadecimal in JSON, 64-bit numbers are text, enums are numbers."""
    message = MESSAGES[signal]
    assert decode(signal, Encoding.PROTOBUF, message.SerializeToString()) == message
    assert decode(signal, Encoding.JSON, as_json(message)) == message
    for encoding, empty in ((Encoding.PROTOBUF, b""), (Encoding.JSON, b"{}")):
        assert decode(signal, encoding, empty) == REQUESTS[signal]()  # nothing to say


def test_json_of_later_versions_and_of_javascript_is_understood():
    """Unknown fields are ignored, as the specification demands; small 64-bit numbers are bare."""
    found = json.loads(as_json(MANY))
    found["resourceMetrics"][0]["scopeMetrics"][0]["tomorrow"] = {"x": [1]}
    found["more"] = None
    assert decode(Signal.METRICS, Encoding.JSON, json.dumps(found).encode()) == MANY
    seven = metrics_request(number(semconv.REQUESTS, 7))
    text = as_json(seven)
    assert b'"asInt": "7"' in text
    text = text.replace(b'"asInt": "7"', b'"asInt": 7')
    assert decode(Signal.METRICS, Encoding.JSON, text) == seven


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "Expecting value"),
        (b"[]", "found list, expected an object"),
        (b'{"resourceMetrics": [{"resource": {}}', "delimiter"),
        (b'{"resourceMetrics": 7}', "resourceMetrics"),
        (b'{"resourceMetrics": ["x"]}', "resourceMetrics: found str, expected an object"),
        (b'{"resourceMetrics": [[]]}', "resourceMetrics: found list, expected an object"),
        (b'{"resourceMetrics": {}}', "resourceMetrics"),
        (b'{"resourceMetrics": [{"schemaUrl": "\\ud800"}]}', "ExportMetricsServiceRequest"),
        (b"\xff\xfe\x00", "ExportMetricsServiceRequest"),
        (b'{"a": ' * 100_000, "nested too deeply"),
        (NESTED, "nested too deeply"),
        (b'{"a": ' + b"9" * 10_000 + b"}", "integer string conversion"),
        (b'{"resourceMetrics": [{"resource": {"attributes": "a"}}]}', "attributes: found str"),
    ],
    ids=range(13),
)
def test_what_is_not_otlp_json_is_refused(body, said):
    """400 and the reason."""
    error = refusal(Signal.METRICS, Encoding.JSON, body)
    assert error.status == 400
    assert said in error.message


def test_error_message_for_bad_json_is_short():
    """It must not be as large as the request."""
    body = b'{"resourceMetrics": [{"schemaUrl": 5, "' + b"x" * 100_000 + b'": "' + b"y" * 100_000
    for text in (body + b'"}]}', b'{"resourceMetrics": "' + b"\\u001b" * 50_000 + b'"}'):
        message = refusal(Signal.METRICS, Encoding.JSON, text).message
        assert len(message) < 500
        assert message.isprintable()


@pytest.mark.parametrize(
    "body",
    [MANY.SerializeToString()[:-1], b"\xff" * 20, b"{}", b"\x0a\xff\xff\xff\xff\x0f"],
    ids=["truncated", "noise", "JSON", "a length beyond the end"],
)
def test_what_is_not_protobuf_is_refused(body):
    """Truncated, noise, the other encoding, a length beyond the end."""
    error = refusal(Signal.METRICS, Encoding.PROTOBUF, body)
    assert error.status == 400
    assert "not a protobuf ExportMetricsServiceRequest" in error.message


def large_request() -> Message:
    """More than is decoded uncounted, as a process with very many series sends it."""
    points = [
        number(semconv.REQUESTS, n, server__address=f"host-{n}.example.org", server__port=443)
        for n in range(2500)
    ]
    return metrics_request(*points)


def test_a_large_request_is_taken_unless_it_is_truncated():
    """Thousands of points have fewer parts than the bound. Other code counts than decodes."""
    request = large_request()
    body = request.SerializeToString()
    assert len(body) > decoding.UNCOUNTED_BYTES
    assert decode(Signal.METRICS, Encoding.PROTOBUF, body) == request
    assert decode(Signal.METRICS, Encoding.JSON, as_json(request)) == request
    for cut in (1, 1000, 100_000):
        assert refusal(Signal.METRICS, Encoding.PROTOBUF, body[:-cut]).status == 400


def field(number: int, inner: bytes) -> bytes:
    """A length-delimited field."""
    length, size = b"", len(inner)
    while size > 127:
        length += bytes([size & 127 | 128])
        size >>= 7
    return bytes([number << 3 | 2]) + length + bytes([size]) + inner


EMPTY_PARTS = b"\x0a\x00" * (decoding.PARTS + 1)


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        (Encoding.PROTOBUF, EMPTY_PARTS),
        (Encoding.PROTOBUF, field(1, field(2, field(2, field(5, EMPTY_PARTS))))),
        (Encoding.PROTOBUF, b"\x1b\x1c" * 10 + EMPTY_PARTS),
        (Encoding.JSON, b'{"resourceMetrics": [' + b"{}," * decoding.PARTS + b"{}]}"),
        (Encoding.JSON, b'{"x": [' + b"[]," * decoding.PARTS + b"[]]}"),
        (Encoding.JSON, b'{"x": [' + b"1e5," * (decoding.PARTS + 1) + b"1]}"),
    ],
    ids=["resources", "points", "after groups", "objects", "lists", "values"],
)
def test_a_body_of_very_many_empty_parts_is_refused_before_it_is_decoded(encoding, body):
    """Two bytes become a message of dozens: 413."""
    error = refusal(Signal.METRICS, encoding, body)
    assert error.status == 413
    assert str(decoding.PARTS) in error.message


def test_ids_are_not_base64_in_json():
    """A sender that uses protobuf's own mapping gets an error."""
    text = json.dumps(
        {
            "resourceSpans": [
                {"scopeSpans": [{"spans": [{"traceId": base64.b64encode(b"t" * 16).decode()}]}]}
            ]
        }
    )
    assert "not hexadecimal" in refusal(Signal.TRACES, Encoding.JSON, text.encode()).message


def test_text_that_is_no_utf8_is_refused_by_protobuf_in_pure_python_too():
    """It raises another error there, which was taken for a failure of the receiver."""
    code = (
        "from gluellm_pools.watch.decoding import *\n"
        "from gluellm_pools.watch.refusal import RefusedError\n"
        "from google.protobuf.internal import api_implementation\n"
        "assert api_implementation.Type() == 'python'\n"
        "try: decode(Signal.METRICS, Encoding.PROTOBUF, bytes.fromhex('0a031a01ff'))\n"
        "except RefusedError as error: print(error.status)\n"
    )
    environment = {**os.environ, "PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION": "python"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert done.stdout == "400\n", done.stderr


# What counts as a part of a body: all that takes more memory than it has bytes


TOO_MANY = decoding.PARTS + 1


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
    assert refusal(Signal.METRICS, Encoding.PROTOBUF, body).status == 413


@pytest.mark.parametrize("cut", [1, 3, 70_000])
def test_a_list_that_is_truncated_is_refused(cut):
    """Counting never reads beyond the body."""
    body = exponential(field(2, b"\xff\xff\x01" * 200_000))
    assert refusal(Signal.METRICS, Encoding.PROTOBUF, body[:-cut]).status == 400


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
