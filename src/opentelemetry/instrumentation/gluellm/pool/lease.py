"""One request's way through a pool."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .ledger import OriginLedger
    from .tracker import PoolTracker, TrackedConnection

QUEUED, CONNECTING, STREAM_QUEUED, AWAITING_RESPONSE, READING, UNREAD = range(6)

PHASES = ("queued", "connecting", "stream_queued", "awaiting_response", "reading", "unread")
"""The phases' names in the telemetry contract, by number."""


class Call:
    """One any-llm call: what its requests and the pools built inside it are attributed to."""

    __slots__ = ("ended", "model", "operation", "provider", "requests")

    def __init__(
        self, provider: str, model: str | None = None, operation: str | None = None
    ) -> None:
        self.provider = provider
        self.model = model
        self.operation = operation
        self.ended = False
        self.requests = 0


@dataclass(frozen=True, slots=True)
class WaitScene:
    """What a request found when its wait began: that is what explains the wait."""

    active: int
    idle: int
    maximum: int | None
    queued: int
    holders: tuple[Any, ...]
    """The observers' notes of the longest-held leases, the oldest first. Not the leases: each of
    them may have a scene too, and all that ever queued would stay in memory as a chain."""
    oldest_age: int
    """Nanoseconds since the oldest of them acquired its connection."""
    oldest_phase: int


class Lease:
    """A request from entering the pool to giving its connection back.

    All times are nanoseconds of the registry's monotonic clock. A lease is in exactly one phase
    until it has ended, and its phases add up to its whole time.

    Everything here is plain numbers and references to plain numbers: a finalizer may end a lease at
    any place of any thread. A lease refers to no library object, so it keeps no pool, connection or
    response alive.
    """

    __slots__ = (
        "acquired_at",
        "answered_at",
        "call",
        "connection",
        "counted",
        "ended",
        "ended_at",
        "entered_at",
        "error",
        "failed_at",
        "listed",
        "observed",
        "origin",
        "phase",
        "phase_since",
        "resend",
        "reused",
        "standing",
        "status",
        "streaming",
        "stream_queued_at",
        "stream_sent_at",
        "tracker",
        "unwinding",
        "waited",
        "wait_scene",
    )

    def __init__(
        self, tracker: PoolTracker, origin: OriginLedger, call: Call | None, now: int
    ) -> None:
        self.tracker = tracker
        self.origin = origin
        self.call = call
        self.entered_at = self.phase_since = now
        self.phase = QUEUED
        self.waited = False
        """Whether it ever stood in the queue: an immediate acquire took exactly 0."""
        self.listed = False
        """Whether the pool has taken it into its list of requests."""
        self.standing = False
        """Whether it stands in the queue now."""
        self.acquired_at = 0
        """When the last assignment was made; 0 while there is none."""
        self.connection: TrackedConnection | None = None
        self.reused = False
        self.status = 0
        self.error: str | None = None
        self.answered_at = 0
        self.failed_at = 0
        self.stream_queued_at = 0
        self.stream_sent_at = 0
        self.ended = False
        self.ended_at = 0
        self.resend = False
        self.streaming = False
        self.counted = True
        """False for a suppressed request: it counts in the state, not in counters and durations."""
        self.unwinding = False
        """Whether it ends inside a finalizer, where an observer may only change plain numbers."""
        self.wait_scene: WaitScene | None = None
        self.observed: Any = None
        """The observer's own note, a span context for instance."""
        origin.current[QUEUED] += 1
        origin.elapsed[QUEUED] -= now

    def enter(self, phase: int, now: int) -> None:
        """Leave the phase it is in and enter ``phase``. An ended lease stays as it is."""
        if self.ended:
            return
        # No call stands between these lines: CPython switches threads and runs finalizers at calls
        # and loops only, so no other thread sees the counts and the times apart.
        elapsed = self.origin.elapsed
        current = self.origin.current
        old = self.phase
        elapsed[old] += now
        current[old] -= 1
        elapsed[phase] -= now
        current[phase] += 1
        self.phase = phase
        self.phase_since = now

    def end(self, now: int) -> bool:
        """Leave the last phase. False when it had ended already."""
        if self.ended:
            return False
        self.ended = True
        self.ended_at = now
        origin = self.origin
        phase = self.phase
        origin.elapsed[phase] += now
        origin.current[phase] -= 1
        return True

    @property
    def acquire_time(self) -> int:
        """Nanoseconds in the queue until the last assignment (or the end, where there was none)."""
        if not self.waited:
            return 0
        return (self.acquired_at or self.failed_at or self.ended_at) - self.entered_at
