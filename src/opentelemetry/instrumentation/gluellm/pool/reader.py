"""How an adapter reads a library's pool, for a collection or a snapshot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from .connection import TrackedConnection
    from .counts import Tally
    from .tracker import PoolTracker


def seconds_or_none(value: object) -> float | None:
    """Return ``value`` if it is a number of seconds; None for what unknown versions may have."""
    return value if isinstance(value, (int, float)) else None


@dataclass(frozen=True, slots=True)
class ConnectionView:
    """One connection in the pool's own list."""

    record: TrackedConnection
    state: str
    """``connecting``, ``active`` or ``idle``."""
    wanted: bool
    """Whether one of the pool's own requests refers to it."""
    streams_max: int | None
    """Limit on HTTP/2 streams; None on HTTP/1.1."""


@dataclass(frozen=True, slots=True)
class Workers:
    """The executor whose threads send a pool's requests."""

    executor: object
    """Identity of the executor: equal for pools that share it, and refers to it weakly."""
    maximum: int
    waiting: int
    """Calls that wait for a thread, including those that send no request."""


@dataclass(frozen=True, slots=True)
class PoolView:
    """The limits and connections of one pool at one moment."""

    max_connections: int | None
    """Upper bound of connections; None if unlimited."""
    max_idle_connections: int | None
    keepalive_expiry: float | None
    """Seconds for which idle connections are kept; None for ever."""
    tcp_keepalive: bool | None
    """Whether its sockets have SO_KEEPALIVE; None if unknown."""
    connections: Sequence[ConnectionView]
    max_connections_per_origin: int | None = None
    """Upper bound of connections per origin; None if there is none."""
    limits_from: str | None = None
    """What set the limits, as text; None if the code that built the client did."""
    workers: Workers | None = None
    """The executor that sends its requests; None if none does."""


class PoolReader(Protocol):
    """Reads pools of one library. Both methods run in any thread and touch no socket and no lock.

    Both may raise if the pool changes meanwhile.
    """

    def count(self, pool: Any, tracker: PoolTracker, counts: Tally) -> None:
        """Add the pool's connections to ``counts``. Cheap, since each collection calls it."""

    def view(self, pool: Any, tracker: PoolTracker) -> PoolView:
        """Read the limits and each connection."""
