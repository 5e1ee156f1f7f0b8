"""One gRPC channel: its state, the time in each state, and the steps of its calls.

A channel is a pool whose connections gRPC does not report. Only its state can be read, and only now
and then: the time between two readings counts for the state of the first one.
"""

from __future__ import annotations

from ..concurrency import nothing, snapshot_of
from .lease import Channel, Lease
from .phases import AWAITING_RESPONSE, CONNECTING, QUEUED, READING, READY, UNREAD
from .tracker import PoolTracker


class TrackedChannel(Channel):
    """The state of a channel. Refers to no library object.

    Several threads may report readings at once. Each change of state follows the atomic rule, and
    the times add up in any order.
    """

    __slots__ = ("tracker", "waiting")
    tracker: PoolTracker

    def __init__(self, tracker: PoolTracker, now: int) -> None:
        super().__init__(now)
        self.tracker = tracker
        self.waiting: dict[Lease, None] = {}
        """Calls that began while the channel was not ready, and are not known to be sent."""
        ledger = tracker.ledger
        if ledger.channels is not None:
            ledger.channels[self] = None

    def __reduce__(self) -> tuple[object, ...]:
        return nothing, ()

    def seen(self, state: int) -> None:
        """Record a reading of the channel's state. Not for finalizers."""
        if state == self.state:
            return
        ledger = self.tracker.ledger
        if ledger.channels is None or self not in ledger.channels:
            return  # the channel has ended
        spent = ledger.channel_spent
        now = self.tracker.clock()
        spent[self.state] += now - self.since
        self.since = now
        self.state = state
        if state == READY and self.waiting:
            for lease in snapshot_of(self.waiting.keys):
                self.goes_out(lease, now)

    # Steps of a call

    def entered(self, lease: Lease, *, waits: bool, timeout: float | None) -> None:
        """Begin a call. One that ``waits`` for the channel to be ready is queued.

        ``timeout`` is how long it may wait, in seconds. How long any other call waited is unknown.
        """
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
        """Record that a call which waited for the channel is sent, since the channel is ready."""
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
        """Record the head of a call's response."""
        if lease.ended or lease.answered_at:
            return
        now = self.tracker.clock()
        self.goes_out(lease, now)
        lease.answered_at = now
        lease.enter(READING if lease.being_read else UNREAD, now)
        if lease.counted:
            tracker = self.tracker
            if len(tracker.items) < tracker.outbox.half:
                tracker.items.append(lease)
            else:
                tracker.registry.press(lease)

    def reading(self, lease: Lease) -> None:
        """Record that the application waits for the next message."""
        lease.being_read = True
        if lease.phase == UNREAD:
            lease.enter(READING, self.tracker.clock())

    def read(self, lease: Lease) -> None:
        """Record that the application no longer waits for a message."""
        lease.being_read = False
        if lease.phase == READING:
            lease.enter(UNREAD, self.tracker.clock())

    def completed(self, lease: Lease, status: str) -> None:
        """End a call with a status that the contract does not count as an error."""
        if lease.ended:
            return
        now = self.tracker.clock()
        self.goes_out(lease, now)
        lease.status = status
        if not lease.answered_at:
            lease.answered_at = now
        self.tracker.released(lease)
        self.waited(lease)

    def waited(self, lease: Lease) -> None:
        """Notify observers of a call that has ended well, if it waited."""
        if lease.waited and lease.counted:
            self.tracker.observer.lease_waited(lease)

    def discard_lease(self, lease: Lease) -> None:
        """End a call that gRPC refused to make, without recording it in any metric."""
        self.waiting.pop(lease, None)
        if lease.in_queue:
            lease.in_queue = False
            self.tracker.ledger.queued.change(-1, self.tracker.clock())
        self.tracker.discard_lease(lease)

    def failed(
        self, lease: Lease, status: str | int, error: str, *, in_finalizer: bool = False
    ) -> None:
        """End a call with an error, and its status or 0 if that is unknown.

        The finalizer rule applies if ``in_finalizer``.
        """
        if lease.ended:
            return
        self.waiting.pop(lease, None)
        lease.status = status
        self.tracker.failed(lease, error, in_finalizer=in_finalizer)
