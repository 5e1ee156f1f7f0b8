"""What a server saw, by request and by connection, for thousands of them."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from support.timeline import Timeline


@dataclass(slots=True)
class SeenRequest:
    """One request as its server knows it: when it came, its head went, its body ended."""

    connection: int
    at: dict[str, float] = field(default_factory=dict)
    is_first: bool = True
    """Whether it was its connection's first."""


@dataclass(slots=True)
class SeenConnection:
    """One connection as its server knows it."""

    established: bool = False
    requests: int = 0
    ended: bool = False


class Seen(Timeline):
    """A server's timeline, kept by request and by connection and not in order.

    Each request has a path of its own. Only the server's loop writes; others may read at any time.
    """

    def __init__(self, *, tls: bool) -> None:
        super().__init__()
        self.requests: dict[str, SeenRequest] = {}
        self.connections: dict[int, SeenConnection] = {}
        self.established = 0
        """Connections that were ever established: with TLS, secured."""
        self._tls = tls

    def record(self, kind: str, connection: int, path: str = "") -> None:
        """Note that something happened now."""
        known = self.connections.setdefault(connection, SeenConnection())
        if kind == ("secured" if self._tls else "accept"):
            known.established = True
            self.established += 1
        if kind in ("peer_closed", "close") or (kind == "reset" and not path):
            known.ended = True
        if path:
            request = self.requests.get(path)
            if request is None:
                first = known.requests == 0
                known.requests += 1
                request = self.requests[path] = SeenRequest(connection, is_first=first)
            request.at.setdefault(kind, time.monotonic())
