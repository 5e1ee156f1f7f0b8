"""A request, its connection and its pool, and two rules for all code that a request passes.

These refer to each other, so they are one module. The steps that change them are in
``tracker.py``, and for gRPC in ``adapters/grpc/channel.py``.

The finalizer rule: a finalizer can run in any thread, also while that thread holds the pool's lock
or a lock of the OpenTelemetry SDK. Code that a finalizer can reach therefore only changes plain
numbers and references and appends to deques. It takes no lock, logs nothing and does not call
OpenTelemetry.

The atomic rule: numbers that must change together change in a block that nothing interrupts.
CPython with its interpreter lock runs other threads and signal handlers only where a Python
function or property begins (not where it returns), after a call of a C function, and where a loop
jumps back. Signal handlers also run while integers of more than 30 bits, such as nanoseconds, are
multiplied, divided or made text; added and compared they are safe. A finalizer runs where the last
reference to its object is dropped. The garbage collector, which runs finalizers as well, runs at
the same points as signal handlers; in Python 3.11 it runs wherever a list, tuple, dict or instance
is created. An atomic block contains none of these. Checked up to Python 3.15
(docs/maintainers/compatibility.md).

It begins at ``# atomic`` and ends at ``# end of atomic`` or with its function. Its first and its
last statement may call something. ``tests/unit/architecture/test_atomic.py`` checks all blocks.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, ClassVar, Protocol

from ..concurrency import nothing, snapshot_of
from ..failures import Failures
from ..vocabulary import ALL_STEPS, AWAITING_RESPONSE, OTHER_STEP, QUEUED, UNREAD, served
from .call import Call
from .call_site import CallSite, CallSites
from .durations import SECOND, class_of
from .ledger import (
    KEPT_PER_SECOND,
    SAMPLE_EVERY,
    SAMPLED_FIRST,
    Answered,
    EndedTimes,
    Failed,
    OriginLedger,
    PoolLedger,
)

_TIMEOUT_KINDS = {
    "pool_timeout": "pool",
    "connect_timeout": "connect",
    "read_timeout": "read",
    "write_timeout": "write",
}
_REUSE_FAILURES = frozenset({"read_error", "write_error", "protocol_error", "connection_error"})
_CLIENT_CLOSED = "client_closed"
_DURING_RESPONSE = frozenset({"response_incomplete", "pool_closed", "garbage_collected"})
"""Close reasons of a connection whose response, if it has one, is not read to its end."""
_MISSING_TIME = 1_000_000_000
"""Nanoseconds for which a pool must not list a connection until that counts as dropped."""
drains: ContextVar[bool] = ContextVar("gluellm_drains", default=False)
"""True while an SDK reads past the last item of a stream. If that read fails, the request did not
fail."""


LeaseState = tuple[int, int, int, int]
"""A lease's ``ended_at``, ``phase``, ``phase_since`` and ``acquired_at``."""
_state = attrgetter("ended_at", "phase", "phase_since", "acquired_at")


def read_states(leases: dict[Lease, None]) -> list[tuple[Lease, LeaseState]]:
    """Return the leases that have not ended, with their states at one moment.

    No Python code runs while the states are read, so the interpreter lock keeps other threads out.
    If they were read one by one, a connection that changes hands meanwhile would count for both of
    its leases.
    """
    if not leases:
        return []
    found = snapshot_of(leases.keys)
    read = [*zip(found, map(_state, found), strict=True)]
    return [(lease, state) for lease, state in read if not state[0]]


@dataclass(frozen=True, slots=True)
class WaitSnapshot:
    """The state of a pool when a request began to wait, to explain the wait."""

    active: int
    idle: int
    maximum: int | None
    queued: int
    holders: tuple[Any, ...]
    """`Lease.observed` of the leases with a connection that entered first, in this order. The
    leases themselves could refer to further snapshots, and a chain of all leases that ever queued
    would stay in memory."""
    oldest_age: int
    """Nanoseconds since the first of these acquired its connection; 0 if there is none."""
    oldest_phase: int
    """Phase of the first of these."""


class Wait:
    """A request's wait for a connection."""

    __slots__ = ("in_queue", "since", "snapshot", "timeout")

    def __init__(self, now: int) -> None:
        self.in_queue = False
        """Whether the request is in the queue now."""
        self.since = now
        """When the request took its place in the queue. A requeue restarts the pool timeout."""
        self.timeout: float | None = None
        """Pool timeout in seconds for that place; None if there is none."""
        self.snapshot: WaitSnapshot | None = None
        """The pool when the wait began; None if it could not be read."""


