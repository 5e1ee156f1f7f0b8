"""Tracker of a pool of httpcore or httpcore2, whose assignments may be tentative.

httpcore 1.0 assigns an idle connection to each request that waits, and a request that enters at
that moment may overtake them. A lease stays queued until the connection accepts its request.
"""

from __future__ import annotations

from ...pool.lease import Lease, TrackedConnection
from ...pool.tracker import PoolTracker
from ...vocabulary import AWAITING_RESPONSE, QUEUED


class HttpcoreTracker(PoolTracker):
    """Tracker of one pool."""

    def assigned(self, lease: Lease, connection: TrackedConnection) -> None:
        if (
            connection.reports_accept
            and (lease.wait is not None or connection.leases)
            and not lease.ended_at
        ):
            self._assigned_tentatively(lease, connection)
        else:
            super().assigned(lease, connection)

    def _assigned_tentatively(self, lease: Lease, connection: TrackedConnection) -> None:
        """Assign a connection that may accept another request first."""
        now = self.clock()
        # An acquire ends at the assignment that is not refused.
        acquired_at = lease.entered_at if lease.wait is None else now
        # atomic
        lease.acquired_at = acquired_at
        lease.reused = connection.served > 0
        lease.connection = connection
        connection.promised = True
        connection.leases += 1
        # end of atomic
        connection.activate(now)
        self.join_queue(lease, now)

    def accepted(self, lease: Lease, connection: TrackedConnection) -> None:
        """Record that a connection begins to send a request that it was assigned to."""
        self.given_back(connection)
        before = connection.lease
        now = self.clock()
        if before is not None and before is not lease:
            self.queue_again(before, connection, now)  # that lease was overtaken
        # atomic
        if lease.ended_at or lease.phase != QUEUED:
            return
        connection.lease = lease
        wait = lease.wait
        if wait is not None and wait.in_queue:
            wait.in_queue = False
            self.ledger.queued.value -= 1
        lease.origin.spent[QUEUED] += now - lease.phase_since
        lease.phase_since = now
        lease.phase = AWAITING_RESPONSE
        # end of atomic. A connection counts for the origin of its latest request.
        if connection.origin is not lease.origin:
            connection.serve(lease.origin)
