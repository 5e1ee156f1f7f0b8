"""Counts of connections and requests, summed while pools are read."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .connection import WEBSOCKET
from .lease import PHASES

if TYPE_CHECKING:
    from .ledger import OriginLedger, PoolLedger

CONNECTING, ACTIVE_1, IDLE_1, ACTIVE_2, IDLE_2, ACTIVE_WEBSOCKET = PLACES = range(6)
"""Places in a count of connections: being established; active and idle on HTTP/1.1 and HTTP/2. A
WebSocket is never idle: it goes with the request that began it."""
ACTIVE = {"1.1": ACTIVE_1, "2": ACTIVE_2, WEBSOCKET: ACTIVE_WEBSOCKET}
"""The place of an active connection, by its protocol."""


class RunningRequests:
    """Requests of one origin that are in each phase now."""

    __slots__ = ("count", "since")

    def __init__(self) -> None:
        self.count = [0] * len(PHASES)
        self.since = [0] * len(PHASES)
        """The sum of the times at which they entered the phase, so that ``count * now - since`` is
        how long they have been in it, together."""


class Tally:
    """Connections and requests by origin and state, summed over pools while they are read."""

    __slots__ = ("busy", "idle_maximum", "maximum", "origins", "requests", "spent", "streams")

    def __init__(self) -> None:
        self.origins: dict[OriginLedger, list[int]] = {}
        self.streams: dict[OriginLedger, list[int]] = {}
        """HTTP/2 streams by origin: active, limit, orphaned."""
        self.requests: dict[OriginLedger, RunningRequests] = {}
        self.spent: dict[OriginLedger, tuple[int, ...]] = {}
        """Nanoseconds in each phase that leases had left when the reading began."""
        self.busy = 0
        """Active or connecting ones of the pool that was read last."""
        self.maximum: int | None = None
        """The upper bound of the pool that was read last; None when unlimited."""
        self.idle_maximum: int | None = None

    def of(self, origin: OriginLedger) -> list[int]:
        """The counts of one origin, to be added to."""
        counts = self.origins.get(origin)
        if counts is None:
            counts = self.origins[origin] = [0] * len(PLACES)
        return counts

    def add_streams(self, origin: OriginLedger, active: int, limit: int, orphaned: int) -> None:
        """Add the streams of one HTTP/2 connection."""
        streams = self.streams.get(origin)
        if streams is None:
            streams = self.streams[origin] = [0, 0, 0]
        streams[0] += active
        streams[1] += limit
        streams[2] += orphaned

    def running(self, origin: OriginLedger) -> RunningRequests:
        """The running requests of one origin, to be added to."""
        running = self.requests.get(origin)
        if running is None:
            running = self.requests[origin] = RunningRequests()
        return running


@dataclass(slots=True)
class NameState:
    """The state of all pools of one name at one moment."""

    ledger: PoolLedger
    maximum: int | None = 0
    """Sum of the pools' bounds; None when one of them is unlimited."""
    idle_maximum: int | None = 0
    occupancy: float | None = None
    """Share of the limit in use in the fullest pool; None when every pool is unlimited."""
    busy: int = 0
    leaks_suspected: int = 0
    oldest_since: list[int] = field(default_factory=lambda: [0] * len(PHASES))
    """Since when the longest has been in each phase; 0 when none is."""
