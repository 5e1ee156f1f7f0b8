"""One pool while it lives, and the steps of its requests.

The mutable state of a pool is its leases in flight, each in one phase, and its connections, each
with the leases that it serves. Times and counts are in the ledgers, which outlive the pool.
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable
from itertools import islice
from typing import Any, ClassVar, Protocol

from ..concurrency import nothing, snapshot_of
from ..failures import Failures
from ..vocabulary import (
    AWAITING_RESPONSE,
    BACKOFF,
    CONNECTING,
    FINISHING,
    NOT_RETRIED,
    PREPARING,
    QUEUED,
    REQUESTING,
    RETRIED,
    STREAM_QUEUED,
    UNREAD,
)
from .call import Call
from .call_site import CallSite, CallSites, Near
from .lease import Lease, ReadPool, TrackedConnection, Tracker, Wait, WaitSnapshot
from .ledger import OTHER, Ledgers, OriginLedger, PoolLedger
from .observer import PoolObserver
from .outbox import Outbox
from .reader import PoolReader, seconds_or_none

_HOLDERS = 3
_UNREPORTED: tuple[bytes, int | None, bytes] = (b"", None, b"")
"""Key for origins whose host must not be reported."""


class _PoolReference(weakref.ref[Any]):
    __slots__ = ("tracker",)
    tracker: PoolTracker


def _pool_is_gone(reference: weakref.ref[Any]) -> None:
    # The garbage collector calls this: the finalizer rule.
    reference.tracker.discard("garbage_collected")  # type: ignore[attr-defined]


class Registry(Protocol):
    """What a tracker needs of `PoolRegistry`."""

    attention: bool
    clock: Callable[[], int]
    entry_context: Callable[[], object]
    failures: Failures
    find_call_site: Callable[..., CallSite | None]
    ledgers: Ledgers
    no_loop: Any
    open: bool
    observer: PoolObserver
    outbox: Outbox
    provider_for_host: Callable[[str, int | None], str | None]
    trackers: dict[int, PoolTracker]
    ending: dict[PoolTracker, None]

    def attend(self) -> None: ...
    def fill_outbox(self, lease: Lease) -> None: ...
    def still_queued_in(self, pool: Any) -> PoolTracker | None: ...


class PoolTracker(Tracker):
    """Tracker of one pool. It holds the pool weakly; the pool and the registry hold the tracker.

    Methods that queue, assign or end a lease can be called by finalizers and under the pool's lock.
    They follow the finalizer rule (``lease.py``), and notify only observers that follow it as well.
    """

    registry: Registry
    lease_type: ClassVar[type[Lease]] = Lease
    ledger_type: ClassVar[type[PoolLedger]] = PoolLedger
    held_unit = "connection"
    """What a request holds, as a word for people."""
    release_verb = "close"
    """What the application does to give it back."""
    # CPython stores up to 30 attributes of an object fastest. These are defaults of the class.
    synchronous = False
    """Whether synchronous code uses it, as far as that is known."""
    built_at: CallSite | None = None
    """Line of the application that built it; None if unknown."""
    used_at: CallSite | None = None
    """Call site of the first request; None if unknown."""
    read_timeout: float | None = None
    """Read timeout of the first request, in seconds; None if there is none."""
    acquire_timeout: float | None = None
    """Pool timeout of the latest request, in seconds. Pools of one name can have different ones."""
    two_loops = False
    """Whether a request has failed because its connection belongs to another event loop."""

    def __init__(
        self,
        registry: Registry,
        ledger: PoolLedger,
        pool: Any,
        reader: PoolReader[PoolTracker],
        builder: str | None = None,
    ) -> None:
        self.registry = registry
        self.failures = registry.failures
        self.builder = builder
        """any-llm's key of the provider that the pool was built for; None if unknown."""
        self.first: tuple[str, str | None] = ("", None)
        """Host and provider of the first request."""
        self.near = Near()
        self.clock = registry.clock
        self.observer = registry.observer
        self.outbox = registry.outbox
        self.items = registry.outbox.items
        self.entry_context = registry.entry_context
        self.lease_queued = registry.observer.lease_queued
        self.ledger = ledger
        self.reader = reader
        self.tracked_at = registry.clock()
        self.entered = 0
        """Requests so far."""
        self.loop: Any = registry.no_loop
        """Weak reference to the event loop of its requests. None until the next request sets it;
        ``NOWHERE`` if no loop is watched for this pool."""
        self.loops: dict[Any, CallSite | None] = {}
        """Weak references to the first event loops in which connections were established, each with
        the call site of the request that did so first."""
        self.maximum: int | None = None
        """Upper bound of connections at the last reading; None if unlimited."""
        self.pool_id = id(pool)
        self.open = False
        """Whether the registry tracks the pool: False once it is closed or gone, or its
        installation is undone."""
        # Dicts serve as ordered sets: the leases that came first are the longest-held ones.
        self.leases: dict[Lease, None] = {}
        self.connections: dict[TrackedConnection, None] = {}
        self._origins: dict[tuple[bytes, int | None, bytes, str | None], OriginLedger] = {}
        """Ledgers by origin as requested, and provider of the call."""
        reference = _PoolReference(pool, _pool_is_gone)
        reference.tracker = self
        self.reference: _PoolReference | None = reference

    def origin(
        self, host: bytes, port: int | None, scheme: bytes, provider: str | None = None
    ) -> OriginLedger:
        """Return the ledger of a request for an origin, in a call of ``provider`` if not None."""
        key = (host, port, scheme, provider)
        found = self._origins.get(key)
        if found is None:
            asked = provider
            if provider is None:
                provider = self.builder or self.registry.provider_for_host(_text(host), port)
            self.ledger.asked_for(provider, self.clock())
            found = self.registry.ledgers.origin(self.ledger, host, port, scheme, provider)
            if found.address.encode() != host.lower():
                # A malformed host may be a key or a URL: do not store it.
                key = (*_UNREPORTED, asked)
            if len(self._origins) < self.registry.ledgers.max_origins:
                # atomic
                if key in self._origins:
                    return found
                self._origins[key] = found
                # end of atomic. Several keys can have the same reported origin: origins beyond the
                # bound, and one origin for several providers. The pool counts for the first one.
                known = snapshot_of(self._origins.items)
                if key == next(k for k, other in known if other.reported == found.reported):
                    found.pool_entered(self.built_at, self.used_at)
        return found

    def origin_of_connection(self, host: bytes, port: int | None, scheme: bytes) -> OriginLedger:
        """Return the ledger of a connection without a known request."""
        reported = self.registry.ledgers.reported_origin(host, port, scheme)
        known = snapshot_of(self._origins.values)
        if reported[0] == OTHER:  # `_origins` may not have it, beyond its bound
            known += snapshot_of(self.ledger.origins.values)
        for found in known:
            if found.reported == reported:
                return found
        name = _text(host)
        first, provider = self.first
        if name != first:
            provider = self.builder or self.registry.provider_for_host(name, port)
        return self.registry.ledgers.origin(self.ledger, host, port, scheme, provider)

    def __reduce__(self) -> tuple[Any, ...]:
        return nothing, ()

    # Steps of a request

    # begin, assigned, answered and released run for every request. They call as little as possible,
    # so steps that they share are repeated inline.

    def begin(
        self, host: bytes, port: int | None, scheme: bytes, call: Call | None = None
    ) -> Lease:
        """Begin the lease of a request for an origin, which enters the pool.

        ``call`` is the running code's any-llm call. One that has ended is ignored: its tasks can
        outlive it.
        """
        if call is not None and call.ended:
            call = None
        # Before the lease's clock starts.
        if self.registry.attention:
            self.registry.attend()
        provider = None if call is None else call.provider
        origin = self._origins.get((host, port, scheme, provider))
        if origin is None:
            origin = self.origin(host, port, scheme, provider)
        lease = self.lease_type(self, origin, call, self.clock())
        try:
            if call is None:
                lease.own_call_site = self.registry.find_call_site(self.near)
            context = self.entry_context()
            if context:
                self.lease_queued(lease, context)
        except Exception as error:
            # From an unknown version of Python or OpenTelemetry. The request counts anyway.
            self.failures.caught("entry", error)
        # atomic. `further_request` is called before anything has changed.
        if call is not None:
            counted = call.counted
            if counted is not None:
                if counted.stage != PREPARING or counted.paused:
                    counted.further_request(lease)
                else:
                    counted.spent[PREPARING] += lease.entered_at - counted.since
                    counted.since = lease.entered_at
                    counted.stage = REQUESTING
                    counted.in_flight = 1
            requests = call.requests
            call.requests = requests + 1
            if requests:
                origin.resent += 1
        origin.entered += 1
        self.entered += 1
        self.leases[lease] = None
        # end of atomic
        if not self.open:
            self._closed_meanwhile(lease)
        return lease

    def _closed_meanwhile(self, lease: Lease) -> None:
        """Handle a request whose pool or installation another thread ended while it entered."""
        registry = self.registry
        if not registry.open:
            self.discard_lease(lease)
        elif registry.trackers.get(self.pool_id) is not self:  # else its tracking begins
            registry.ending[self] = None

    def waiting(self, lease: Lease, timeout: float | None = None) -> None:
        """Queue a request that found no connection. ``timeout`` is its pool timeout in seconds."""
        now = self.clock()
        wait = self.join_queue(lease, now)
        wait.timeout = seconds_or_none(timeout)
        if wait.snapshot is None:
            wait.snapshot = self._wait_snapshot(now)

    def assigned(self, lease: Lease, connection: TrackedConnection) -> None:
        """Assign a connection, which may still refuse. Runs in any task, under the pool's lock."""
        wait = lease.wait
        # An immediate acquire took exactly no time.
        now = lease.entered_at if wait is None else self.clock()
        if lease.ended_at:
            return
        if wait is not None:
            lease.origin.spent[QUEUED] += now - lease.phase_since
            lease.phase_since = now
            if wait.in_queue:
                wait.in_queue = False
                self.ledger.queued.value -= 1
        lease.acquired_at = now
        lease.connection = connection
        connection.lease = lease
        connection.leases += 1
        if connection.origin is not lease.origin:
            connection.serve(lease.origin)
        active = self.ledger.active
        if now >= active.end:
            active.turn(now)
        # atomic
        if not connection.active:
            connection.active = True
            active.value = value = active.value + 1
            if value > active.high:
                active.high = value
        # end of atomic
        if not connection.established_at:
            self._assigned_fresh(lease, connection)
        else:
            lease.phase = AWAITING_RESPONSE if connection.streams is None else STREAM_QUEUED
            if connection.served:
                lease.reused = True

    def given_back(self, connection: TrackedConnection) -> None:
        """End the lease of an HTTP/1.1 connection that is idle, since its response is closed.

        The hook that reports the close can come later, since other threads can run in between.
        """
        lease = connection.lease
        if lease is not None and lease.answered_at and lease.connection is connection:
            lease.tracker.released(lease)

    def answered(self, lease: Lease, status: int) -> None:
        """Record the head of a response. Its body is unread until a read begins."""
        now = self.clock()
        if lease.ended_at:  # its installation was undone meanwhile
            return
        lease.answered_at = now
        lease.status = status
        lease.origin.spent[lease.phase] += now - lease.phase_since
        lease.phase_since = now
        lease.phase = UNREAD
        handled = sys.exception()
        if handled is not None:
            lease.handled = id(handled)
        connection = lease.connection
        if connection is not None:
            connection.served += 1
            # httpcore 1.0 assigns one idle connection to several requests; this one has it.
            connection.lease = lease
        if not lease.accounted:
            items = self.items
            if len(items) < self.outbox.half:
                items.append(lease)
            else:
                self.registry.fill_outbox(lease)
            if lease.wait is not None or lease.reused is None or lease.in_client_span:
                self._report_answered(lease)

    def released(self, lease: Lease) -> None:
        """End a lease whose response is closed. The finalizer rule applies."""
        now = self.clock()
        items = self.items
        tight = len(items) >= self.outbox.half
        if lease.ended_at:
            return
        report = not lease.accounted  # read first: from its end on, a snapshot can account it
        wait = lease.wait
        # atomic. A signal handler that raises before may lead to a second call.
        lease.ended_at = now
        lease.origin.spent[lease.phase] += now - lease.phase_since
        call = lease.call
        leases = self.leases
        if lease in leases:
            del leases[lease]
        if wait is not None and wait.in_queue:
            wait.in_queue = False
            self.ledger.queued.value -= 1
        connection = lease.connection
        if connection is not None and connection.leases:
            connection.leases = count = connection.leases - 1
            if connection.active and not count:
                connection.active = False
                self.ledger.active.value -= 1
            elif connection.closed:
                connection.lease = None
        # end of atomic. Reported before the call counts it: a signal handler may raise there.
        if report:
            if tight:
                self.registry.fill_outbox(lease)
            else:
                items.append(lease)
        if call is not None and call.counted is not None:
            counted = call.counted
            if counted.in_flight != 1 or counted.resting is not None:
                counted.request_left(lease, now)
            else:
                counted.in_flight = 0
                counted.last = lease
                counted.spent[REQUESTING] += now - counted.since
                counted.since = now
                retried = lease.status in RETRIED or lease.error not in NOT_RETRIED
                counted.stage = BACKOFF if retried else FINISHING

    def join_queue(self, lease: Lease, now: int) -> Wait:
        """Count a lease as queued from now on."""
        queued = self.ledger.queued
        if now >= queued.end:
            queued.turn(now)
        made = lease.wait or Wait(now)
        # atomic. The thread that assigns a connection may do the same now.
        wait = lease.wait = lease.wait or made
        wait.since = now
        if wait.in_queue or lease.ended_at or lease.phase != QUEUED:
            return wait
        wait.in_queue = True
        queued.value = value = queued.value + 1
        if value > queued.high:
            queued.high = value
        return wait

    def queue_again(self, lease: Lease, connection: TrackedConnection | None, now: int) -> None:
        """Put a lease back into the queue if ``connection`` is still what it is assigned to."""
        # atomic
        if lease.connection is not connection or lease.ended_at:
            return
        phase = lease.phase
        if phase == AWAITING_RESPONSE:
            # The request was never sent, so all of its time is queued time.
            lease.phase = QUEUED
        elif phase in (CONNECTING, STREAM_QUEUED):
            lease.origin.spent[phase] += now - lease.phase_since
            lease.phase_since = now
            lease.phase = QUEUED
        # end of atomic
        self.join_queue(lease, now)

    def _assigned_fresh(self, lease: Lease, connection: TrackedConnection) -> None:
        if lease.reused is not None:
            lease.reused = None
            lease.origin.on_new_connection += 1
        lease.phase = CONNECTING
        if connection.first_lease is None:
            connection.first_lease = lease

    def _report_answered(self, lease: Lease) -> None:
        connection = lease.connection
        if connection is not None and not connection.established_at:
            # The network stream accepts no attributes, so no hook has reported the set-up yet.
            set_up = connection.tls_ended_at or connection.connect_ended_at or lease.answered_at
            self.established(connection, connection.protocol, set_up)
        wait = lease.wait
        if wait is not None:
            if wait.in_queue:
                # Another thread assigned the connection while this one put it into the queue.
                wait.in_queue = False
                self.ledger.queued.value -= 1
            if lease.acquired_at:
                self.observer.lease_waited(lease, False)
        if lease.reused is None or lease.in_client_span:
            self.observer.lease_answered(lease)

    def requeued(self, lease: Lease) -> None:
        """Put a lease back into the queue, since its assigned connection is not available."""
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
        # end of atomic
        self.queue_again(lease, None, now)
        wait = lease.wait
        if wait is not None and wait.snapshot is None:
            wait.snapshot = self._wait_snapshot(now)
        self.ledger.requeues += 1

    def established(self, connection: TrackedConnection, protocol: str, at: int = 0) -> None:
        """Record that a new connection is ready, since ``at`` or, if that is 0, since now."""
        if connection.established_at:
            return
        now = self.clock()
        connection.established_at = at = at or now
        connection.enter_step(None, at)
        connection.switch(protocol)
        if protocol == "2":
            connection.streams = {}
        self.ledger.opened += 1
        if connection.streams is None:
            self._established_for_one(connection, now)
        else:
            for lease in snapshot_of(self.leases.keys):
                if lease.connection is connection and lease.phase == CONNECTING:
                    lease.enter(STREAM_QUEUED, now)
        if connection.first_lease is not None and self.registry.open:
            self.observer.connection_created(connection.first_lease, connection)

    def _established_for_one(self, connection: TrackedConnection, now: int) -> None:
        """Give an HTTP/1.1 connection to the lease that established it.

        If HTTP/2 was offered, other leases may be assigned to it as well. They are requeued.
        """
        first = connection.first_lease or connection.lease
        connection.lease = first
        if first is not None and first.phase == CONNECTING:
            first.enter(AWAITING_RESPONSE, now)
        if connection.leases > 1:
            connection.promised = True
            for other in snapshot_of(self.leases.keys):
                if other.connection is connection and other.phase == CONNECTING:
                    self.queue_again(other, connection, now)

    def connection_closed(self, connection: TrackedConnection, reason: str) -> None:
        """Count a closed connection. The finalizer rule applies."""
        self.ledger.connection_closed(reason)
        self.observer.connection_closed(connection, reason)

    def failed(self, lease: Lease, error: str, *, in_finalizer: bool = False) -> None:
        """End a lease with an error. The finalizer rule applies if ``in_finalizer``."""
        if lease.ended_at:
            return
        lease.error = lease.reported(error)
        connection = lease.connection
        if error == "pool_timeout" or lease.phase == QUEUED:
            # The request gave up while the pool assigned a connection, so it never acquired one.
            lease.acquired_at = 0
        self._turn_peaks()
        report = not lease.accounted
        self.released(lease)
        if connection is not None and not connection.established_at:
            if connection.first_lease is lease:
                connection.enter_step(None, lease.ended_at)
                if connection.connect_started_at and report:
                    self.observer.connection_failed(lease, connection, in_finalizer)
                self._next_to_connect(connection)
            elif not connection.leases:
                self.connections.pop(connection, None)
        if report and (lease.wait is not None or not lease.acquired_at):
            self.observer.lease_waited(lease, in_finalizer)

    def ensure_ended(self, lease: Lease) -> None:
        """Fallback: end the lease if the normal end was interrupted."""
        if not lease.ended_at:
            lease.error = lease.error or "cancelled"
            if lease.phase == QUEUED:
                lease.acquired_at = 0
            self.released(lease)

    def used_in_second_loop(self, call_sites: CallSites) -> None:
        """Count a request that failed because another event loop owns its connection.

        ``call_sites`` are where the connection was established and where the request was sent.
        """
        ledger = self.ledger
        ledger.anomalies["wrong_event_loop"] += 1
        ledger.two_loops = call_sites
        self.two_loops = True

    def discard_lease(self, lease: Lease) -> None:
        """End the lease without recording it in any metric.

        For a request that the pool did not admit, or that a failure of the instrumentation lost
        track of.
        """
        if not lease.ended_at:
            lease.accounted = True
            lease.recorded = 2
            if lease.call is not None and lease.call.single and lease.call.counted is not None:
                lease.call.counted.end(None)
            self.released(lease)

    def _next_to_connect(self, connection: TrackedConnection) -> None:
        # On HTTP/2 other leases may have waited for the set-up that failed. The next one tries.
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
        """Turn peaks whose slice is over, before values fall: that slice had the higher value."""
        now = self.clock()
        for peak in (self.ledger.queued, self.ledger.active):
            if now >= peak.end:
                peak.turn(now)

    def _wait_snapshot(self, now: int) -> WaitSnapshot | None:
        try:
            active = [connection for connection in self.connections if connection.active]
            # In the order of their entry: to sort a thousand holders would take 0.3 ms.
            holding = (
                lease
                for lease in self.leases
                if lease.connection is not None and lease.phase not in (QUEUED, STREAM_QUEUED)
            )
            # No more than connections: if few hold one, the rest of a long queue is not searched.
            holders = [*islice(holding, min(_HOLDERS, sum(one.leases for one in active)))]
        except RuntimeError:
            # Another thread changed the dict meanwhile. No snapshot is better than a lock.
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

    def live_pool(self) -> Any:
        """Return the pool; None if it was garbage-collected."""
        reference = self.reference
        return None if reference is None else reference()

    def view(self) -> ReadPool | None:
        """Read the pool as it is now; None if it is gone or cannot be read at this moment."""
        pool = self.live_pool()
        if pool is None:
            return None
        try:
            return self.reader.view(pool, self)
        except Exception as error:
            self.failures.caught("view", error)
            return None

    # End of the pool

    def discard(self, reason: str) -> None:
        """End the pool: ``closed`` or ``garbage_collected``. The finalizer rule applies."""
        registry = self.registry
        if registry.trackers.get(self.pool_id) is self:
            registry.trackers.pop(self.pool_id, None)
        if self.open:
            self.open = False
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
                found.requests_gone += self.entered
            if self.leases and reason == "closed":
                ledger.closed_at = registry.find_call_site()
        if reason == "garbage_collected":
            self.reference = None
            self._collected()

    def _collected(self) -> None:
        """End what the pool had, since it was garbage-collected."""
        # No response is alive that could still give its connection back.
        for lease in snapshot_of(self.leases.keys):
            if lease.answered_at:
                lease.incomplete = True
                self.released(lease)
            else:
                self.failed(lease, "cancelled", in_finalizer=True)
        for connection in snapshot_of(self.connections.keys):
            connection.close(connection.closing or "garbage_collected")


def _text(host: bytes) -> str:
    return host.decode("ascii", "replace")