class Lease:
    """A request from entering the pool to giving its connection back.

    All times are nanoseconds of the registry's monotonic clock; 0 means "not yet". A lease is in
    exactly one phase until it ends, and its phases add up to its whole time.

    The finalizer rule and the atomic rule apply: a finalizer may end a lease. A lease refers to no
    library object, so it keeps no pool, connection or response alive.

    Attributes that every request sets are slots, since CPython 3.11 to 3.13 read and set these
    fastest. The others are attributes of the class, and cost nothing until a lease sets its own.
    """

    __slots__ = (
        "__dict__",
        "accounted",
        "acquired_at",
        "answered_at",
        "call",
        "connection",
        "ended_at",
        "entered_at",
        "error",
        "in_client_span",
        "observed",
        "origin",
        "phase",
        "phase_since",
        "reused",
        "status",
        "recorded",
        "tracker",
        "wait",
    )

    sent_at = 0
    """When the request was sent, if its connection was ready earlier: once it had an HTTP/2 stream,
    or once its gRPC channel was ready."""
    resend = False
    """Whether the request is the first of its call after a back-off."""
    streaming = False
    """Whether the response is an event stream; only set with ``metrics="full"``."""
    own_call_site: CallSite | None = None
    """Line of the application that sent the request; only set outside any-llm calls."""
    handled = 0
    """``id()`` of an exception that the caller was handling when the answer came, as in a fallback
    to another provider; 0 if there was none."""
    cut_by: str | None = None
    """Name of the exception with which the caller left the response before the end."""
    incomplete = False
    """Whether the response was closed before it was read to its end."""
    acquire_known = True
    """False if nothing reports how long the request waited: no acquire is then recorded."""

    def __init__(self, tracker: Tracker, origin: OriginLedger, call: Call | None, now: int) -> None:
        self.tracker = tracker
        self.origin = origin
        self.call = call
        self.entered_at = self.phase_since = now
        self.phase = QUEUED
        self.wait: Wait | None = None
        """The wait in the queue. None if there was none: the acquire then took exactly 0."""
        self.acquired_at = 0
        """When the last assignment was made; 0 after a requeue. While the lease is queued, the
        connection may still refuse it."""
        self.connection: TrackedConnection | None = None
        self.reused: bool | None = False
        """Whether the connection had served a request before; None if it was still being
        established when the request got it."""
        self.in_client_span = False
        """Whether the request began in a CLIENT span. Observers then hear of its answer."""
        self.answered_at = 0
        self.status: int | str = 0
        """HTTP status, or name of the gRPC status; 0 until there is one."""
        self.error: str | None = None
        """Error type of the contract; None unless the request failed."""
        self.ended_at = 0
        self.observed: Any = None
        """Data of the observers, such as a span context."""
        self.recorded = 0
        """Which durations are recorded: 0 none, 1 acquire, 2 acquire and lease."""
        self.accounted = False
        """True once its end is counted, or once `discard_lease` has excluded it from the counts."""

    def __reduce__(self) -> tuple[Any, ...]:
        return nothing, ()

    def note_error(self, error: str | None) -> None:
        """Store the error type of a failure; None if the response goes on after it."""
        if not self.ended_at and not drains.get():
            self.error = self.reported(error)

    def reported(self, error: str | None) -> str | None:
        """Return the error type to report for ``error``, by the state of the request and its pool.

        Closing a pool breaks its connections. In a body, not all libraries distinguish invalid data
        from a connection that was closed.
        """
        connection = self.connection
        closing = None if connection is None else connection.closing
        if error in _REUSE_FAILURES and closing == "pool_closed":
            return _CLIENT_CLOSED
        return "protocol_error" if error == "invalid_response" and self.answered_at else error

    def note_cut(self, error: BaseException | None) -> None:
        """Store the exception that is raised while the response is closed before its end.

        It is no error of the request, which succeeded, and often the application's own.
        """
        answered = self.answered_at and served(self.status, self.error) and not drains.get()
        if answered and isinstance(error, Exception) and id(error) != self.handled:
            name = self.tracker.registry.ledgers.calls.error_name(error)
            self.origin.cut.setdefault(name, 0)
            self.cut_by = name

    def enter(self, phase: int, now: int) -> None:
        """Leave the current phase and enter ``phase``. An ended lease stays unchanged."""
        if self.ended_at:
            return
        # One statement without a call: the atomic rule.
        self.origin.spent[self.phase] += now - self.phase_since
        # The time first: another thread, which reads the phase first, must not combine the new
        # phase with the time of the old one.
        self.phase_since = now
        self.phase = phase

    @property
    def acquire_time(self) -> int:
        """Nanoseconds from entering the pool to the last assignment or, without one, to the end.

        0 if it did not wait, and while it waits for its first assignment. An assignment can be
        tentative: if the connection refuses the request, the request waits again (decision 13).
        """
        if self.wait is None:
            return 0
        return (self.acquired_at or self.ended_at or self.entered_at) - self.entered_at

    @property
    def request_sent_at(self) -> int:
        """When it could be sent: with an established connection and, on HTTP/2, a stream."""
        acquired_at, connection = self.acquired_at, self.connection
        if connection is not None and connection.established_at > acquired_at:
            acquired_at = connection.established_at
        return self.sent_at or acquired_at

    @property
    def stream_wait(self) -> int | None:
        """Nanoseconds that it waited for its HTTP/2 stream; None if it has none."""
        connection = self.connection
        if connection is None or connection.streams is None or not self.sent_at:
            return None
        return self.sent_at - max(self.acquired_at, connection.established_at)

    @property
    def awaited(self) -> int:
        """Nanoseconds that it waited for the head of its response. Valid once that wait is over."""
        if self.answered_at:
            return max(self.answered_at - self.request_sent_at, 0)
        return self.ended_at - self.phase_since if self.phase == AWAITING_RESPONSE else 0

    @property
    def has_connection(self) -> bool:
        """Whether it has a connection, which may still refuse the request while it is queued."""
        return self.connection is not None

    @property
    def reports_reads(self) -> bool:
        """Whether reads of its body are reported. If not, the phase ``unread`` means nothing."""
        return self.connection is not None and self.connection.reports_reads

    @property
    def call_site(self) -> CallSite | None:
        """Line of the application that made the call or, outside any-llm, sent the request."""
        return self.own_call_site if self.call is None else self.call.call_site

    def account(self) -> None:
        """Count its end: outcome, timeout, failure on a reused connection, times.

        Only the first call counts. Finalizers and signal handlers may call it.
        """
        origin, pool, cut = self.origin, self.origin.pool, self.cut_by
        entered_at, answered_at, ended_at = self.entered_at, self.answered_at, self.ended_at
        outcome = (self.status, self.error, self.resend)
        if outcome not in origin.requests:
            outcome = origin.outcome(*outcome)
        took, length = origin.took, class_of(ended_at - entered_at)
        # The longer time from the entry first, since most answers are far from the longest.
        if answered_at - entered_at > origin.longest_answered:
            silence = answered_at - self.request_sent_at
            origin.longest_answered = max(origin.longest_answered, silence)
        kind, reused = None, False
        if self.error is not None:
            kind = _TIMEOUT_KINDS.get(self.error)
            # Before the head of a response arrived.
            reused = bool(self.reused) and not answered_at and self.error in _REUSE_FAILURES
        # atomic. Another thread may have counted it while the outcome was determined.
        if self.accounted:
            return
        self.accounted = True
        origin.requests[outcome] += 1
        took[length] += 1
        if kind is not None:
            origin.timeouts[kind] += 1
        if reused:
            origin.reuse_failures += 1
            silence = ended_at - self.phase_since
            if silence > origin.longest_silence:
                origin.longest_silence = silence
        # end of atomic. A signal handler that raises in one of these calls loses times, no count.
        pool.ring.append((self.tracker.tracked_at, entered_at, self.acquired_at, ended_at))
        times = origin.other_times.get(outcome)
        if times is not None:
            _add(times, self)
            if not served(self.status, self.error):
                pool.failed.append(_failed(self))
        elif answered_at and cut is None:
            pool.answers += 1
            if pool.kept < KEPT_PER_SECOND or ended_at - pool.kept_since >= SECOND:
                _keep(pool, self)
        if cut is not None and self.error is None:
            origin.cut[cut] += 1
            pool.failed.append(_failed(self))
        call = self.call
        if call is not None and call.counted is not None:
            call.counted.account(self)


