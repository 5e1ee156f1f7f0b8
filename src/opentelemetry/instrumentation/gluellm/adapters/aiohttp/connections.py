"""Connections of aiohttp: their records, states and close reasons.

A connector lists the connections in use in ``_acquired``, with a placeholder for each one that is
being established, and the idle ones in ``_conns``. Its limits apply to ``_acquired`` only. A record
is an attribute of the connection's protocol and lives as long as the protocol.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

from ...concurrency import snapshot_of
from ...patching import is_patched
from ...pool.connection import TrackedConnection
from ...pool.counts import ACTIVE, CONNECTING, IDLE_1, Tally
from ...pool.lease import Lease
from ...pool.ledger import OriginLedger
from ...pool.reader import ConnectionView, PoolView, seconds_or_none
from ...pool.tracker import PoolTracker
from ..marks import LIMITS_FROM
from .marks import CONNECTION

_FINALIZER = "__del__"
_DEPTH = 8


def created(lease: Lease) -> TrackedConnection:
    """Create the record of a connection that a request starts to establish."""
    tracker = lease.tracker
    record = TrackedConnection(tracker, lease.origin, tracker.clock())
    tracker.connections[record] = None
    tracker.assigned(lease, record)
    return record


def established(record: TrackedConnection, protocol: Any) -> None:
    """Record that a connection is established, and attach the record to its protocol."""
    record.reports_reads = _reports_reads()
    setattr(protocol, CONNECTION, record)
    record.tracker.established(record, "1.1")


def tracked(protocol: Any, origin: OriginLedger, tracker: PoolTracker) -> TrackedConnection:
    """The record of a connection. A connection that was not tracked before gets one now."""
    known: TrackedConnection | None = getattr(protocol, CONNECTION)
    if known is not None and known.tracker is tracker:
        return known
    known = TrackedConnection(tracker, origin, tracker.clock())
    known.adopted = True
    known.established_at = known.created_at
    known.served = 1
    known.reports_reads = _reports_reads()
    origin.protocols.add(known.protocol)
    setattr(protocol, CONNECTION, known)
    tracker.connections[known] = None
    return known


def _reports_reads() -> bool:
    reader = getattr(sys.modules.get("aiohttp"), "StreamReader", None)
    return is_patched(getattr(reader, "_wait", None))


def adopt(pool: Any, tracker: PoolTracker) -> None:
    """Create the records of the connections that a pool has when its tracking begins."""
    for _ in _idle(pool, tracker):
        pass
    tracker.maximum = _bound(pool._limit)


# State


def _idle(pool: Any, tracker: PoolTracker) -> Iterator[tuple[Any, TrackedConnection]]:
    """The records of the idle connections, each with the key that it is listed under."""
    for key, listed in tuple(pool._conns.items()):
        for protocol, _ in tuple(listed):
            record = getattr(protocol, CONNECTION)
            if record is None or record.tracker is not tracker:
                origin = tracker.origin_of_connection(key.host.encode(), key.port, b"")
                record = tracked(protocol, origin, tracker)
            yield key, record


def _in_use(pool: Any, tracker: PoolTracker) -> tuple[list[tuple[Any, TrackedConnection]], int]:
    """The tracked connections in use, and the number of untracked ones and placeholders."""
    known = []
    others = 0
    for protocol in tuple(pool._acquired):
        record = getattr(protocol, CONNECTION, None)
        if record is not None and record.tracker is tracker:
            known.append((protocol, record))
        else:
            others += 1
    return known, others


def _unseen_origin(tracker: PoolTracker) -> OriginLedger | None:
    # The origin of requests that began before the instrumentation is unknown. Most pools have one.
    origins = snapshot_of(tracker.ledger.origins.values)
    return origins[0] if len({origin.reported for origin in origins}) == 1 else None


def count(pool: Any, tracker: PoolTracker, counts: Tally) -> None:
    """Add a pool's connections to ``counts``.

    Metric callbacks call it, so it touches no socket: ``is_connected`` only reads flags of the
    transport.
    """
    known, others = _in_use(pool, tracker)
    seen = len(known)
    counts.busy = seen + others
    for protocol, record in known:
        if protocol.is_connected():
            counts.of(record.origin)[ACTIVE[record.protocol]] += 1
    for _, record in _idle(pool, tracker):
        counts.of(record.origin)[IDLE_1] += 1
        seen += 1
    if others:
        for record in snapshot_of(tracker.connections.keys):
            if not record.established_at and others:
                counts.of(record.origin)[CONNECTING] += 1
                others -= 1
                seen += 1
        origin = _unseen_origin(tracker) if others else None
        if origin is not None:
            counts.of(origin)[CONNECTING] += others
    tracker.maximum = counts.maximum = _bound(pool._limit)
    counts.idle_maximum = None
    if len(tracker.connections) > seen:
        _reconcile(pool, tracker)


def view(pool: Any, tracker: PoolTracker) -> PoolView:
    """Return the state of each connection of a pool. Like `count`, it touches no socket."""
    known, _ = _in_use(pool, tracker)
    found = [
        # Connected or not, it occupies a place. An adopted connection may be held by a request
        # that began before the instrumentation.
        ConnectionView(record, "active", record.adopted, None)
        for _, record in known
    ]
    found += [
        # While the connections in use reach the limit, a waiter can't take an idle one.
        ConnectionView(record, "idle", not _has_room(pool, key), None)
        for key, record in _idle(pool, tracker)
    ]
    found += [
        ConnectionView(record, "connecting", True, None)
        for record in snapshot_of(tracker.connections.keys)
        if not record.established_at
    ]
    return PoolView(
        max_connections=_bound(pool._limit),
        max_idle_connections=None,
        keepalive_expiry=0.0 if pool._force_close else seconds_or_none(pool._keepalive_timeout),
        tcp_keepalive=_tcp_keepalive(pool),
        connections=found,
        max_connections_per_origin=_bound(pool._limit_per_host),
        limits_from=getattr(pool, LIMITS_FROM, None),
    )


def _has_room(pool: Any, key: Any) -> bool:
    if pool._limit and len(pool._acquired) >= pool._limit:
        return False
    bound = pool._limit_per_host
    there: Any = getattr(pool, "_acquired_per_host", {})
    return not bound or len(there.get(key, ())) < bound


class _Reader:
    """The ``PoolReader`` for aiohttp."""

    count = staticmethod(count)
    view = staticmethod(view)


READER = _Reader()


def _bound(limit: int) -> int | None:
    if not isinstance(limit, int):
        raise TypeError("no limit of a version that is known")
    return limit or None


def _tcp_keepalive(pool: Any) -> bool | None:
    # aiohttp turns it on only for a server's sockets, but a socket factory may turn it on as well.
    return None if getattr(pool, "_socket_factory", None) is not None else False


def _reconcile(pool: Any, tracker: PoolTracker) -> None:
    # A connection that the pool dropped without closing is left to the garbage collector. One that
    # is being handed over is off the lists as well, so a record is closed only when it is missing
    # in two passes.
    listed = {record for _, record in (*_in_use(pool, tracker)[0], *_idle(pool, tracker))}
    for record in snapshot_of(tracker.connections.keys):
        if record in listed or record.leases or not record.established_at:
            record.missing = False
        elif not record.missing:
            record.missing = True
        else:
            record.close("garbage_collected")


# The end of a connection


def closed(protocol: Any, record: TrackedConnection) -> None:
    """Record that a connection is being closed. The finalizer rule (``pool/lease.py``) applies."""
    lease = record.lease
    record.close(close_reason(protocol, record))
    if lease is not None and not lease.ended:
        # Its pool is closed during the response. The lease ends when the response is released.
        record.lease = lease


def close_reason(protocol: Any, record: TrackedConnection) -> str:
    """The close reason of a connection that is being closed now."""
    if record.closing is not None:
        return record.closing
    if not record.tracker.open:
        return "pool_closed"
    lease = record.lease
    if lease is None:
        # The pool checks first whether the peer has closed it, then how long it was idle.
        return "keepalive_expired" if protocol.is_connected() else "server_disconnect"
    if lease.error is not None:
        return "cancelled" if lease.error == "cancelled" else "error"
    payload = protocol._payload
    if protocol.upgraded or payload is None or payload.is_eof():
        return "connection_close"
    return "garbage_collected" if in_finalizer() else "response_incomplete"


def in_finalizer() -> bool:
    """Whether one of the last few frames on the stack is a ``__del__``."""
    frame = sys._getframe(1)
    for _ in range(_DEPTH):
        if frame.f_code.co_name == _FINALIZER:
            return True
        if frame.f_back is None:
            break
        frame = frame.f_back
    return False
