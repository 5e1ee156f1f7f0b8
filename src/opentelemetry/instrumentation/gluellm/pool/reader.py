"""How an adapter reads a library's pool, for a collection or a snapshot."""

from __future__ import annotations

from typing import Any, Protocol, TypeVar

from .counts import PoolSums
from .lease import PoolView, Tracker

TrackerT = TypeVar("TrackerT", bound=Tracker, contravariant=True)


def seconds_or_none(value: object) -> float | None:
    """Return ``value`` if it is a number of seconds; None for what unknown versions may have."""
    return value if isinstance(value, (int, float)) else None


class PoolReader(Protocol[TrackerT]):
    """Reads pools of one library. Both methods run in any thread and touch no socket and no lock.

    Both may raise if the pool changes meanwhile.
    """

    def count(self, pool: Any, tracker: TrackerT, counts: PoolSums) -> None:
        """Add the pool's connections to ``counts``. Cheap, since each collection calls it."""

    def view(self, pool: Any, tracker: TrackerT) -> PoolView:
        """Read the limits and each connection."""
