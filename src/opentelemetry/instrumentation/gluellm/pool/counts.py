"""Counts of connections and requests, summed over all pools for a collection or a snapshot."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from ..vocabulary import PHASES, WEBSOCKET
from .ledger import OriginLedger, PoolLedger

CONNECTING, ACTIVE_1, IDLE_1, ACTIVE_2, IDLE_2, ACTIVE_WEBSOCKET = PLACES = range(6)
"""Indexes into a count of connections: being established; active and idle on HTTP/1.1 and HTTP/2.
A WebSocket is never idle: it ends with the request that opened it."""
ACTIVE = {"1.1": ACTIVE_1, "2": ACTIVE_2, WEBSOCKET: ACTIVE_WEBSOCKET}
"""Index of an active connection, by protocol."""

Occupancy = tuple[int, "int | None", "int | None"]
"""A pool's active and connecting connections, and its upper bounds of connections and of idle
connections; None for an unlimited one."""


class RunningRequests:
    """Requests of one origin in flight, by phase."""

    __slots__ = ("count", "since")

    def __init__(self) -> None:
        self.count = [0] * len(PHASES)
        self.since = [0] * len(PHASES)
        """Sum of the times at which they entered the phase. ``count * now - since`` is the time
        that they have spent in it together."""


class PoolSums:
    """Connections and requests by origin and state, summed over pools."""

    def __init__(self) -> None:
        self.origins: dict[OriginLedger, list[int]] = defaultdict(lambda: [0] * len(PLACES))
        """Connections by origin, each list by place."""
        self.streams: dict[OriginLedger, list[int]] = defaultdict(lambda: [0, 0, 0])
        """HTTP/2 streams by origin: active, limit and orphaned ones."""
        self.requests: dict[OriginLedger, RunningRequests] = defaultdict(RunningRequests)
        self.spent: dict[OriginLedger, tuple[int, ...]] = {}
        """Nanoseconds in each phase, of the phases that had ended when the summing began."""
        self.steps: dict[OriginLedger, list[int]] = {}
        """Nanoseconds in each step of set-ups, ended and running ones together."""


@dataclass(slots=True)
class NameState:
    """The state of all pools of one name at one moment."""

    ledger: PoolLedger
    maximum: int | None = 0
    """Sum of the pools' bounds on connections; None if one pool is unlimited."""
    idle_maximum: int | None = 0
    """Sum of the pools' bounds on idle connections; None if one pool is unlimited."""
    occupancy: float | None = None
    """Share of the limit in use in the fullest pool; None if every pool is unlimited."""
    busy: int = 0
    """Active or connecting connections."""
    oldest_since: list[int] = field(default_factory=lambda: [0] * len(PHASES))
    """When the oldest request in each phase entered it (queued: the pool); 0 if there is none."""
    held_since: int = 0
    """When the longest-held lease acquired its connection; 0 if no connection is held."""
