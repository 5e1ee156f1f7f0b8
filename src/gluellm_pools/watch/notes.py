"""What went wrong on the way here: said in the view, since who exports may not read its log."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

from opentelemetry.instrumentation.gluellm.text import counted

from ..text import printable

_LONGEST = 200
_MOST = 3
"""Refusals kept to be told."""
_TOLD_FOR = 60.0
"""Seconds that a live view shows something."""
_GRPC = (
    "something spoke gRPC here; set OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf in that program, "
    "and export over HTTP"
)
_TLS = "something spoke TLS here; the endpoint begins with http://, not https://"


class Notes:
    """Kinds of trouble with their latest time and how often, and the last refusals."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen: dict[str, tuple[float, int]] = {}
        self._fresh: deque[str] = deque(maxlen=_MOST)

    def grpc_spoken(self) -> None:
        self._see(_GRPC)

    def tls_spoken(self) -> None:
        self._see(_TLS)

    def refused(self, status: int, method: str, path: str, message: str) -> None:
        """A request got an error; method and path are as they came."""
        asked = f"{printable(method, 10)} {printable(path, 60)}".strip()
        self._see(f"refused {asked or 'a connection'}: {status}, {printable(message, _LONGEST)}")

    def rejected(self, number: int, reason: str) -> None:
        """So many points of a request were not taken; exporters seldom say it."""
        self._see(f"rejected {counted(number, 'point')}: {printable(reason, _LONGEST)}")

    def broken(self, what: str) -> None:
        """Something failed on our side."""
        self._see(f"failed: {printable(what, _LONGEST)}")

    def lines(self) -> list[str]:
        """What happened in the last minute."""
        now = self._clock()
        return [
            f"{text} ({count} times)" if count > 1 else text
            for text, (at, count) in self._seen.items()
            if now - at < _TOLD_FOR
        ]

    def fresh(self) -> list[str]:
        """What is new since the last call, for a reader of lines."""
        taken = list(self._fresh)
        self._fresh.clear()
        return taken

    def _see(self, text: str) -> None:
        _, count = self._seen.pop(text, (0.0, 0))
        self._seen[text] = (self._clock(), count + 1)
        if count == 0:
            self._fresh.append(text)
        while len(self._seen) > _MOST + 2:
            del self._seen[next(iter(self._seen))]
