"""From bytes to OTLP's messages, in both encodings, without using much more memory than they say.

OTLP/JSON is protobuf's JSON mapping but for trace and span ids, which are hexadecimal:
https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.json_format import ParseDict, ParseError
from google.protobuf.message import DecodeError, Message
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
)
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from ..text import printable
from .limits import PARTS, UNCOUNTED_BYTES
from .refusal import RefusedError


class Signal(StrEnum):
    METRICS = "metrics"
    TRACES = "traces"
    LOGS = "logs"


class Encoding(StrEnum):
    """Content types."""

    PROTOBUF = "application/x-protobuf"
    JSON = "application/json"


REQUESTS: dict[Signal, type[Message]] = {
    Signal.METRICS: ExportMetricsServiceRequest,
    Signal.TRACES: ExportTraceServiceRequest,
    Signal.LOGS: ExportLogsServiceRequest,
}
RESPONSES: dict[Signal, type[Message]] = {
    Signal.METRICS: ExportMetricsServiceResponse,
    Signal.TRACES: ExportTraceServiceResponse,
    Signal.LOGS: ExportLogsServiceResponse,
}
_IDS = ("trace_id", "span_id", "parent_span_id")
_DEEPEST = 100
_LONGEST = 300
_VARINT, _LENGTH_DELIMITED = 0, 2
_SKIPPED = {1: 8, 3: 0, 4: 0, 5: 4}
"""Bytes after the tag of the other wire types: fixed numbers, and a group's two ends."""
_TEXTS = (FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BYTES)
_FIXED = (
    FieldDescriptor.TYPE_DOUBLE,
    FieldDescriptor.TYPE_FLOAT,
    FieldDescriptor.TYPE_FIXED64,
    FieldDescriptor.TYPE_FIXED32,
    FieldDescriptor.TYPE_SFIXED64,
    FieldDescriptor.TYPE_SFIXED32,
)
_CONTINUED = bytes(range(128, 256))
"""Bytes that don't end a packed number."""
_PIECE = 2**16
_TOO_MANY = f"the body has more than {PARTS} parts, export less at once"


def decode(signal: Signal, encoding: Encoding, body: bytes) -> Message:
    """The request. Raises RefusedError: 400 when it can't be decoded, 413 when it is too much."""
    if encoding is Encoding.JSON:
        return _from_json(signal, body)
    kind = REQUESTS[signal]
    try:
        if len(body) > UNCOUNTED_BYTES:
            _count_parts(body, kind.DESCRIPTOR)
        return kind.FromString(body)
    except (DecodeError, IndexError, UnicodeDecodeError):  # the last of protobuf in pure Python
        raise RefusedError(
            400, f"the body is not a protobuf {kind.DESCRIPTOR.name}, or is truncated"
        ) from None


def _from_json(signal: Signal, body: bytes) -> Message:
    kind = REQUESTS[signal]
    if len(body) > UNCOUNTED_BYTES and _openings(body) > PARTS:
        raise RefusedError(413, _TOO_MANY)
    what = f"the body is not an OTLP/JSON {kind.DESCRIPTOR.name}"
    try:
        found = json.loads(body)
    except (ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise RefusedError(400, f"{what}: {printable(reason, _LONGEST)}") from None
    try:
        _prepare(found, kind.DESCRIPTOR, "the whole", 0)
        request = kind()
        ParseDict(found, request, ignore_unknown_fields=True)
    except (ParseError, ValueError, TypeError, AttributeError, OverflowError) as error:
        raise RefusedError(400, f"{what}: {printable(error, _LONGEST)}") from None
    return request


def _openings(body: bytes) -> int:
    """No fewer than the objects, lists and values in it; commas in text count too."""
    return body.count(b"{") + body.count(b"[") + body.count(b",")


def _prepare(value: object, kind: Any, name: str, depth: int) -> None:
    """Check that objects stand where messages do, and make ids base64, in place.

    protobuf's parser takes text and lists for objects without fields. Raises ValueError.
    """
    if not isinstance(value, dict):
        raise TypeError(f"{name}: found {type(value).__name__}, expected an object")
    if depth > _DEEPEST:
        raise ValueError("nested too deeply")
    for key, item in value.items():
        field = kind.fields_by_camelcase_name.get(key) or kind.fields_by_name.get(key)
        if field is None or item is None:
            continue
        if field.message_type is not None:
            for part in item if isinstance(item, list) else (item,):
                _prepare(part, field.message_type, key, depth + 1)
        elif field.name in _IDS and isinstance(item, str):
            try:
                value[key] = base64.b64encode(bytes.fromhex(item)).decode()
            except ValueError:
                raise ValueError(f"{key} is not hexadecimal") from None


class _Parts:
    """A count that ends with RefusedError when it is too large."""

    def __init__(self) -> None:
        self._number = 0

    def add(self, number: int) -> None:
        self._number += number
        if self._number > PARTS:
            raise RefusedError(413, _TOO_MANY)


def _count_parts(body: bytes, descriptor: Any) -> None:
    """Walk over a large body before it is decoded: two bytes of it can make a whole message.

    Raises IndexError for what is not protobuf, and RefusedError for too many parts.
    """
    parts = _Parts()
    pending = [(0, len(body), descriptor)]
    while pending:
        at, end, kind = pending.pop()
        fields: Mapping[int, FieldDescriptor] = kind.fields_by_number
        while at < end:
            tag, at = _varint(body, at)
            wire = tag & 7
            if wire == _LENGTH_DELIMITED:
                length, at = _varint(body, at)
                field = fields.get(tag >> 3)
                if field is not None and field.message_type is not None:
                    parts.add(1)
                    if length:
                        pending.append((at, at + length, field.message_type))
                elif field is not None and _repeats(field):
                    parts.add(_values(body, at, length, field))
                at += length
            elif wire in _SKIPPED:
                at += _SKIPPED[wire]
            elif wire == _VARINT:
                _, at = _varint(body, at)
                field = fields.get(tag >> 3)
                if field is not None and _repeats(field):
                    parts.add(1)
            else:
                raise IndexError("no such wire type")
        if at != end:
            raise IndexError("a field ends beyond its message")


def _repeats(field: FieldDescriptor) -> bool:
    # All releases of protobuf that we allow tell it this way; `is_repeated` is new, `label` going.
    return bool(field.default_value == [])


def _values(body: bytes, at: int, length: int, field: FieldDescriptor) -> int:
    """Of a list's field: one text, or packed numbers, of which a byte can become eight."""
    if field.type in _TEXTS:
        return 1
    if field.type in _FIXED:
        return 0  # these take no more once they are decoded
    end = min(at + length, len(body))
    return sum(
        len(body[start : min(start + _PIECE, end)].translate(None, _CONTINUED))
        for start in range(at, end, _PIECE)
    )


def _varint(body: bytes, at: int) -> tuple[int, int]:
    """The number there, and where it ends. Raises IndexError at the end of the body."""
    value = shift = 0
    while True:
        byte = body[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise IndexError
