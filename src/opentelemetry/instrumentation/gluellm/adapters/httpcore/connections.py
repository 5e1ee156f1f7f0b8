"""Connections of httpcore and httpcore2: their records and states.

The private attributes that are read here are the same in httpcore 1.0 and httpcore2 2.16, sync and
async. A record is an attribute of the library's object and lives as long as the object.
"""

from __future__ import annotations

import socket
import sys
from typing import Any

from ...concurrency import snapshot_of
from ...patching import is_patched
from ...pool.connection import TrackedConnection
from ...pool.counts import ACTIVE, CONNECTING, IDLE_1, IDLE_2, Tally
from ...pool.reader import ConnectionView, PoolView, seconds_or_none
from ...pool.tracker import PoolTracker
from ..marks import LIMITS_FROM
from .marks import CONNECTION, connection_of
from .responses import time_reads
from .setup import time_setup


def protocol_connection(connection: Any) -> Any | None:
    """The HTTP/1.1 or HTTP/2 connection inside; None while it is being established.

    Direct and SOCKS connections hold it. A forwarding connection holds a direct connection to the
    proxy. So does a tunnel, until its own connection is established.
    """
    if getattr(connection, "_connected", True) is False:
        return None
    inner = getattr(connection, "_connection", None)
    if inner is not None and hasattr(inner, "_connect_failed"):
        inner = inner._connection
    return inner


def created(connection: Any, origin: Any, tracker: PoolTracker, *, timed: bool) -> None:
    """Create the record of a connection that the pool has made and not yet established."""
    made = _track(connection, origin, tracker)
    if timed:
        time_setup(connection, made, secure=origin.scheme in (b"https", b"wss"))


def tracked(connection: Any, tracker: PoolTracker) -> TrackedConnection:
    """The record of a connection. A connection that was not tracked before gets one now."""
    known: TrackedConnection | None = connection_of(connection)
    if known is not None and known.tracker is not tracker and _serves_again(known, tracker):
        known.tracker.connections.pop(known, None)
        known.tracker = tracker
        tracker.connections[known] = None
    elif known is None or known.tracker is not tracker:
        origin = getattr(connection, "_remote_origin", None) or connection._origin
        known = _track(connection, origin, tracker)
        known.adopted = True
    if known.adopted and not known.established_at:
        inner = protocol_connection(connection)
        if inner is not None:
            known.established_at = tracker.clock()
            known.served = 1
            known.protocol = protocol_of(inner)
            if known.protocol == "2":
                known.streams = {}
            known.origin.protocols.add(known.protocol)
            _note(inner, known)
    return known


def _serves_again(known: TrackedConnection, tracker: PoolTracker) -> bool:
    """Whether a closed pool made this connection for queued requests and is now used again.

    Both trackers then count in one ledger, and a second record would count the end twice.
    """
    before = known.tracker
    return before.registry is tracker.registry and before.ledger is tracker.ledger


def adopt(pool: Any, tracker: PoolTracker) -> None:
    """Create the records of the connections that a pool has when its tracking begins."""
    for connection in tuple(pool._connections):
        tracked(connection, tracker)
    tracker.maximum = _bound(pool._max_connections)


def _track(connection: Any, origin: Any, tracker: PoolTracker) -> TrackedConnection:
    made = TrackedConnection(
        tracker,
        tracker.origin_of_connection(origin.host, origin.port, origin.scheme),
        tracker.clock(),
    )
    setattr(connection, CONNECTION, made)
    tracker.connections[made] = None
    return made


def _note(inner: Any, connection: TrackedConnection) -> None:
    setattr(inner, CONNECTION, connection)
    if connection.protocol == "1.1":
        connection.reports_reads = time_reads(inner, connection)
        send = getattr(type(inner), "_send_request_headers", None)
        connection.reports_accept = is_patched(send)
    else:
        read = getattr(type(inner), "_receive_stream_event", None)
        connection.reports_reads = is_patched(read)


def protocol_of(inner: Any) -> str:
    """The value of ``network.protocol.version``."""
    return "2" if hasattr(inner, "_h2_state") else "1.1"


def established(inner: Any, stream: Any) -> None:
    """Record that a protocol connection was built on a network stream."""
    connection: TrackedConnection | None = connection_of(stream)
    if connection is None or connection.established_at:
        return
    connection.tracker.established(connection, protocol_of(inner))
    _note(inner, connection)


