"""Events of a server, with monotonic times to compare with those of the client."""

import time
from dataclasses import dataclass, field

from .waiting import wait_until


@dataclass(frozen=True, slots=True)
class Moment:
    """One event: its time in seconds of the monotonic clock, connection number and path."""

    kind: str
    at: float
    connection: int
    path: str = ""


@dataclass(slots=True)
class Timeline:
    """The events of one server, in order.

    Kinds: ``accept``, ``secured`` (TLS done), ``request``, ``head``, ``chunk``, ``body_end``,
    ``reset`` and ``close`` (by the server), ``peer_closed`` (by the client).
    """

    moments: list[Moment] = field(default_factory=list)

    def record(self, kind: str, connection: int, path: str = "") -> None:
        """Record an event at the current time."""
        self.moments.append(Moment(kind, time.monotonic(), connection, path))

    def all(self, kind: str, path: str | None = None) -> list[Moment]:
        """The events of a kind, for one path if given."""
        return [m for m in self.moments if m.kind == kind and path in (None, m.path)]

    def count(self, kind: str, path: str | None = None) -> int:
        """How many events of a kind there were."""
        return len(self.all(kind, path))

    def at(self, kind: str, path: str | None = None, *, nth: int = 0) -> float:
        """When the ``nth`` event of a kind was; waits until it has come."""
        self.wait_for(kind, path, count=nth + 1)
        return self.all(kind, path)[nth].at

    def wait_for(self, kind: str, path: str | None = None, *, count: int = 1) -> None:
        """Wait until at least ``count`` events of a kind have come."""
        wait_until(
            lambda: self.count(kind, path) >= count, f"{count} x {kind} {path or ''} on the server"
        )
