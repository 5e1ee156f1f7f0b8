"""What an adapter reads of a library's pool, when somebody asks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from .connection import TrackedConnection
    from .counts import Tally
    from .tracker import PoolTracker


def seconds_or_none(value: object) -> float | None:
    """A time that a library's object has; None for what is no time, in a version unknown to us."""
    return value if isinstance(value, (int, float)) else None


@dataclass(frozen=True, slots=True)
class ConnectionView:
    """One connection that the pool has listed."""

    record: TrackedConnection
    state: str
    """``connecting``, ``active`` or ``idle``."""
    wanted: bool
    """Whether one of the pool's own requests refers to it."""
    streams_max: int | None
    """HTTP/2: how many streams it may have; None on HTTP/1.1."""


@dataclass(frozen=True, slots=True)
class Workers:
    """The threads that send a pool's requests, where an executor's do."""

    executor: object
    """Equal for pools that share them. Refers to the executor weakly."""
    maximum: int
    waiting: int
    """Calls that wait for a thread, whatever they are about."""


@dataclass(frozen=True, slots=True)
class PoolView:
    """One pool: its limits and connections."""

    max_connections: int | None
    """None when unlimited."""
    max_idle_connections: int | None
    keepalive_expiry: float | None
    """Seconds; None when idle connections are kept for ever."""
    tcp_keepalive: bool | None
    """Whether its sockets have SO_KEEPALIVE; None when that isn't known."""
    connections: Sequence[ConnectionView]
    max_connections_per_origin: int | None = None
    """None when there is no such limit."""
    limits_from: str | None = None
    """What set the limits, in words, where that was not the one who built the client."""
    workers: Workers | None = None
    """None where requests are sent by no executor's threads."""


class PoolReader(Protocol):
    """Reads pools of one library. Both methods run in any thread and touch no socket and no lock.

    Either may raise where the pool is in the middle of a change.
    """

    def count(self, pool: Any, tracker: PoolTracker, counts: Tally) -> None:
        """Add the pool's connections to ``counts``: the cheap one, for every collection."""

    def view(self, pool: Any, tracker: PoolTracker) -> PoolView:
        """Look at each connection."""
