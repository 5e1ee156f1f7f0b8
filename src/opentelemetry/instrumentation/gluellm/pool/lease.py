"""One request's way through a pool."""

from __future__ import annotations

from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from ..concurrency import nothing, snapshot_of

if TYPE_CHECKING:
    from .call_site import CallSite
    from .channel import TrackedChannel
    from .connection import TrackedConnection
    from .ledger import OriginLedger
    from .tracker import PoolTracker

QUEUED, CONNECTING, STREAM_QUEUED, AWAITING_RESPONSE, READING, UNREAD = range(6)

PHASES = ("queued", "connecting", "stream_queued", "awaiting_response", "reading", "unread")
"""The phases' names in the telemetry contract, by number."""

_TIMEOUT_KINDS = {
    "pool_timeout": "pool",
    "connect_timeout": "connect",
    "read_timeout": "read",
    "write_timeout": "write",
}
_REUSE_FAILURES = frozenset({"read_error", "write_error", "protocol_error", "connection_error"})


LeaseState = tuple[bool, int, int, int]
"""A lease's ``ended``, ``phase``, ``phase_since`` and ``acquired_at``."""
_state = attrgetter("ended", "phase", "phase_since", "acquired_at")


def read_states(leases: dict[Lease, None]) -> list[tuple[Lease, LeaseState]]:
    """The leases that have not ended, with their states at one moment.

    No Python code runs while the states are read, so the interpreter lock keeps other threads out.
    Read one by one, a connection that changes hands meanwhile would count for both its leases.
    """
    if not leases:
        return []
    found = snapshot_of(leases.keys)
    read = [*zip(found, map(_state, found), strict=True)]
    return [(lease, state) for lease, state in read if not state[0]]


class Call:
    """One any-llm call: what its requests and the pools built inside it are attributed to."""

    __slots__ = (
        "correlation_id",
        "ended",
        "model",
        "operation",
        "outer",
        "call_site",
        "provider",
        "requests",
        "steps",
    )

    def __init__(
        self,
        provider: str,
        model: str | None = None,
        operation: str | None = None,
        call_site: CallSite | None = None,
        correlation_id: str | None = None,
    ) -> None:
        self.provider = provider
        self.model = model
        self.operation = operation
        self.call_site = call_site
        """Where the application made it."""
        self.correlation_id = correlation_id
        """GlueLLM's, where there is one."""
        self.outer: Call | None = None
        """The call of another provider that it was made in."""
        self.ended = False
        """From then on it has ``ended_at``."""
        self.requests = 0
        self.steps = 0
        """How often the application has asked its stream for more."""


