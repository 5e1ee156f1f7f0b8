"""What is kept of one pool while it lives, and the steps of its requests."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from ..concurrency import nothing, snapshot_of
from .channel import SHUTDOWN
from .lease import (
    AWAITING_RESPONSE,
    CONNECTING,
    QUEUED,
    STREAM_QUEUED,
    UNREAD,
    Call,
    Lease,
    WaitSnapshot,
)
from .ledger import OTHER
from .reader import seconds_or_none

if TYPE_CHECKING:
    from .call_site import CallSite
    from .channel import TrackedChannel
    from .connection import TrackedConnection
    from .ledger import OriginLedger, PoolLedger
    from .reader import PoolReader, PoolView
    from .registry import PoolRegistry

_HOLDERS = 3
_UNREPORTED: tuple[bytes, int | None, bytes] = (b"", None, b"")
"""Key for origins whose host must not be reported."""
LOOKS_AFTERWARDS = 4
"""Looks of the watch at a pool after its last request: with ten thousand idle pools it would take
longer to look at them all than is worth it."""


class _PoolReference(weakref.ref[Any]):
    __slots__ = ("tracker",)
    tracker: PoolTracker


def _pool_is_gone(reference: weakref.ref[Any]) -> None:
    # The garbage collector calls this, at any place of any thread: plain numbers only.
    reference.tracker.discard("garbage_collected")  # type: ignore[attr-defined]


class PoolTracker:
    """Follows one pool. Holds it weakly, and is held by it and by the registry.

    Those methods that assign or end a lease can be reached by a finalizer and under the pool's
    lock, so they only do arithmetic and tell the observers that promise to do no more.
    """

    __slots__ = (
        "_origins",
        "built_at",
        "channel",
        "builder",
        "clock",
        "connections",
        "entered",
        "entered_before",
        "entry_context",
        "first",
        "leases",
        "ledger",
        "items",
        "looks_left",
        "loop",
        "maximum",
        "observer",
        "open",
        "outbox",
        "read_timeout",
        "reader",
        "reference",
        "registry",
        "stuck_logged_at",
        "synchronous",
        "tracked_at",
    )

    def __init__(
        self,
        registry: PoolRegistry,
        ledger: PoolLedger,
        pool: Any,
        reader: PoolReader,
        builder: str | None = None,
    ) -> None:
        self.registry = registry
        self.builder = builder
        """any-llm's key of the provider that the pool was built for; None when unknown."""
        self.first: tuple[str, str | None] = ("", None)
        """Host and provider of the first request."""
        self.clock = registry.clock
        self.observer = registry.observer
        self.outbox = registry.outbox
        self.items = registry.outbox.items
        self.entry_context = registry.entry_context
        self.ledger = ledger
        self.reader = reader
        self.tracked_at = registry.clock()
        self.entered = 0
        """Requests so far."""
        self.entered_before = 0
        """The same when the watch last looked."""
        self.looks_left = LOOKS_AFTERWARDS
        """How often the watch still looks at it without a request."""
        self.synchronous = False
        """Whether synchronous code uses it, as far as that is known."""
        self.built_at: CallSite | None = None
        """Where the application built it, where that is known."""
        self.channel: TrackedChannel | None = None
        """What is kept of it where it is a gRPC channel."""
        self.read_timeout: float | None = None
        """Seconds, as the first request asked for."""
        self.loop: Any = registry.no_loop
        """A weak reference to the event loop that its requests run in; None when that is to be
        found out by the next request, ``NOWHERE`` when it is not."""
        self.stuck_logged_at = 0
        """When it was last told that requests are stuck in it."""
        self.maximum: int | None = None
        """Upper bound of connections, as last read; None when unlimited."""
        self.open = True
        """False once the pool is closed, gone, or its installation is undone."""
        # Dicts as ordered sets: the leases that came first are the longest-held ones.
        self.leases: dict[Lease, None] = {}
        self.connections: dict[TrackedConnection, None] = {}
        self._origins: dict[tuple[bytes, int | None, bytes, str | None], OriginLedger] = {}
        """By origin as asked for, and provider of the call."""
        reference = _PoolReference(pool, _pool_is_gone)
        reference.tracker = self
        self.reference: _PoolReference | None = reference

    def origin(
        self, host: bytes, port: int | None, scheme: bytes, provider: str | None = None
    ) -> OriginLedger:
        """The ledger of a request for an origin, in a call of ``provider`` if there is one."""
        key = (host, port, scheme, provider)
        found = self._origins.get(key)
        if found is None:
            asked = provider
            if provider is None:
                provider = self.builder or self.registry.provider_for_host(_text(host))
            self.ledger.asked_for(provider, self.clock())
            found = self.registry.origin(self.ledger, host, port, scheme, provider)
            if found.address.encode() != host.lower():
                # A malformed host may be a key or a URL: do not store it.
                key = (*_UNREPORTED, asked)
            if key not in self._origins and len(self._origins) < self.registry.max_origins:
                # Beyond the bound origins share a ledger, and providers share an origin.
                known = snapshot_of(self._origins.values)
                if all(other.reported != found.reported for other in known):
                    found.pool_entered(self.built_at)
                self._origins[key] = found
        return found

    def origin_of_connection(self, host: bytes, port: int | None, scheme: bytes) -> OriginLedger:
        """Ledger for a connection without a known request."""
        reported = self.registry.reported_origin(host, port, scheme)
        known = snapshot_of(self._origins.values)
        if reported[0] == OTHER:  # beyond the bound a tracker does not keep it
            known += snapshot_of(self.ledger.origins.values)
        for found in known:
            if found.reported == reported:
                return found
        name = _text(host)
        first, provider = self.first
        if name != first:
            provider = self.builder or self.registry.provider_for_host(name)
        return self.registry.origin(self.ledger, host, port, scheme, provider)

    def __reduce__(self) -> tuple[Any, ...]:
        return nothing, ()

    # A request's way

    # The next four are on the path of every request, so they call as little as they can: the steps
    # that are the same are written out.

    def begin(
        self, host: bytes, port: int | None, scheme: bytes, call: Call | None = None
    ) -> Lease:
        """A request for an origin enters the pool."""
        # Before its clock starts.
        if self.outbox.attention:
            self.registry.attend()
        provider = None if call is None else call.provider
        origin = self._origins.get((host, port, scheme, provider))
        if origin is None:
            origin = self.origin(host, port, scheme, provider)
        lease = Lease(self, origin, call, self.clock())
        try:
            if call is None:
                lease.own_call_site = self.registry.find_call_site()
            context = self.entry_context()
            if context:
                self.observer.lease_queued(lease, context)
        except Exception as error:
            # Of a Python or an API unknown to us. The request counts all the same.
            self.registry.failures.caught("entry", error)
        # From here on nothing is called: a signal handler that raises can't part these steps.
        if call is not None:
            call.requests += 1
            if call.requests > 1:
                lease.resend = True
                origin.resent += 1
        origin.entered += 1
        self.entered += 1
        self.leases[lease] = None
        return lease

    def waiting(self, lease: Lease, timeout: float | None = None) -> None:
        """The request found no connection and now stands in the queue, for ``timeout`` seconds."""
        now = self.clock()
        lease.pool_timeout = seconds_or_none(timeout)
        self._join_queue(lease, now)
        if lease.wait_snapshot is None:
            lease.wait_snapshot = self._wait_snapshot(now)

    def assigned(self, lease: Lease, connection: TrackedConnection) -> None:
        """A connection is assigned, tentatively. Under the pool's lock, in any task."""
        if lease.ended:
            return
        if connection.reports_accept and (lease.waited or connection.leases):
            self._assigned_tentatively(lease, connection)
            return
        if lease.waited:
            now = self.clock()
            lease.origin.spent[QUEUED] += now - lease.phase_since
            lease.phase_since = now
            if lease.in_queue:
                lease.in_queue = False
                self.ledger.queued.value -= 1
        else:
            # An immediate acquire took exactly no time.
            now = lease.entered_at
        lease.acquired_at = now
        lease.connection = connection
        connection.lease = lease
        connection.leases += 1
        if connection.origin is not lease.origin:
            connection.serve(lease.origin)
        if not connection.active:
            connection.active = True
            active = self.ledger.active
            if now >= active.end:
                active.turn(now)
            active.value = value = active.value + 1
            if value > active.high:
                active.high = value
        if not connection.established_at:
            self._assigned_fresh(lease, connection)
        else:
            lease.phase = AWAITING_RESPONSE if connection.streams is None else STREAM_QUEUED
            if connection.served:
                lease.reused = True

    def accepted(self, lease: Lease, connection: TrackedConnection) -> None:
        """The connection takes a request that it was promised to, and begins to send it."""
        self.given_back(connection)
        before = connection.lease
        now = self.clock()
        if before is not None and before is not lease:
            self._queue_again(before, connection, now)  # it was overtaken
        # atomic
        if lease.ended or lease.phase != QUEUED:
            return
        connection.lease = lease
        if lease.in_queue:
            lease.in_queue = False
            self.ledger.queued.value -= 1
        lease.origin.spent[QUEUED] += now - lease.phase_since
        lease.phase_since = now
        lease.phase = AWAITING_RESPONSE
        # The end of the block: the connection counts for the origin of its latest request.
        if connection.origin is not lease.origin:
            connection.serve(lease.origin)

    def given_back(self, connection: TrackedConnection) -> None:
        """An HTTP/1.1 connection is idle: the response that was read from it is closed.

        Other threads can run between that and the hook that reports it.
        """
        lease = connection.lease
        if lease is not None and lease.answered_at and lease.connection is connection:
            lease.tracker.released(lease)

    def answered(self, lease: Lease, status: int) -> None:
        """The response's head has come; nobody reads the body yet."""
        if lease.ended:  # its installation was undone meanwhile
            return
        lease.answered_at = now = self.clock()
        lease.status = status
        lease.origin.spent[lease.phase] += now - lease.phase_since
        lease.phase_since = now
        lease.phase = UNREAD
        connection = lease.connection
        if connection is not None:
            connection.served += 1
            # httpcore 1.0 assigns one idle connection to several requests; this one has it.
            connection.lease = lease
        if lease.counted:
            items = self.items
            if len(items) < self.outbox.half:
                items.append(lease)
            else:
                self.outbox.press(lease)
            if lease.waited or lease.fresh or lease.in_client_span:
                self._report_answered(lease)

    def released(self, lease: Lease) -> None:
        """The response is closed. Reached by finalizers."""
        now = self.clock()
        items = self.items
        tight = len(items) >= self.outbox.half
        if lease.ended:
            return
        # From here to the outbox nothing is called: a signal handler that raises can't part these
        # steps, and whoever it interrupts before them can begin anew.
        lease.ended_at = now
        lease.ended = True
        lease.origin.spent[lease.phase] += now - lease.phase_since
        leases = self.leases
        if lease in leases:
            del leases[lease]
        if lease.waited and lease.in_queue:  # the first is in a slot, which most stop at
            lease.in_queue = False
            self.ledger.queued.value -= 1
        connection = lease.connection
        if connection is not None and connection.leases:
            connection.leases -= 1
            if connection.active and not connection.leases:
                connection.active = False
                self.ledger.active.value -= 1
            elif connection.closed:
                connection.lease = None
        if lease.counted:
            if tight:
                self.outbox.press(lease)
            else:
                items.append(lease)

    def _assigned_tentatively(self, lease: Lease, connection: TrackedConnection) -> None:
        """A connection is assigned that may take another request first.

        httpcore 1.0 assigns an idle connection to each request that waits, and a request that
        enters at that moment may overtake them. The lease stays queued until `accepted`.
        """
        now = self.clock()
        active = self.ledger.active
        if now >= active.end:
            active.turn(now)
        # An acquire ends at the assignment that is not refused.
        acquired_at = now if lease.waited else lease.entered_at
        # atomic
        lease.acquired_at = acquired_at
        lease.reused = connection.served > 0
        lease.connection = connection
        connection.leases += 1
        if not connection.active:
            connection.active = True
            active.value = value = active.value + 1
            if value > active.high:
                active.high = value
        self._join_queue(lease, now)

    def _join_queue(self, lease: Lease, now: int) -> None:
        """Count a lease as standing in the queue, from now on."""
        queued = self.ledger.queued
        if now >= queued.end:
            queued.turn(now)
        # atomic
        lease.waits_since = now
        if lease.in_queue or lease.ended or lease.phase != QUEUED:
            return
        lease.waited = lease.in_queue = True
        queued.value = value = queued.value + 1
        if value > queued.high:
            queued.high = value

    def _queue_again(self, lease: Lease, connection: TrackedConnection | None, now: int) -> None:
        """Put a lease back into the queue if this is its connection: another one has taken it."""
        # atomic
        if lease.connection is not connection or lease.ended:
            return
        phase = lease.phase
        if phase == AWAITING_RESPONSE:
            # It was never sent: it has been queued all the time.
            lease.phase = QUEUED
        elif phase in (CONNECTING, STREAM_QUEUED):
            lease.origin.spent[phase] += now - lease.phase_since
            lease.phase_since = now
            lease.phase = QUEUED
        self._join_queue(lease, now)

    def _assigned_fresh(self, lease: Lease, connection: TrackedConnection) -> None:
        if not lease.fresh:
            lease.fresh = True
            lease.origin.on_new_connection += 1
        lease.reused = False
        lease.phase = CONNECTING
        if connection.first_lease is None:
            connection.first_lease = lease

    def _report_answered(self, lease: Lease) -> None:
        connection = lease.connection
        if connection is not None and not connection.established_at:
            # Its network stream takes no notes, so this is the first that we hear of it.
            set_up = connection.tls_ended_at or connection.connect_ended_at or lease.answered_at
            self.established(connection, connection.protocol, set_up)
        if lease.in_queue:
            # Another thread assigned the connection while it was about to take its place.
            lease.in_queue = False
            self.ledger.queued.value -= 1
        if lease.waited and lease.acquired_at:
            self.observer.lease_waited(lease)
        if lease.fresh or lease.in_client_span:
            self.observer.lease_answered(lease)

    def requeued(self, lease: Lease) -> None:
        """The assigned connection was no longer available: back to the queue."""
        now = self.clock()
        connection = lease.connection
        # atomic
        lease.acquired_at = 0
        lease.connection = None
        if connection is not None and connection.leases:
            connection.leases -= 1
            if connection.active and not connection.leases:
                connection.active = False
                self.ledger.active.value -= 1
            if connection.lease is lease:
                connection.lease = None
        self._queue_again(lease, None, now)
        if lease.wait_snapshot is None:
            lease.wait_snapshot = self._wait_snapshot(now)
        self.ledger.requeues += 1
        self.observer.lease_requeued(lease)

    def established(self, connection: TrackedConnection, protocol: str, at: int = 0) -> None:
        """A new connection is ready for its first request, since ``at`` if that is not now."""
        if connection.established_at:
            return
        now = self.clock()
        connection.established_at = at or now
        connection.protocol = protocol
        if protocol == "2":
            connection.streams = {}
        connection.origin.protocols.add(protocol)
        self.ledger.opened += 1
        if connection.streams is None:
            self._established_for_one(connection, now)
        else:
            # Others may wait for it too; they find out one after the other.
            for lease in (connection.first_lease, connection.lease):
                if lease is not None and lease.phase == CONNECTING:
                    lease.enter(STREAM_QUEUED, now)
        if connection.first_lease is not None:
            self.observer.connection_created(connection.first_lease, connection)

    def _established_for_one(self, connection: TrackedConnection, now: int) -> None:
        """Give an HTTP/1.1 connection to the lease that established it.

        Where HTTP/2 was offered, other leases may be assigned to it as well: they queue again.
        """
        first = connection.first_lease or connection.lease
        connection.lease = first
        if first is not None and first.phase == CONNECTING:
            first.enter(AWAITING_RESPONSE, now)
        if connection.leases > 1:
            for other in snapshot_of(self.leases.keys):
                if other.connection is connection and other.phase == CONNECTING:
                    self._queue_again(other, connection, now)

    def failed(self, lease: Lease, error: str, *, in_finalizer: bool = False) -> None:
        """The request ended without a response. Reached by finalizers when ``unwinding``."""
        if lease.ended:
            return
        lease.error = error
        lease.in_finalizer = in_finalizer
        connection = lease.connection
        if error == "pool_timeout" or lease.phase == QUEUED:
            # It gave up while a connection was being handed to it: it never acquired one.
            lease.acquired_at = 0
        self._turn_peaks()
        self.released(lease)
        if connection is not None and not connection.established_at:
            if connection.first_lease is lease:
                if connection.connect_started_at:
                    self.observer.connection_failed(lease, connection)
                self._next_to_connect(connection)
            elif not connection.leases:
                self.connections.pop(connection, None)
        if lease.counted and (lease.waited or not lease.acquired_at):
            self.observer.lease_waited(lease)

    def ensure_ended(self, lease: Lease) -> None:
        """Whoever had to tell how the request ended may have been interrupted in that."""
        if not lease.ended:
            lease.error = lease.error or "cancelled"
            if lease.phase == QUEUED:
                lease.acquired_at = 0
            self.released(lease)

    def timed_out(self, lease: Lease, error: BaseException) -> None:
        """The request waited in vain; ``error`` is on its way to the application."""
        self.observer.lease_timed_out(lease, error)

    def discard_lease(self, lease: Lease) -> None:
        """The request never was there, as far as is told: it ends, and counts nowhere.

        The pool has refused to take it in, or a failure of ours has lost track of it.
        """
        counted, lease.counted = lease.counted, False
        self.released(lease)
        lease.counted = counted

    def _next_to_connect(self, connection: TrackedConnection) -> None:
        # On HTTP/2 others may have waited for the set-up that failed: the next of them tries.
        connection.connect_started_at = connection.tls_started_at = connection.tls_ended_at = 0
        connection.first_lease = None
        if not connection.leases:
            connection.lease = None
            self.connections.pop(connection, None)
            return
        for lease in snapshot_of(self.leases.keys):
            if lease.connection is connection:
                connection.first_lease = lease
                return

    def _turn_peaks(self) -> None:
        """Before values fall: what they were until now belongs to the slices that have ended."""
        now = self.clock()
        for peak in (self.ledger.queued, self.ledger.active):
            if now >= peak.end:
                peak.turn(now)

    def _wait_snapshot(self, now: int) -> WaitSnapshot | None:
        try:
            active = [connection for connection in self.connections if connection.active]
            holders = sorted(
                (lease for connection in active for lease in connection.holders()),
                key=lambda lease: lease.acquired_at,
            )[:_HOLDERS]
        except RuntimeError:
            # Another thread's request changed the dict meanwhile: no scene is better than a lock.
            return None
        return WaitSnapshot(
            active=len(active),
            idle=len(self.connections) - len(active),
            maximum=self.maximum,
            queued=self.ledger.queued.value,
            holders=tuple(lease.observed for lease in holders),
            oldest_age=now - holders[0].acquired_at if holders else 0,
            oldest_phase=holders[0].phase if holders else QUEUED,
        )

    def view(self) -> PoolView | None:
        """The pool as it is now; None where it is gone or can't be read at this moment."""
        reference = self.reference
        pool = reference() if reference is not None else None
        if pool is None:
            return None
        try:
            return self.reader.view(pool, self)
        except Exception as error:
            self.registry.failures.caught("view", error)
            return None

    # The pool's own end

    def discard(self, reason: str) -> None:
        """The pool is ``closed`` or ``garbage_collected``. Reached by finalizers."""
        if self.open:
            self.open = False
            registry = self.registry
            registry.trackers.pop(self, None)
            if self.leases:
                registry.ending[self] = None
            ledger = self.ledger
            ledger.live -= 1
            if not ledger.live:
                ledger.empty_since = self.clock()
            ledger.discarded[reason] += 1
            asked = {found.reported: found for found in snapshot_of(self._origins.values)}
            for found in asked.values():
                found.pools_gone += 1
            self.observer.pool_discarded(self, reason)
            if self.channel is not None and self.channel.state != SHUTDOWN:
                self.channel.end()  # it may go on, under another name
        if reason == "garbage_collected":
            self.reference = None
            self._end_all()

    def _end_all(self) -> None:
        if self.channel is not None:
            # A call goes on without its channel, and its own end is told.
            self.channel.end()
            return
        # No response is alive that could still give its connection back.
        for lease in snapshot_of(self.leases.keys):
            lease.in_finalizer = True
            if lease.answered_at:
                self.released(lease)
            else:
                self.failed(lease, "cancelled", in_finalizer=True)
        for connection in snapshot_of(self.connections.keys):
            connection.close("garbage_collected")


def _text(host: bytes) -> str:
    return host.decode("ascii", "replace")
