"""Where a request's head leads: which signal, in which encoding, compressed how."""

from __future__ import annotations

from dataclasses import dataclass

import h11

from ..text import printable
from .body import ENCODINGS
from .decoding import Encoding, Signal
from .refusal import RefusedError

_PATHS = {f"/v1/{signal}": signal for signal in Signal}


@dataclass(frozen=True, slots=True)
class Route:
    signal: Signal
    encoding: Encoding
    compression: str


def route_of(request: h11.Request) -> Route:
    """Raises RefusedError: 404, 405 or 415, with what would be right."""
    path = request.target.decode("ascii", "replace").partition("?")[0]
    signal = _PATHS.get(path)
    if signal is None:
        raise RefusedError(404, _instead_of(path))
    if request.method != b"POST":
        raise RefusedError(405, f"only POST is allowed on {path}")
    encoding = encoding_of(request)
    if encoding is None:
        raise RefusedError(415, f"send Content-Type {' or '.join(Encoding)}")
    compression = header(request, b"content-encoding").strip().lower() or "identity"
    if compression not in ENCODINGS:
        raise RefusedError(415, f"send Content-Encoding {', '.join(ENCODINGS)}, or none")
    return Route(signal, encoding, compression)


def _instead_of(path: str) -> str:
    """What is here, and the cure where an exporter has added its path to a path."""
    message = f"there is only POST {', '.join(_PATHS)} here"
    signals = [known for known in _PATHS if path.endswith(known)]
    if not signals:
        return message
    extra = path.removesuffix(signals[0])
    return (
        f"take {printable(extra)} out of OTEL_EXPORTER_OTLP_ENDPOINT, to which exporters add "
        f"{signals[0]}; {message}"
    )


def encoding_of(request: h11.Request) -> Encoding | None:
    """By the content type; None when it is neither of the two."""
    content_type = header(request, b"content-type").partition(";")[0].strip().lower()
    return next((encoding for encoding in Encoding if encoding == content_type), None)


def header(request: h11.Request, name: bytes) -> str:
    """The header's value, several joined; empty without it."""
    found = [value for key, value in request.headers if key == name]
    return b", ".join(found).decode("latin-1")
