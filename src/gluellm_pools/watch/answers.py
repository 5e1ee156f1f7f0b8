"""Answers as OTLP/HTTP has them: the export's response, or google.rpc.Status with an error.

https://opentelemetry.io/docs/specs/otlp/#otlphttp-response
"""

from __future__ import annotations

from dataclasses import dataclass

from google.protobuf.json_format import MessageToJson
from google.protobuf.message import Message
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]

from .decoding import RESPONSES, Encoding, Signal
from .intake import Rejected
from .limits import RETRY_AFTER
from .refusal import RefusedError

_REJECTED = {
    Signal.METRICS: "rejected_data_points",
    Signal.TRACES: "rejected_spans",
    Signal.LOGS: "rejected_log_records",
}
# google.rpc.Code of what each status means.
_INVALID_ARGUMENT, _DEADLINE, _NOT_FOUND = 3, 4, 5
_EXHAUSTED, _UNIMPLEMENTED, _UNAVAILABLE = 8, 12, 14
_CODES = {
    404: _NOT_FOUND,
    405: _UNIMPLEMENTED,
    408: _DEADLINE,
    413: _EXHAUSTED,
    503: _UNAVAILABLE,
}


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, headers and body."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


def accepted(signal: Signal, encoding: Encoding, rejected: Rejected) -> Answer:
    """200, with a partial success when something was rejected and only then."""
    response = RESPONSES[signal]()
    if rejected.number:
        partial = getattr(response, "partial_success")  # noqa: B009 - each kind has it
        setattr(partial, _REJECTED[signal], rejected.number)
        partial.error_message = f"rejected {rejected.number}: {rejected.reason}"
    return _answer(200, encoding, response)


def refused(error: RefusedError, encoding: Encoding | None) -> Answer:
    """The error in the request's encoding, or in JSON where that is none of the two."""
    status = Status(code=_CODES.get(error.status, _INVALID_ARGUMENT), message=error.message)
    return _answer(error.status, encoding or Encoding.JSON, status)


def _answer(status: int, encoding: Encoding, message: Message) -> Answer:
    if encoding is Encoding.JSON:
        body = MessageToJson(message, indent=None).encode()
    else:
        body = message.SerializeToString()
    headers = [("Content-Type", encoding.value), ("Content-Length", str(len(body)))]
    if status == 503:
        headers.append(("Retry-After", str(RETRY_AFTER)))
    elif status == 405:
        headers.append(("Allow", "POST"))
    return Answer(status, tuple(headers), body)
