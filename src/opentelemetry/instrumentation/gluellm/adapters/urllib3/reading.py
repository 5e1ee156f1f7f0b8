"""The state of a pool of urllib3, read in any thread, without a socket or a lock."""

from __future__ import annotations

import socket
from collections.abc import Container, Iterator
from typing import Any

from ...concurrency import snapshot_of
from ...pool.counts import ACTIVE, CONNECTING, IDLE_1, IDLE_2, Occupancy, PoolSums
from ...pool.lease import ConnectionView, ReadPool, TrackedConnection, close_missing
from ...pool.reader import Sockets
from ...pool.tracker import PoolTracker
from ..executors import workers_of
from ..marks import LIMITS_FROM, connection_of
from ..scope import LibraryReader
from .connections import connected_sockets, record_of


class Urllib3Reader(LibraryReader[PoolTracker]):
    """Reads pools of urllib3."""

    def adopt(self, pool: Any, tracker: PoolTracker) -> None:
        for _ in _idle(pool, tracker):
            pass
        tracker.maximum = _limits(pool)[0]

    def count(self, pool: Any, tracker: PoolTracker, counts: PoolSums) -> Occupancy:
        """Add a pool's connections to ``counts``."""
        busy = idle = 0
        for record in _idle(pool, tracker):
            idle += 1
            counts.origins[record.origin][IDLE_2 if record.protocol == "2" else IDLE_1] += 1
        for record in snapshot_of(tracker.connections.keys):
            if record.leases:
                busy += 1
                place = ACTIVE[record.protocol] if record.established_at else CONNECTING
                counts.origins[record.origin][place] += 1
        if len(tracker.connections) > idle + busy:
            # A connection in no queue may be in use by a thread that has to wait: it has a socket.
            queued = {connection_of(connection) for connection in _queued(pool)}
            close_missing(tracker, queued | {record for record, _ in connected_sockets()})
        return busy, *_limits(pool)

    def view(self, pool: Any, tracker: PoolTracker) -> ReadPool:
        """Return the state of each connection of a pool."""
        found = [ConnectionView(record, "idle", False, None) for record in _idle(pool, tracker)]
        for record in snapshot_of(tracker.connections.keys):
            if record.leases:
                state = "active" if record.established_at else "connecting"
                found.append(ConnectionView(record, state, True, None))
        maximum, idle_maximum = _limits(pool)
        return ReadPool(
            max_connections=maximum,
            max_idle_connections=idle_maximum,
            tcp_keepalive=_tcp_keepalive(pool),
            connections=found,
            limits_from=getattr(pool, LIMITS_FROM, None),
            workers=workers_of(pool),
        )

    def sockets(self, pool: Any, wanted: Container[TrackedConnection]) -> Sockets:  # noqa: ARG002
        """Find the sockets of connections. A pool does not list those in use."""
        return [(record, sock) for record, sock in connected_sockets() if record in wanted]

    def is_synchronous(self, pool: Any) -> bool:  # noqa: ARG002
        return True


def _queued(pool: Any) -> tuple[Any, ...]:
    # The list inside the pool's queue. None stands for a free place.
    queue = pool.pool
    return () if queue is None else tuple(item for item in tuple(queue.queue) if item is not None)


def _idle(pool: Any, tracker: PoolTracker) -> Iterator[TrackedConnection]:
    """The records of the connections in the queue that have a socket and no request."""
    for connection in _queued(pool):
        if getattr(connection, "sock", None) is not None:
            record = connection_of(connection)
            if record is None or record.tracker is not tracker:
                record = record_of(connection, pool, tracker)
            if not record.leases and not record.closed:  # else it is about to close its socket
                yield record


def _limits(pool: Any) -> tuple[int | None, int | None]:
    """Limits on all and on idle connections, None if unlimited.

    The queue's size limits the idle ones, and all of them only if the pool blocks.
    """
    queue = pool.pool
    size = getattr(queue, "maxsize", None)
    if not size:
        return None, None
    return (size if pool.block else None), size


def _tcp_keepalive(pool: Any) -> bool | None:
    kept = getattr(pool, "conn_kw", None)
    if kept is None:
        return None
    options = kept.get("socket_options", getattr(pool.ConnectionCls, "default_socket_options", ()))
    wanted = (socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    return any(tuple(option[:2]) == wanted and bool(option[2]) for option in options or ())
