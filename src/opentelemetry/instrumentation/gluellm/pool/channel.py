"""What is kept of one gRPC channel: its state, with the time in it, and the steps of its calls.

A channel is a pool whose connections nobody tells of. What can be asked is its state, and that only
now and then: the time between two looks counts as time in the state that the first of them saw.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..concurrency import nothing, snapshot_of
from .lease import AWAITING_RESPONSE, CONNECTING, QUEUED, READING, UNREAD, Lease

if TYPE_CHECKING:
    from .tracker import PoolTracker

IDLE, BEING_CONNECTED, READY, TRANSIENT_FAILURE, SHUTDOWN = range(5)
CHANNEL_STATES = ("idle", "connecting", "ready", "transient_failure", "shutdown")
"""The states' names in the telemetry contract, by gRPC's own numbers."""


class TrackedChannel:
    """The state of a channel. It refers to no library object.

    Looks may come from several threads at once. A step is a few statements without a call in them,
    which the interpreter lock keeps together, and the times add up in whatever order they come.
    """

    __slots__ = ("reports_reads", "since", "state", "tracker", "waiting")

    def __init__(self, tracker: PoolTracker, now: int) -> None:
        self.tracker = tracker
        self.state = IDLE
        self.since = now
        self.reports_reads = False
        """Whether reads of its streams are noted: without that, unread means nothing."""
        self.waiting: dict[Lease, None] = {}
        """Calls that were made while the channel was not ready, and that nobody has seen go out."""
        ledger = tracker.ledger
        if ledger.channels is not None:
            ledger.channels[self] = None

    def __reduce__(self) -> tuple[object, ...]:
        return nothing, ()

    def seen(self, state: int) -> None:
        """Somebody looked: this is the channel's state. Not reached by finalizers."""
        if state == self.state:
            return
        ledger = self.tracker.ledger
        if ledger.channels is None or self not in ledger.channels:
            return  # it has ended
        spent = ledger.channel_spent
        now = self.tracker.clock()
        spent[self.state] += now - self.since
        self.since = now
        self.state = state
        if state == READY and self.waiting:
            for lease in snapshot_of(self.waiting.keys):
                self.goes_out(lease, now)

    def end(self) -> None:
        """The channel is gone. Reached by finalizers."""
        ledger = self.tracker.ledger
        if ledger.channels is None or ledger.channels.pop(self, self) is self:
            return
        ledger.channel_spent[self.state] += self.tracker.clock() - self.since

    # A call's way

    def entered(self, lease: Lease, *, waits: bool, timeout: float | None) -> None:
        """A call begins. One that ``waits`` for the channel to be ready queues, at most ``timeout``
        seconds; any other has no acquire that could be known."""
        lease.channel = self
        now = lease.entered_at
        if not waits:
            lease.acquire_known = False
            lease.acquired_at = now
        if self.state == READY:
            lease.acquired_at = now
            lease.phase = AWAITING_RESPONSE
            return
        self.waiting[lease] = None
        if waits:
            lease.waited = lease.in_queue = True
            lease.waits_since = now
            lease.pool_timeout = timeout
            self.tracker.ledger.queued.change(1, now)
        else:
            lease.phase = CONNECTING

    def goes_out(self, lease: Lease, now: int) -> None:
        """The channel is ready for a call that waited for that."""
        self.waiting.pop(lease, None)
        if lease.ended or lease.phase not in (QUEUED, CONNECTING):
            return
        if lease.in_queue:
            lease.in_queue = False
            lease.acquired_at = now
            self.tracker.ledger.queued.change(-1, now)
        lease.sent_at = now
        lease.enter(AWAITING_RESPONSE, now)

    def answered(self, lease: Lease) -> None:
        """The head of a call's answer has come."""
        if lease.ended or lease.answered_at:
            return
        now = self.tracker.clock()
        self.goes_out(lease, now)
        lease.answered_at = now
        lease.enter(READING if lease.being_read else UNREAD, now)
        if lease.counted:
            self.tracker.outbox.press(lease)

    def reading(self, lease: Lease) -> None:
        """The application waits for the next message."""
        lease.being_read = True
        if lease.phase == UNREAD:
            lease.enter(READING, self.tracker.clock())

    def read(self, lease: Lease) -> None:
        """It waits no longer."""
        lease.being_read = False
        if lease.phase == READING:
            lease.enter(UNREAD, self.tracker.clock())

    def completed(self, lease: Lease, status: str) -> None:
        """The call has its status, and no error of the contract's."""
        if lease.ended:
            return
        now = self.tracker.clock()
        self.goes_out(lease, now)
        lease.status = status
        if not lease.answered_at:
            lease.answered_at = now
        self.tracker.released(lease)
        if lease.waited and lease.counted:
            self.tracker.observer.lease_waited(lease)

    def discard_lease(self, lease: Lease) -> None:
        """gRPC has refused to make the call: it never was there."""
        self.waiting.pop(lease, None)
        if lease.in_queue:
            lease.in_queue = False
            self.tracker.ledger.queued.change(-1, self.tracker.clock())
        self.tracker.discard_lease(lease)

    def failed(
        self, lease: Lease, status: str | int, error: str, *, in_finalizer: bool = False
    ) -> None:
        """The call ended in an error, with a status or with 0 for one that can't be told.

        Reached by finalizers when ``unwinding``.
        """
        if lease.ended:
            return
        self.waiting.pop(lease, None)
        lease.status = status
        self.tracker.failed(lease, error, in_finalizer=in_finalizer)


def states_of(
    channels: dict[TrackedChannel, None], left: list[int], now: int
) -> tuple[list[int], list[int]]:
    """How many of the channels are in each state, and the nanoseconds in each, together with those
    that channels have ``left``."""
    counts = [0] * len(CHANNEL_STATES)
    # Before the running times: a channel that ends meanwhile is then missing in this reading, where
    # it would otherwise count twice.
    spent = list(left)
    for channel in snapshot_of(channels.keys):
        state = channel.state
        counts[state] += 1
        spent[state] += max(now - channel.since, 0)
    return counts, spent