def _keep(pool: PoolLedger, lease: Lease) -> None:
    """Keep the times of an answer, and the number of answers since the last one kept."""
    call, ended_at = lease.call, lease.ended_at
    model, items = (None, 0) if call is None else (call.model, call.steps)
    counted = None if call is None else call.counted
    gap, rest = counted.gap_until(ended_at) if counted else 0, ended_at - lease.answered_at
    site, number = lease.call_site, pool.answers
    answer = Answered(ended_at, model, lease.awaited, rest, items, number, site, gap)
    if ended_at - pool.kept_since >= SECOND:
        pool.kept_since = ended_at
        pool.kept = 0
    pool.kept += 1
    pool.answers = 0
    pool.answered.append(answer)
    if not pool.samples:
        return
    every, apart = SAMPLE_EVERY, ended_at - pool.sampled_at
    if len(pool.sampled) < SAMPLED_FIRST:
        # A stream is in the outbox since its head, before shorter answers that ended sooner.
        every, apart = SECOND // 4, abs(apart)
    if apart >= every:
        pool.sampled_at, pool.sampled_from = ended_at, 1
        pool.sampled.append(answer)
        return
    # Any answer of that time may stay. The first ones of a burst are its short ones.
    pool.sampled_from += 1
    if (ended_at >> 10) % pool.sampled_from == 0:
        pool.sampled[-1] = answer


