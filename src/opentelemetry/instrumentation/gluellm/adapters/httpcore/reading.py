"""The state of a pool of httpcore or httpcore2, read in any thread, without a socket or a lock."""

from __future__ import annotations

from collections.abc import Container
from typing import Any

from ...concurrency import snapshot_of
from ...pool.counts import ACTIVE, CONNECTING, IDLE_1, IDLE_2, Occupancy, PoolSums
from ...pool.lease import ConnectionView, ReadPool, TrackedConnection, close_missing
from ...pool.reader import Sockets, seconds_or_none
from ...pool.tracker import PoolTracker
from ..executors import workers_of
from ..marks import CONNECTION, LEASE, LIMITS_FROM, connection_of
from ..scope import LibraryReader
from .connections import tracked
from .listing import bound, exchange, protocol_connection, tcp_keepalive
from .tracker import HttpcoreTracker


class HttpcoreReader(LibraryReader[PoolTracker]):
    """Reads pools of httpcore and httpcore2."""

    kind = HttpcoreTracker

    def adopt(self, pool: Any, tracker: PoolTracker) -> None:
        for connection in tuple(pool._connections):
            tracked(connection, tracker)
        tracker.maximum = bound(pool._max_connections)

    def is_synchronous(self, pool: Any) -> bool:
        return not hasattr(pool, "handle_async_request")

    def count(self, pool: Any, tracker: PoolTracker, counts: PoolSums) -> Occupancy:
        """Add a pool's connections to ``counts``.

        Metric callbacks call it, so it touches no socket: ``is_idle`` and ``is_closed`` only read
        numbers, while ``has_expired`` would poll. The list is read from the pool each time, since
        httpcore2 rebinds it, and copied, since httpcore changes it in place.
        """
        busy = seen = 0
        for connection in tuple(pool._connections):
            record = getattr(connection, CONNECTION, None)
            if record is None or record.tracker is not tracker or record.adopted:
                record = tracked(connection, tracker)
            seen += 1
            record.missing_since = 0
            state = _state(connection, record)
            if state == "idle":
                counts.origins[record.origin][IDLE_2 if record.protocol == "2" else IDLE_1] += 1
            elif state is not None:
                place = CONNECTING if state == "connecting" else ACTIVE[record.protocol]
                counts.origins[record.origin][place] += 1
                busy += 1
            if record.streams is not None and not connection.is_closed():
                inner = protocol_connection(connection)
                if inner is not None:
                    streams = counts.streams[record.origin]
                    streams[0] += len(record.streams)
                    streams[1] += _stream_limit(inner, record)
                    streams[2] += _orphans(inner, record)
        if len(tracker.connections) > seen:
            close_missing(tracker, {connection_of(item) for item in tuple(pool._connections)})
        return busy, bound(pool._max_connections), bound(pool._max_keepalive_connections)

    def view(self, pool: Any, tracker: PoolTracker) -> ReadPool:
        """Return the state of each connection of a pool. Like `count`, it touches no socket."""
        requests = tuple(pool._requests)
        wanted = {id(request.connection) for request in requests}
        # Each request that is tracked has its lease.
        before = {id(one.connection) for one in requests if not _is_tracked(one, tracker)}
        found = []
        for connection in tuple(pool._connections):
            record = tracked(connection, tracker)
            state = _state(connection, record)
            if state is None:
                continue
            limit = None
            if record.streams is not None:
                inner = protocol_connection(connection)
                if inner is not None:
                    limit = _stream_limit(inner, record)
                    _orphans(inner, record)
            at = id(connection)
            held_before = (
                exchange(protocol_connection(connection))
                if at in before and state != "idle"
                else None
            )
            found.append(ConnectionView(record, state, at in wanted, limit, held_before))
        return ReadPool(
            max_connections=bound(pool._max_connections),
            max_idle_connections=bound(pool._max_keepalive_connections),
            keepalive_expiry=seconds_or_none(getattr(pool, "_keepalive_expiry", None)),
            tcp_keepalive=tcp_keepalive(pool),
            connections=found,
            limits_from=getattr(pool, LIMITS_FROM, None),
            workers=workers_of(pool),
            queued_before=sum(
                1 for one in requests if one.connection is None and not _is_tracked(one, tracker)
            ),
        )

    def sockets(self, pool: Any, wanted: Container[TrackedConnection]) -> Sockets:
        """Find the sockets of connections, through the public ``get_extra_info``."""
        for connection in tuple(pool._connections):
            record = connection_of(connection)
            inner = protocol_connection(connection) if record in wanted else None
            if inner is not None:
                yield record, inner._network_stream.get_extra_info("socket")


def _is_tracked(pool_request: Any, tracker: PoolTracker) -> bool:
    lease = getattr(pool_request.request, LEASE, None)
    return lease is not None and lease.tracker.registry is tracker.registry


def _state(connection: Any, record: TrackedConnection) -> str | None:
    """The state of a connection; None if its set-up has failed or it is closed."""
    idle = connection.is_idle()
    if not record.established_at:
        # A connection whose set-up has failed reports itself as idle and as closed.
        return None if idle else "connecting"
    if idle and not record.leases:
        return "idle"
    return None if connection.is_closed() else "active"


def _stream_limit(inner: Any, record: TrackedConnection) -> int:
    """Stream limit of an HTTP/2 connection: the peer's or the library's, whichever is lower.

    It is 1 until the peer has announced its limit. Before the connection's first request the
    attribute is missing, which also counts as 1.
    """
    limit: int = getattr(inner, "_max_streams", 1)
    ledger = record.tracker.ledger
    ledger.streams_most = max(ledger.streams_most, limit)
    return limit


def _orphans(inner: Any, record: TrackedConnection) -> int:
    """Number of streams that the peer still has open although their requests have ended.

    The library sends no RST_STREAM, so a stream closes only when the peer has sent its answer.
    """
    streams = inner._h2_state.streams
    for stream_id in snapshot_of(record.orphans.keys):
        stream = streams.get(stream_id)
        if stream is None or stream.closed:
            record.orphans.pop(stream_id, None)
    return len(record.orphans)
