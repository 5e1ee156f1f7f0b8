"""A channel as a pool: its state, the time in each state, and the steps of its calls.

gRPC does not report the connections of a channel. Only its state can be read, at intervals. The
time between two readings counts for the earlier state.
"""

from __future__ import annotations

from typing import Any, ClassVar

from ...concurrency import snapshot_of
from ...pool.lease import Lease, ReadPool
from ...pool.ledger import CONNECT_ERRORS, Counters, PoolLedger
from ...pool.tracker import PoolTracker
from ...vocabulary import AWAITING_RESPONSE, CONNECTING, QUEUED, READING, UNREAD

IDLE, BEING_CONNECTED, READY, TRANSIENT_FAILURE, SHUTDOWN = range(5)
STATES = ("idle", "connecting", "ready", "transient_failure", "shutdown")
"""Names of the states in the telemetry contract, indexed by gRPC's numbers."""


class CallLease(Lease):
    """A call. It holds a connection that gRPC does not report."""

    tracker: ChannelTracker
    acquire_known = False  # unless it waits for the channel to be ready
    being_read = False
    """Whether a read is in flight."""

    @property
    def has_connection(self) -> bool:
        return True

    @property
    def reports_reads(self) -> bool:
        return self.tracker.reports_reads


class ChannelLedger(PoolLedger):
    """Times and counts of all channels of one name."""

    # A call has a status however it ends.
    born_at_zero = tuple(
        ("DEADLINE_EXCEEDED" if error == "connect_timeout" else "UNAVAILABLE", error, False)
        for error in CONNECT_ERRORS
    )
    reports_connections = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.channels: dict[ChannelTracker, None] = {}
        """Its channels, including closed ones until they are garbage-collected."""
        self.spent = [0] * len(STATES)
        """Nanoseconds in each state that its channels have left."""

    def counters(self, now: int) -> Counters:
        # Before the running times: a channel that ends meanwhile is then missing from the sum.
        # Otherwise it would count twice.
        spent = list(self.spent)
        for channel in snapshot_of(self.channels.keys):
            spent[channel.state] += max(now - channel.since, 0)
        found = super().counters(now)
        return found | {("state_time", STATES[state]): time for state, time in enumerate(spent)}

    def states(self) -> dict[str, int]:
        counts = dict.fromkeys(STATES, 0)
        for channel in snapshot_of(self.channels.keys):
            counts[STATES[channel.state]] += 1
        return counts

    def abandon(self, now: int) -> None:
        super().abandon(now)
        for channel in snapshot_of(self.channels.keys):
            self.ended(channel, now)

    def ended(self, channel: ChannelTracker, now: int) -> None:
        """Count the time of a channel's last state, once. The finalizer rule applies."""
        if self.channels.pop(channel, channel) is not channel:
            self.spent[channel.state] += now - channel.since


class ChannelView(ReadPool):
    """A channel at one moment."""

    __slots__ = ()

    def __str__(self) -> str:
        return f"channel {self.state} for {self.state_age:.1f} s"