def _failed(lease: Lease) -> Failed:
    """Return a request as an entry of the ledger's ``failed``."""
    call = lease.call
    counted = None if call is None else call.counted
    connection = lease.connection
    began_at = lease.entered_at if counted is None else counted.began_at
    ended_at = lease.ended_at
    return Failed(
        ended_at,
        lease.error or lease.cut_by or lease.status,
        ended_at - began_at,
        lease.phase,
        ended_at - lease.phase_since,
        None if call is None else call.model,
        lease.call_site,
        lease.awaited,
        0 if connection is None else connection.verify_code,
    )


def _add(times: EndedTimes, lease: Lease) -> None:
    """Add the times of an ended request to the times of its outcome."""
    ended_at = lease.ended_at
    acquired_at = lease.acquired_at
    answered_at = lease.answered_at
    reading = 0
    if answered_at:
        reading = (lease.phase_since if lease.phase == UNREAD else ended_at) - answered_at
    times.total += ended_at - lease.entered_at
    if acquired_at:
        times.sent += 1
        times.held += ended_at - acquired_at
        times.awaiting_response += lease.awaited
        times.reading += reading


class Tracker(Protocol):
    """The part of `PoolTracker` that leases, connections and adapters use, documented there."""

    registry: Any
    """The `PoolRegistry` of the installation that tracks the pool."""
    failures: Failures
    ledger: PoolLedger
    clock: Callable[[], int]
    leases: dict[Lease, None]
    connections: dict[TrackedConnection, None]
    live_pool: Callable[[], Any]
    loop: Any
    loops: dict[Any, CallSite | None]
    open: bool
    tracked_at: int
    held_unit: ClassVar[str]
    release_verb: ClassVar[str]

    # Steps of a request
    def waiting(self, lease: Lease, timeout: float | None = None) -> None: ...
    def assigned(self, lease: Lease, connection: TrackedConnection) -> None: ...
    def requeued(self, lease: Lease) -> None: ...
    def answered(self, lease: Lease, status: int) -> None: ...
    def released(self, lease: Lease) -> None: ...
    def failed(self, lease: Lease, error: str, *, in_finalizer: bool = False) -> None: ...
    def ensure_ended(self, lease: Lease) -> None: ...
    def used_in_second_loop(self, call_sites: CallSites) -> None: ...
    def discard_lease(self, lease: Lease) -> None: ...

    # Steps of a connection and of the pool
    def origin_of_connection(
        self, host: bytes, port: int | None, scheme: bytes
    ) -> OriginLedger: ...
    def established(self, connection: TrackedConnection, protocol: str, at: int = 0) -> None: ...
    def given_back(self, connection: TrackedConnection) -> None: ...
    def connection_closed(self, connection: TrackedConnection, reason: str) -> None: ...
    def view(self) -> ReadPool | None: ...
    def discard(self, reason: str) -> None: ...


