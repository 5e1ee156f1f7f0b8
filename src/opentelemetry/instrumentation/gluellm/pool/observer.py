"""What can be told about a pool."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .connection import TrackedConnection
    from .lease import Lease
    from .tracker import PoolTracker


class PoolObserver:
    """Hears of what happens in pools. Every method does nothing by default.

    Most requests are told nowhere on their way: what has ended stands in the outbox.

    Unless a method says otherwise it is called in the request's own task or thread, outside the
    pool's lock. ``lease.unwinding`` tells that a finalizer is at work: then, and in the methods
    that say so, only plain numbers may change and a deque may grow.
    """

    def pool_opened(self, pool: PoolTracker) -> None:
        """A pool has its first request."""

    def pool_discarded(self, pool: PoolTracker, reason: str) -> None:
        """A pool is ``closed`` or ``garbage_collected``. Reached by finalizers."""

    def lease_queued(self, lease: Lease, context: object) -> None:
        """A request has entered the pool; told if ``entry_context`` gives something for it.

        The context is the user's own and must not be kept.
        """

    def lease_requeued(self, lease: Lease) -> None:
        """The assigned connection turned out unusable; the request queues again."""

    def lease_waited(self, lease: Lease) -> None:
        """A request that had to wait has its connection, or has failed. Reached by finalizers.

        Told once, when the head came or the request failed: until then an assignment can be
        refused, and it happens in whichever task released a connection, under the pool's lock.
        """

    def lease_answered(self, lease: Lease) -> None:
        """The response's head has come: told on a fresh connection, or if ``in_client_span``."""

    def outbox_filling(self) -> None:
        """The outbox is more than half full and a request enters: time to help."""

    def connection_created(self, lease: Lease, connection: TrackedConnection) -> None:
        """The lease's new connection is established."""

    def connection_failed(self, lease: Lease, connection: TrackedConnection) -> None:
        """The lease's new connection could not be established. Reached by finalizers."""

    def connection_closed(self, connection: TrackedConnection, reason: str) -> None:
        """An established connection is closed. Reached by finalizers."""