# State


def count(pool: Any, tracker: PoolTracker, counts: Tally) -> None:
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
        if not record.established_at:
            # A connection whose set-up has failed reports itself as idle and as closed.
            if not connection.is_idle():
                counts.of(record.origin)[CONNECTING] += 1
                busy += 1
        elif connection.is_idle() and not record.leases:
            counts.of(record.origin)[IDLE_2 if record.protocol == "2" else IDLE_1] += 1
        elif not connection.is_closed():
            counts.of(record.origin)[ACTIVE[record.protocol]] += 1
            busy += 1
        if record.streams is not None and not connection.is_closed():
            inner = protocol_connection(connection)
            if inner is not None:
                counts.add_streams(
                    record.origin, len(record.streams), stream_limit(inner), orphans(inner, record)
                )
    counts.busy = busy
    tracker.maximum = counts.maximum = _bound(pool._max_connections)
    counts.idle_maximum = _bound(pool._max_keepalive_connections)
    if len(tracker.connections) > seen:
        _reconcile(pool, tracker)


def view(pool: Any, tracker: PoolTracker) -> PoolView:
    """Return the state of each connection of a pool. Like `count`, it touches no socket."""
    wanted = {id(request.connection) for request in tuple(pool._requests)}
    found = []
    for connection in tuple(pool._connections):
        record = tracked(connection, tracker)
        idle = connection.is_idle()
        if not record.established_at:
            if idle:
                continue
            state = "connecting"
        elif idle and not record.leases:
            state = "idle"
        elif connection.is_closed():
            continue
        else:
            state = "active"
        limit = None
        if record.streams is not None:
            inner = protocol_connection(connection)
            if inner is not None:
                limit = stream_limit(inner)
                orphans(inner, record)
        found.append(ConnectionView(record, state, id(connection) in wanted, limit))
    return PoolView(
        max_connections=_bound(pool._max_connections),
        max_idle_connections=_bound(pool._max_keepalive_connections),
        keepalive_expiry=seconds_or_none(getattr(pool, "_keepalive_expiry", None)),
        tcp_keepalive=_tcp_keepalive(pool),
        connections=found,
        limits_from=getattr(pool, LIMITS_FROM, None),
    )


class _Reader:
    """The ``PoolReader`` for httpcore and httpcore2."""

    count = staticmethod(count)
    view = staticmethod(view)


READER = _Reader()


def _tcp_keepalive(pool: Any) -> bool | None:
    # Only the options that the pool sets on its sockets turn it on.
    options = getattr(pool, "_socket_options", None)
    if options is None:
        return False if hasattr(pool, "_socket_options") else None
    wanted = (socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    return any(tuple(option[:2]) == wanted and bool(option[2]) for option in options)


def stream_limit(inner: Any) -> int:
    """Stream limit of an HTTP/2 connection: the peer's or the library's, whichever is lower.

    It is 1 until the peer has announced its limit. Before the connection's first request the
    attribute is missing, which also counts as 1.
    """
    limit: int = getattr(inner, "_max_streams", 1)
    return limit


def orphans(inner: Any, record: TrackedConnection) -> int:
    """Number of streams that the peer still has open although their requests have ended.

    The library sends no RST_STREAM, so a stream closes only when the peer has sent all of it.
    """
    streams = inner._h2_state.streams
    for stream_id in snapshot_of(record.orphans.keys):
        stream = streams.get(stream_id)
        if stream is None or stream.closed:
            record.orphans.pop(stream_id, None)
    return len(record.orphans)


def _bound(limit: int) -> int | None:
    # Both libraries use sys.maxsize for unlimited.
    return None if limit >= sys.maxsize else limit


def _reconcile(pool: Any, tracker: PoolTracker) -> None:
    # A connection that the pool dropped without closing is left to the garbage collector. One that
    # is being closed is off the list as well, so a record is closed only when it is missing in two
    # passes.
    listed = {connection_of(connection) for connection in tuple(pool._connections)}
    for record in snapshot_of(tracker.connections.keys):
        if record in listed or record.leases:
            record.missing = False
        elif not record.missing:
            record.missing = True
        else:
            record.close("garbage_collected")