class TrackedConnection:
    """A connection of a pool. Refers to no library object."""

    # CPython stores up to 30 attributes of an object fastest. These are defaults of the class.
    adopted = False
    """Whether the connection is older than the tracking of its pool. No set-up is then reported."""
    tls_version: str | None = None
    resolved: bool | None = None
    """Whether the peer's name is resolved; None if no resolution was seen."""
    network_type: str | None = None
    """``ipv4`` or ``ipv6``; None for other sockets, and until it is known."""
    peer: tuple[str, int] | None = None
    """Address and port of the peer, which a span reports; None if the host is not valid."""
    verify_code = 0
    """OpenSSL's code if the peer's certificate did not verify; else 0."""
    heard_at = 0
    """When its last byte arrived, by the watch's latest check of the connections that are held
    since before their pool was tracked; 0 if unknown."""
    missing_since = 0
    """When `close_missing` first missed the connection in the pool; 0 if its last call found it."""

    def __init__(self, tracker: Tracker, origin: OriginLedger, now: int) -> None:
        self.tracker = tracker
        self.origin = origin
        self.created_at = now
        self.established_at = 0
        """When the connection was ready for its first request; 0 until then."""
        self.connect_started_at = self.connect_ended_at = 0
        self.tls_started_at = self.tls_ended_at = 0
        self.step = OTHER_STEP
        """Current step of the set-up; meaningless while `step_since` is 0."""
        self.step_since = 0
        """When that step began; 0 before and after the set-up."""
        self.steps = [0] * len(ALL_STEPS)
        """Nanoseconds in each step that the set-up has left."""
        self.protocol = "1.1"
        """HTTP version, ``1.1`` or ``2``, or ``websocket``."""
        self.leases = 0
        """Number of leases to which the connection is assigned."""
        self.active = False
        """Whether the connection counts as active or connecting. It does from its assignment until
        it is given back or closed, or its set-up fails."""
        self.first_lease: Lease | None = None
        """The lease whose request establishes the connection."""
        self.lease: Lease | None = None
        """The lease that has the connection; on HTTP/2, the one assigned last."""
        self.streams: dict[int, Lease] | None = None
        """HTTP/2: leases by stream. None on HTTP/1.1."""
        self.orphans: dict[int, None] = {}
        """HTTP/2: streams whose request has ended and that the peer may still have open."""
        self.reports_reads = False
        """Whether reads of bodies are reported. If not, the phase ``unread`` means nothing."""
        self.reports_accept = False
        """Whether a hook reports which of several assigned requests the connection accepts. Only
        httpcore's HTTP/1.1 has such a hook."""
        self.promised = False
        """Whether the connection was ever assigned to a request that it may still refuse."""
        self.reports_release = True
        """False if nothing reports when responses are closed: their durations are then unknown."""
        self.served = 0
        """Number of requests that were answered on the connection."""
        self.closing: str | None = None
        """Reason why the pool is about to close it; None if unknown."""
        self.observed: Any = None
        """Data of the observers, such as the context of its set-up span."""
        self.closed = False

    def __reduce__(self) -> tuple[Any, ...]:
        return nothing, ()

    def set_up(self, step: int, now: int) -> None:
        """Begin the set-up in a step. A further attempt to connect belongs to the same set-up."""
        if not self.connect_started_at:
            self.steps = [0] * len(ALL_STEPS)
            self.resolved = None
            self.connect_started_at = self.step_since = now
        self.enter_step(step, now)

    def enter_step(self, step: int | None, now: int, after: int | None = None) -> bool:
        """Leave the current step of the set-up and enter another one; None ends the set-up.

        Does nothing and returns False unless a set-up is running, in the step ``after`` if that is
        given. The thread that resolves the name may call this as well.
        """
        # atomic
        since, left = self.step_since, self.step
        if not since or (after is not None and left != after):
            return False
        self.origin.set_up_time[left] += now - since
        self.steps[left] += now - since
        if step is None:
            self.step_since = 0
        else:
            self.step_since = now
            self.step = step
        return True

    def close(self, reason: str) -> None:
        """Count it as closed, once. The finalizer rule applies."""
        if self.closed:
            return
        self.closed = True
        if self.step_since:
            self.enter_step(None, self.tracker.clock())
        self.deactivate()
        tracker = self.tracker
        tracker.connections.pop(self, None)
        # Leave no reference cycle to the garbage collector. A request in flight on this connection
        # notices the close at its next read; when the request ends, it drops the reference.
        self.first_lease = None
        lease = self.lease
        if lease is None or lease.ended_at or lease.connection is not self:
            self.lease = None
        elif reason in _DURING_RESPONSE:
            lease.incomplete = True
        if self.established_at:
            tracker.connection_closed(self, reason)

    def adopt(self, protocol: str, now: int) -> None:
        """Record that it was established before its pool was tracked."""
        self.adopted = True
        self.established_at = now
        self.served = 1
        self.switch(protocol)

    def inherit(self, before: TrackedConnection | None) -> None:
        """Take the age of the record that a forked child has of it from its parent."""
        if before is not None and before.tracker.registry is self.tracker.registry:
            self.created_at = before.created_at

    def serve(self, origin: OriginLedger) -> None:
        """Count it in the ledger of its latest request, which may be another provider's."""
        self.origin = origin
        if self.established_at:
            origin.protocols.add(self.protocol)

    def switch(self, protocol: str) -> None:
        """Record the protocol that both sides speak from now on."""
        self.protocol = protocol
        self.origin.protocols.add(protocol)

    def activate(self, now: int) -> None:
        """Count it as active or connecting."""
        active = self.tracker.ledger.active
        if now >= active.end:
            active.turn(now)
        # atomic
        if not self.active:
            self.active = True
            active.value = value = active.value + 1
            if value > active.high:
                active.high = value

    def deactivate(self) -> None:
        """Stop counting it as active or connecting. The finalizer rule applies.

        The pool may replace it before the request that held it has ended.
        """
        if self.active:
            self.active = False
            self.tracker.ledger.active.value -= 1