@dataclass(frozen=True, slots=True)
class WaitSnapshot:
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

    All times are nanoseconds of the registry's monotonic clock; 0 is "not yet". A lease is in
    exactly one phase until it has ended, and its phases add up to its whole time.

    Atomic blocks: where several plain numbers must change together, the block contains no call and
    no loop, because CPython switches threads and runs signal handlers and finalizers only at calls
    and loop iterations. They are marked ``# atomic``.

    It holds plain numbers and references to such: a finalizer may end a lease at any place of any
    thread. It refers to no library object, so it keeps no pool, connection or response alive.

    What every request touches is in slots. The rest stays at the defaults of the class for most
    leases, and costs nothing until it is set: CPython 3.11 to 3.13 specialize the access to slots,
    but not to an attribute that hides one of its class.
    """

    __slots__ = (
        "__dict__",
        "accounted",
        "acquired_at",
        "answered_at",
        "call",
        "connection",
        "counted",
        "ended",
        "ended_at",
        "entered_at",
        "error",
        "fresh",
        "observed",
        "origin",
        "phase",
        "phase_since",
        "reused",
        "status",
        "ticket",
        "recorded",
        "tracker",
        "waited",
    )

    ended_at: int
    """Set right before ``ended``, and not there until then."""
    in_queue = False
    """Whether it stands in the queue now."""
    stream_queued_at = 0
    stream_sent_at = 0
    resend = False
    """Whether it is a further request of the same any-llm call."""
    streaming = False
    """Whether the response is an event stream; only noted where that is told."""
    in_finalizer = False
    """Whether it ends inside a finalizer, where an observer may only change plain numbers."""
    wait_snapshot: WaitSnapshot | None = None
    previous: Lease | None = None
    """The lease that the same request object has besides, where it is under way twice."""
    in_client_span = False
    """Whether the observer wants to hear of its answer."""
    spans_suppressed = False
    """Whether OpenTelemetry's key asked for no spans when it entered."""
    own_call_site: CallSite | None = None
    """Where the application sent it, outside any-llm's calls."""
    waits_since = 0
    """When it took its present place in the queue: a requeue begins its pool timeout anew."""
    pool_timeout: float | None = None
    """Seconds that it waits at most, as it asked for when it took its place."""
    suspected = False
    """Whether it has been unread for longer than the leak threshold, and still is."""
    leaked = False
    """Whether it ever was suspected."""
    steps = 0
    """Those of its call when the watch last looked."""
    stepped_at = 0
    """When the watch last found that there were more."""
    overdue = False
    """Whether it was counted as waiting past its own pool timeout."""
    passed_over = False
    """Whether it was counted as waiting beside a connection that could serve it."""
    channel: TrackedChannel | None = None
    """The gRPC channel that it is a call of; it has no connection then that could be told."""
    sent_at = 0
    """When such a call was seen to go out, having waited for its channel to be ready."""
    being_read = False
    """Whether such a call has a read in flight."""
    acquire_known = True
    """False where nothing tells how long it waited: then its acquire is left out."""
    end_known = True
    """False where nothing tells when its response is closed: then its duration is left out."""

    def __init__(
        self, tracker: PoolTracker, origin: OriginLedger, call: Call | None, now: int
    ) -> None:
        self.tracker = tracker
        self.origin = origin
        self.call = call
        self.entered_at = self.phase_since = now
        self.phase = QUEUED
        self.ticket = 0
        """Identity of the pool's own object for the request; 0 until that is known."""
        self.waited = False
        """Whether it ever stood in the queue: an immediate acquire took exactly 0."""
        self.acquired_at = 0
        """When the last assignment was made; 0 again after one that was refused. It may still be
        refused while the lease is queued."""
        self.connection: TrackedConnection | None = None
        self.reused = False
        self.fresh = False
        """Whether its connection was still being established when it was assigned."""
        self.answered_at = 0
        self.status: int | str = 0
        """HTTP's status, or the name of gRPC's; 0 until there is one."""
        self.error: str | None = None
        self.ended = False
        """From then on it has ``ended_at``."""
        self.counted = True
        """False once its installation is undone, or while it is withdrawn: then it goes to no
        outbox."""
        self.observed: Any = None
        """The observer's own note, a span context for instance."""
        self.recorded = 0
        """Which durations are recorded: 1 acquire, 2 acquire and lease."""
        self.accounted = False
        """Whether its end is counted in the ledger."""

    def __reduce__(self) -> tuple[Any, ...]:
        return nothing, ()

    def enter(self, phase: int, now: int) -> None:
        """Leave the phase it is in and enter ``phase``. An ended lease stays as it is."""
        if self.ended:
            return
        # One statement without a call in it, which the interpreter lock makes atomic.
        self.origin.spent[self.phase] += now - self.phase_since
        # In this order: who reads the phase and then the time, in another thread, can't take the
        # age of the phase before for that of this one.
        self.phase_since = now
        self.phase = phase

    @property
    def acquire_time(self) -> int:
        """Nanoseconds in the queue until the last assignment, or the end where there was none."""
        if not self.waited:
            return 0
        until = self.acquired_at or (self.ended_at if self.ended else self.entered_at)
        return until - self.entered_at

    @property
    def request_sent_at(self) -> int:
        """When it could be sent: it had its connection, established, and on HTTP/2 a stream."""
        connection = self.connection
        established_at = connection.established_at if connection is not None else 0
        return self.stream_sent_at or self.sent_at or max(self.acquired_at, established_at)

    @property
    def left_since(self) -> int:
        """Since when the application has taken nothing of the response.

        That may be later than the last read: an SDK reads ahead, and an application lives on that.
        """
        return max(self.phase_since, self.stepped_at)

    @property
    def call_site(self) -> CallSite | None:
        """Where the application made the call that it belongs to."""
        return self.own_call_site if self.call is None else self.call.call_site

    @property
    def timeout_kind(self) -> str | None:
        """Which timeout it ended in."""
        return None if self.error is None else _TIMEOUT_KINDS.get(self.error)

    @property
    def failed_on_reused_connection(self) -> bool:
        """Whether it failed on a reused connection before the first byte of a response."""
        return self.reused and not self.answered_at and self.error in _REUSE_FAILURES

    def account(self) -> None:
        """Count its end: its outcome, a timeout, a failure on a reused connection.

        Only the first call counts. Finalizers and signal handlers may call it.
        """
        origin = self.origin
        outcome = origin.outcome(self.status, self.error, self.resend)
        times = origin.times_of(outcome)
        kind, reused = None, False
        if self.error is not None:
            kind, reused = self.timeout_kind, self.failed_on_reused_connection
        # From here on nothing is called: neither can a signal handler that raises part these steps,
        # nor can another thread come in between. One may have counted it since it was asked.
        if self.accounted:
            return
        self.accounted = True
        origin.requests[outcome] += 1
        if kind is not None:
            origin.timeouts[kind] += 1
        if reused:
            origin.reuse_failures += 1
            silence = self.ended_at - self.phase_since
            if silence > origin.longest_silence:
                origin.longest_silence = silence
        # Last: an interrupt in here loses times, which no counter depends on.
        if times is not None:
            times.add(self)
