"""Connections of httpcore and httpcore2: their records, from creation to close.

The private attributes that are read here are the same in httpcore 1.0 and httpcore2 2.16, sync and
async. A record is an attribute of the library's object and lives as long as the object.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...patching import is_patched
from ...pool.lease import TrackedConnection, Tracker
from ...pool.tracker import PoolTracker
from ..executors import note_executor
from ..loops import note_loop
from ..marks import CONNECTION, TRACKER, attach, connection_of, take_over
from .listing import protocol_connection
from .reasons import close_reason, protocol_of
from .responses import time_reads
from .setup import time_setup

SEND_HEADERS = "_send_request_headers"
RECEIVE_EVENT = "_receive_stream_event"


def tracked(connection: Any, tracker: Tracker) -> TrackedConnection:
    """The record of a connection. A connection that was not tracked before gets one now."""
    known: TrackedConnection | None = connection_of(connection)
    if known is None or not take_over(known, tracker):
        origin = getattr(connection, "_remote_origin", None) or connection._origin
        known = _track(connection, origin, tracker, known)
        known.adopted = True
    if known.adopted and not known.established_at:
        inner = protocol_connection(connection)
        if inner is not None:
            known.adopt(protocol_of(inner), tracker.clock())
            if known.protocol == "2":
                known.streams = {}
            _note(inner, known)
    return known


def _track(
    connection: Any, origin: Any, tracker: Tracker, before: TrackedConnection | None = None
) -> TrackedConnection:
    made = TrackedConnection(
        tracker,
        tracker.origin_of_connection(origin.host, origin.port, origin.scheme),
        tracker.clock(),
    )
    made.inherit(before)
    found: TrackedConnection = attach(connection, made, before)
    return found


def _note(inner: Any, connection: TrackedConnection) -> None:
    setattr(inner, CONNECTION, connection)
    if connection.protocol == "1.1":
        connection.reports_reads = time_reads(inner, connection)
        connection.reports_accept = is_patched(getattr(type(inner), SEND_HEADERS, None))
    else:
        connection.reports_reads = is_patched(getattr(type(inner), RECEIVE_EVENT, None))


def _deactivate_dropped(pool: Any, tracker: Tracker) -> None:
    """Stop counting connections that the pool has dropped, before it makes another one.

    The pool assigns their places to new requests before hooks record the end of the old requests:
    if a response is closed and its idle connection exceeds ``max_keepalive_connections``, or if a
    request is cancelled in the lock of its new connection.
    """
    kept = pool._connections
    if len(tracker.connections) > len(kept):
        known = set(map(connection_of, kept))
        for record in tuple(tracker.connections):
            if record.active and record not in known:
                record.deactivate()


def creating(*, timed: bool, is_async: bool) -> Callable[[Any], Any]:
    """Record that the pool makes a connection, and time its set-up if ``timed``."""

    def make(original: Any) -> Any:
        def create_connection(self_: Any, origin: Any) -> Any:
            connection = original(self_, origin)
            tracker: PoolTracker | None = getattr(self_, TRACKER, None)
            if tracker is None or connection_of(connection) is not None:
                return connection
            registry = tracker.registry
            try:
                # A closed pool still connects for requests that were queued in it. A tracker that
                # is known but not open yet is one whose tracking begins in another thread.
                known = registry.trackers.get(id(self_)) is tracker
                keeper = tracker if known else registry.still_queued_in(self_)
                if keeper is not None:
                    _deactivate_dropped(self_, keeper)
                    made = _track(connection, origin, keeper)
                    if timed:
                        time_setup(connection, made, secure=origin.scheme in (b"https", b"wss"))
                    if not is_async:
                        note_executor(self_, of_loop=True)
            except Exception as error:
                registry.failures.caught("httpcore.create", error)
            return connection

        return create_connection

    return make


def established(inner: Any) -> None:
    """Record that a protocol connection was built on a network stream."""
    connection: TrackedConnection | None = connection_of(inner._network_stream)
    if connection is not None and not connection.established_at:
        connection.tracker.established(connection, protocol_of(inner))
        _note(inner, connection)
        if hasattr(inner, "aclose"):
            note_loop(connection)


def closes(inner: Any) -> None:
    """Record that a protocol connection is closed, and why."""
    connection = connection_of(inner)
    if connection is not None and not connection.closed:
        if connection.streams is None and inner.is_idle():
            connection.tracker.given_back(connection)
        connection.close(close_reason(inner, connection))


def pool_closes(pool: Any) -> None:
    """Record that a pool is closed."""
    tracker: PoolTracker | None = getattr(pool, TRACKER, None)
    if tracker is not None and tracker.open:
        for known in map(connection_of, tuple(pool._connections)):
            if known is not None:
                known.closing = "pool_closed"
        tracker.discard("closed")
