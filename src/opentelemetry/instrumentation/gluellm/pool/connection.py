"""One connection of a pool while it lives."""

from __future__ import annotations

from collections.abc import Container
from typing import TYPE_CHECKING, Any

from ..concurrency import nothing, snapshot_of
from .lease import Lease
from .phases import QUEUED

if TYPE_CHECKING:
    from .ledger import OriginLedger
    from .tracker import PoolTracker


WEBSOCKET = "websocket"
"""Protocol of a connection that switched from HTTP/1.1 to WebSocket (RFC 6455)."""


class TrackedConnection:
    """A connection of a pool. Refers to no library object."""

    __slots__ = (
        "active",
        "adopted",
        "closed",
        "closing",
        "connect_ended_at",
        "connect_started_at",
        "created_at",
        "established_at",
        "first_lease",
        "lease",
        "leases",
        "missing",
        "observed",
        "origin",
        "orphans",
        "peer",
        "protocol",
        "reports_reads",
        "reports_accept",
        "served",
        "streams",
        "tls_ended_at",
        "tls_started_at",
        "tls_version",
        "tracker",
        "__weakref__",
    )

    def __init__(self, tracker: PoolTracker, origin: OriginLedger, now: int) -> None:
        self.tracker = tracker
        self.origin = origin
        self.created_at = now
        self.adopted = False
        """Whether it existed before its pool was tracked. Its set-up is then not reported."""
        self.established_at = 0
        """When it was ready for its first request; 0 while it is being established."""
        self.connect_started_at = self.connect_ended_at = 0
        self.tls_started_at = self.tls_ended_at = 0
        self.tls_version: str | None = None
        self.peer: tuple[str, int] | None = None
        self.protocol = "1.1"
        """HTTP version, ``1.1`` or ``2``, or ``websocket``."""
        self.leases = 0
        """Leases that it is assigned to."""
        self.active = False
        """Whether it counts as active or connecting: from its assignment until it is given back,
        closed or could not be established, whichever comes first."""
        self.first_lease: Lease | None = None
        """The lease whose request establishes it."""
        self.lease: Lease | None = None
        """The lease that has it: on HTTP/1.1 the only one, on HTTP/2 the one assigned last."""
        self.streams: dict[int, Lease] | None = None
        """HTTP/2: leases by stream. None on HTTP/1.1."""
        self.orphans: dict[int, None] = {}
        """HTTP/2: streams whose request has ended and that the peer may still have open."""
        self.reports_reads = False
        """Whether reads of bodies are reported. If not, the phase ``unread`` means nothing."""
        self.reports_accept = False
        """Whether it reports which of several assigned requests it accepts: HTTP/1.1 of httpcore,
        if the hook works."""
        self.served = 0
        """Requests that were answered on it."""
        self.closing: str | None = None
        """Reason why the pool is about to close it; None if unknown."""
        self.observed: Any = None
        """Data of the observers, such as the context of its set-up span."""
        self.closed = False
        self.missing = False
        """Whether the previous `close_missing` did not find it in the pool."""

    def __reduce__(self) -> tuple[Any, ...]:
        return nothing, ()

    def close(self, reason: str) -> None:
        """Count it as closed, once. The finalizer rule applies."""
        if self.closed:
            return
        self.closed = True
        self.deactivate()
        tracker = self.tracker
        tracker.connections.pop(self, None)
        # Leave no reference cycle to the garbage collector. A request that is in flight on it
        # notices the close at its next read, and its end drops the reference.
        self.first_lease = None
        lease = self.lease
        if lease is None or lease.ended or lease.connection is not self:
            self.lease = None
        if self.established_at:
            tracker.ledger.connection_closed(reason)
            tracker.observer.connection_closed(self, reason)

    def serve(self, origin: OriginLedger) -> None:
        """Count it in the ledger of its latest request, which may be another provider's."""
        self.origin = origin
        if self.established_at:
            origin.protocols.add(self.protocol)

    def holders(self) -> list[Lease]:
        """Return the leases that hold it now: on HTTP/2 those with a stream."""
        leases = (self.lease,) if self.streams is None else self.streams.values()
        return [
            lease
            for lease in leases
            if lease is not None
            and lease.connection is self
            and lease.phase != QUEUED
            and not lease.ended
        ]

    def switch(self, protocol: str) -> None:
        """Record that both sides switched to another protocol."""
        self.protocol = protocol
        self.origin.protocols.add(protocol)

    def activate(self, now: int) -> None:
        """Count it as active or connecting."""
        if not self.active:
            self.active = True
            self.tracker.ledger.active.change(1, now)

    def deactivate(self) -> None:
        """Stop counting it as active or connecting. The finalizer rule applies.

        The pool may replace it before the request that held it has ended.
        """
        if self.active:
            self.active = False
            self.tracker.ledger.active.value -= 1


def close_missing(tracker: PoolTracker, listed: Container[TrackedConnection]) -> None:
    """Close the records of connections that a pool dropped without closing them.

    ``listed`` contains those that the pool lists. A connection that is being taken, returned or
    closed is not listed either, so a record is closed only if it is missing in two passes.
    """
    for record in snapshot_of(tracker.connections.keys):
        if record in listed or record.leases:
            record.missing = False
        elif not record.missing:
            record.missing = True
        else:
            record.close("garbage_collected")