@dataclass(frozen=True, slots=True)
class ConnectionView:
    """One connection in the pool's own list."""

    record: TrackedConnection
    state: str
    """``connecting``, ``active`` or ``idle``."""
    wanted: bool
    """Whether one of the pool's own requests refers to the connection."""
    streams_max: int | None
    """Limit on HTTP/2 streams; None on HTTP/1.1."""
    held_before: str | None = None
    """See `ConnectionSnapshot.held_before`."""


@dataclass(frozen=True, slots=True)
class Workers:
    """The executor whose threads send a pool's requests."""

    executor: object
    """Identity of the executor: equal for pools that share it, and refers to it weakly."""
    maximum: int
    waiting: int
    """Calls that wait for a thread, including those that send no request."""
    anyio: bool = False
    """Whether they are worker threads of AnyIO."""


@dataclass(frozen=True, slots=True)
class ReadPool:
    """The limits and connections of one pool at one moment."""

    max_connections: int | None = None
    """Upper bound of connections; None if unlimited."""
    max_idle_connections: int | None = None
    keepalive_expiry: float | None = None
    """Seconds for which idle connections are kept; None for ever."""
    tcp_keepalive: bool | None = None
    """Whether its sockets have SO_KEEPALIVE; None if unknown."""
    connections: Sequence[ConnectionView] = ()
    max_connections_per_origin: int | None = None
    """Upper bound of connections per origin; None if there is none."""
    limits_from: str | None = None
    """What set the limits, as text; None if the code that built the client did."""
    workers: Workers | None = None
    """The executor that sends its requests; None if none does."""
    state: str | None = None
    """State of the pool as a whole, if its library has such states."""
    state_age: float | None = None
    """Seconds in that state, as far as it was observed."""
    queued_before: int = 0
    """Requests that queue since before the pool was tracked."""

    def __str__(self) -> str:
        count = dict.fromkeys(("active", "idle", "connecting"), 0)
        for connection in self.connections:
            count[connection.state] += 1
        maximum = "unlimited" if self.max_connections is None else self.max_connections
        return ", ".join(
            (f"max {maximum}", *(f"{name} {number}" for name, number in count.items()))
        )


def close_missing(tracker: Tracker, listed: Container[TrackedConnection]) -> None:
    """Close the records of connections that a pool dropped without closing them.

    ``listed`` contains those that the pool lists. A connection that is being made, taken, returned
    or closed is not listed either, and passes of several threads can fall into that moment. So a
    record is closed only if none found it for a second.
    """
    now = tracker.clock()
    for record in snapshot_of(tracker.connections.keys):
        if record in listed or record.leases:
            record.missing_since = 0
        elif not record.missing_since:
            record.missing_since = now
        elif now - record.missing_since >= _MISSING_TIME:
            record.close("garbage_collected")