class ChannelTracker(PoolTracker):
    """Tracker of one channel, which it holds weakly.

    Several threads may report readings of the state at once. Each change of state follows the
    atomic rule, and the times add up in any order.
    """

    lease_type: ClassVar = CallLease
    ledger_type: ClassVar = ChannelLedger
    held_unit = "stream"
    release_verb = "cancel"
    ledger: ChannelLedger

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.state = IDLE
        self.since = self.tracked_at
        self.reports_reads = False
        """Whether reads of streams are reported. If not, the phase ``unread`` means nothing."""
        self.waiting_calls: dict[Lease, None] = {}
        """Calls that began while the channel was not ready, and are not known to be sent."""

    def seen(self, state: int) -> None:
        """Record a reading of the channel's state. Not for finalizers."""
        if state == self.state:
            return
        spent = self.ledger.spent
        now = self.clock()
        # atomic. Another thread may have closed the channel since this one has read its state.
        if self.state == SHUTDOWN or self not in self.ledger.channels:
            return
        spent[self.state] += now - self.since
        self.since = now
        self.state = state
        # end of atomic
        if state == READY and self.waiting_calls:
            for lease in snapshot_of(self.waiting_calls.keys):
                self._sent(lease, now)

    # Steps of a call

    def call_entered(self, lease: CallLease, *, waits: bool, timeout: float | None) -> None:
        """Begin a call. One that ``waits`` for the channel to be ready is queued.

        ``timeout`` is how long it may wait, in seconds.
        """
        lease.acquire_known = waits
        if self.state == READY or not waits:
            lease.acquired_at = lease.entered_at
        if self.state == READY:
            lease.phase = AWAITING_RESPONSE
            return
        self.waiting_calls[lease] = None
        if waits:
            self.waiting(lease, timeout)
        else:
            lease.phase = CONNECTING

    def call_answered(self, lease: CallLease) -> None:
        """Record the head of a call's response."""
        if lease.ended_at or lease.answered_at:
            return
        now = self.clock()
        self._sent(lease, now)
        lease.answered_at = now
        lease.enter(READING if lease.being_read else UNREAD, now)
        if not lease.accounted:
            if len(self.items) < self.outbox.half:
                self.items.append(lease)
            else:
                self.registry.fill_outbox(lease)

    def reading(self, lease: CallLease) -> None:
        """Record that the application waits for the next message."""
        lease.being_read = True
        if lease.phase == UNREAD:
            lease.enter(READING, self.clock())

    def read(self, lease: CallLease) -> None:
        """Record that the application no longer waits for a message."""
        lease.being_read = False
        if lease.phase == READING:
            lease.enter(UNREAD, self.clock())

    def completed(self, lease: CallLease, status: str) -> None:
        """End a call with a status that the contract does not count as an error."""
        if lease.ended_at:
            return
        report = not lease.accounted
        now = self.clock()
        self._sent(lease, now)
        lease.status = status
        if not lease.answered_at:
            lease.answered_at = now
        self.released(lease)
        if report and lease.wait is not None:
            self.observer.lease_waited(lease, False)

    def succeeded(self, lease: CallLease, status: str) -> None:
        """End a call that was sent at once and succeeded, the usual case."""
        lease.status = status
        self.released(lease)
        if not lease.answered_at:
            lease.answered_at = lease.ended_at

    def call_failed(
        self, lease: CallLease, status: str, error: str, *, in_finalizer: bool = False
    ) -> None:
        """End a call with an error. The finalizer rule applies if ``in_finalizer``."""
        if not lease.ended_at:
            lease.status = status
            self.failed(lease, error, in_finalizer=in_finalizer)

    def released(self, lease: Lease) -> None:
        if self.waiting_calls:
            self.waiting_calls.pop(lease, None)
        super().released(lease)

    def _sent(self, lease: Lease, now: int) -> None:
        """Record that a call was sent: the channel is ready, or the call was answered."""
        self.waiting_calls.pop(lease, None)
        if lease.ended_at or lease.phase not in (QUEUED, CONNECTING):
            return
        wait = lease.wait
        if wait is not None and wait.in_queue:
            wait.in_queue = False
            self.ledger.queued.value -= 1
        if not lease.acquired_at:  # also if another thread is about to put it into the queue
            lease.acquired_at = now
        lease.sent_at = now
        lease.enter(AWAITING_RESPONSE, now)

    def _wait_snapshot(self, now: int) -> None:
        """Return nothing: there are no connections to report."""

    # End of the channel

    def discard(self, reason: str) -> None:
        was_open = self.open
        super().discard(reason)
        if was_open and self.state != SHUTDOWN:
            # The channel itself is still usable, and may then be tracked under another name.
            self.ledger.ended(self, self.clock())

    def _collected(self) -> None:
        # Calls continue without the channel object, and report their own end.
        self.ledger.ended(self, self.clock())
