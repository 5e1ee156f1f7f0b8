"""How an adapter reads a library's pool, for a collection or a snapshot."""

from __future__ import annotations

from collections.abc import Container, Iterable
from typing import Any, ClassVar, Protocol, TypeVar

from .counts import Occupancy, PoolSums
from .lease import ReadPool, TrackedConnection, Tracker

Sockets = Iterable[tuple[TrackedConnection, Any]]
"""Connections with their socket objects, or None without one."""
TrackerT = TypeVar("TrackerT", bound=Tracker, contravariant=True)


def seconds_or_none(value: object) -> float | None:
    """Return ``value`` if it is a number of seconds; None for what unknown versions may have."""
    return value if isinstance(value, (int, float)) else None


class PoolReader(Protocol[TrackerT]):
    """Reads pools of one library. All methods run in any thread and touch no socket and no lock.

    All may raise if the pool changes meanwhile.
    """

    reads_ahead: ClassVar[bool] = False
    """Whether the library releases a connection when the response has arrived, read or not."""

    def count(self, pool: Any, tracker: TrackerT, counts: PoolSums) -> Occupancy:
        """Add the pool's connections to ``counts``. Cheap, since each collection calls it."""

    def view(self, pool: Any, tracker: TrackerT) -> ReadPool:
        """Read the limits and each connection."""

    def sockets(self, pool: Any, wanted: Container[TrackedConnection]) -> Sockets:
        """Find the sockets of ``wanted`` connections."""
