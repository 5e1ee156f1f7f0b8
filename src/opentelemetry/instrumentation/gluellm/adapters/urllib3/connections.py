"""Connections of urllib3: their records, their set-up, and why they are closed.

A pool of urllib3 keeps its idle connections in a queue and knows nothing of those in use. So a
connection is known from the first request that gets it, by a note on the library's own object.
"""

from __future__ import annotations

import sys
import weakref
from types import NoneType
from typing import Any, Final

from ...concurrency import snapshot_of
from ...patching import is_patched
from ...pool.connection import TrackedConnection
from ...pool.lease import CONNECTING, READING, Lease
from ...pool.registry import PoolRegistry, is_host
from ...pool.tracker import PoolTracker
from .failures import fail, failure_of
from .marks import ASKED, CONNECTION, REFERENCE, connection_of, running
from .responses import IN_HEAD

_LIBRARIES: Final = ("urllib3", "http.client")
"""Whose exceptions are about the request. Another one may be the application's, which sends the
request while it handles that."""


def asked_of(pool: Any) -> tuple[bytes, int | None, bytes]:
    """The origin of a pool, as a tracker takes it. A pool of urllib3 has one."""
    asked: tuple[bytes, int | None, bytes] | None = getattr(pool, ASKED, None)
    if asked is None:
        asked = (
            str(pool.host).encode("ascii", "replace"),
            pool.port,
            str(pool.scheme or "http").encode("ascii", "replace"),
        )
        setattr(pool, ASKED, asked)
    return asked


class _Reference(weakref.ref[Any]):
    __slots__ = ("record",)
    record: TrackedConnection
    # By identity: a connection of somebody else's class may not be hashable, or equal to others.
    __hash__ = object.__hash__
    __eq__ = object.__eq__


_references: set[_Reference] = set()
"""Here too, and not only on the connections: of one that goes in a cycle with its connection,
nobody is told."""


def _connection_is_gone(reference: weakref.ref[Any]) -> None:
    # The garbage collector calls this, at any place of any thread: plain numbers only. It happens
    # to a connection whose response was read to its end and never released.
    _references.discard(reference)
    record: TrackedConnection = reference.record  # type: ignore[attr-defined]
    if record.closed:
        return
    lease = running(record)
    if lease is not None:
        if _never_used(record):
            unsent(record, lease)
        else:
            _end(lease, "cancelled")
    record.close("garbage_collected")


def record_of(connection: Any, pool: Any, tracker: PoolTracker) -> TrackedConnection:
    """What we know of a connection that a pool hands out or holds."""
    record = connection_of(connection)
    connected = getattr(connection, "sock", None) is not None
    if record is not None and not record.closed and record.tracker is tracker:
        if connected or not record.established_at:
            return record
        record.close("connection_close")  # by a class that does so without the library's method
    record = TrackedConnection(
        tracker, tracker.origin_of_connection(*asked_of(pool)), tracker.clock()
    )
    record.reports_reads = _reports_reads()
    reference = getattr(connection, REFERENCE, None)
    if reference is None:
        reference = _Reference(connection, _connection_is_gone)
        # First of all: a signal handler may raise in here, and the connection be gone then.
        reference.record = record
        setattr(connection, REFERENCE, reference)
        _references.add(reference)
    reference.record = record
    setattr(connection, CONNECTION, record)
    tracker.connections[record] = None
    if connected:
        record.adopted = True
        record.established_at = record.created_at
        record.served = 1
        record.protocol = _protocol(connection)
        record.origin.protocols.add(record.protocol)
    return record


def with_sockets() -> set[TrackedConnection]:
    """What is known of all connections that are connected now, whoever has them."""
    there = ((known.record, known()) for known in snapshot_of(lambda: _references))
    return {record for record, found in there if getattr(found, "sock", None) is not None}


def _reports_reads() -> bool:
    response = getattr(sys.modules.get("urllib3.response"), "HTTPResponse", None)
    return is_patched(getattr(response, "_fp_read", None))


def _protocol(connection: Any) -> str:
    # urllib3's own HTTP/2 is opt-in, and has one stream at a time.
    return "2" if hasattr(connection, "_h2_conn") else "1.1"


class ConnectionHooks:
    """Replacements for the methods that a connection passes through."""

    def __init__(self, registry: PoolRegistry) -> None:
        self._registry = registry

    def connect(self, original: Any) -> Any:
        """The whole set-up: TCP, what a proxy asks for, TLS."""
        registry = self._registry
        clock = registry.clock
        failures = registry.failures
        failed = self._failed

        def connect(self_: Any) -> Any:
            record = self_._gluellm_connection
            if (
                record is None
                or record.established_at
                or record.closed
                or record.tracker.registry is not registry
            ):
                return original(self_)
            try:
                record.connect_started_at = record.connect_started_at or clock()
                result = original(self_)
                try:
                    _connected(self_, record, clock())
                except Exception as error:
                    failures.caught("urllib3.connected", error)
            except BaseException as error:
                # Here, and not where the connection is closed: a back-off may come first.
                lease = running(record)
                if lease is not None:
                    failed(lease, error)
                raise
            return result

        return connect

    def _failed(self, lease: Lease, error: BaseException) -> None:
        try:
            fail(lease, failure_of(lease, error))
        except Exception as own:
            self._registry.failures.caught("urllib3.failed", own)

    def new_socket(self, original: Any) -> Any:
        """The TCP connection, to the origin or to a proxy."""
        registry = self._registry
        clock = registry.clock

        def _new_conn(self_: Any) -> Any:
            record = self_._gluellm_connection
            if record is None or not record.connect_started_at:
                return original(self_)
            try:
                host, port = self_.host, self_.port
                if isinstance(host, str) and is_host(host.lower()):
                    record.peer = (host, port)
            except Exception as error:
                registry.failures.caught("urllib3.peer", error)
            sock = original(self_)
            record.connect_ended_at = record.tls_started_at = clock()
            return sock

        return _new_conn

    def tunnel(self, original: Any) -> Any:
        """A proxy has let us through; the handshake with the origin comes now."""
        clock = self._registry.clock

        def _tunnel(self_: Any) -> Any:
            result = original(self_)
            record = self_._gluellm_connection
            if record is not None and record.connect_ended_at:
                record.tls_started_at = clock()
            return result

        return _tunnel

    def close(self, original: Any) -> Any:
        """The socket is closed, or handed on to the response that says it is the last one."""
        registry = self._registry
        failures = registry.failures

        def close(self_: Any) -> Any:
            record = self_._gluellm_connection
            if record is not None and not record.closed and record.tracker.registry is registry:
                try:
                    closing(record)
                except Exception as error:
                    failures.caught("urllib3.close", error)
            return original(self_)

        return close


def _connected(connection: Any, record: TrackedConnection, now: int) -> None:
    sock = connection.sock
    if sock is None:
        return
    version = getattr(sock, "version", None)
    if callable(version):
        record.tls_ended_at = now
        record.tls_version = version()
    else:
        record.tls_started_at = 0
    record.connect_ended_at = record.connect_ended_at or now
    record.tracker.established(record, "1.1")
    if _protocol(connection) == "2":
        record.protocol = "2"
        record.origin.protocols.add("2")


def closing(record: TrackedConnection) -> None:
    """A connection is about to be closed. Reached by finalizers."""
    lease = running(record)
    if lease is None:
        record.close(_idle_reason(record))
    elif IN_HEAD.get() is lease:
        # http.client hands the socket to the response, which is read to its end yet.
        record.closing = "connection_close"
    elif lease.answered_at:
        # Within a read it is the read that fails, which tells with what.
        reading = lease.phase == READING and lease.error is None
        record.close(record.closing or ("error" if reading else "response_incomplete"))
        if not reading:
            lease.tracker.released(lease)
    elif lease.phase != CONNECTING or not record.connect_started_at:
        # It failed while it was sent, or was interrupted on the way. A set-up that fails tells so.
        error = sys.exc_info()[1]
        known = isinstance(error, OSError) or not isinstance(error, (Exception, NoneType))
        if error is None and _never_used(record):
            unsent(record, lease)
        elif error is not None and (known or type(error).__module__.startswith(_LIBRARIES)):
            fail(lease, failure_of(lease, error), in_finalizer=True)
        else:
            fail(lease, "write_error", in_finalizer=True)


def _idle_reason(record: TrackedConnection) -> str:
    if record.closing is not None:
        return record.closing
    reference = record.tracker.reference
    pool = reference() if reference is not None else None
    if pool is None:
        return "garbage_collected"
    if pool.pool is None:
        return "pool_closed"
    # A request that takes one finds that the peer has closed it. With no request about to get one,
    # it is the finalizer of the pool, which runs at the end of the process too.
    taking = any(
        lease.connection is None and not lease.ended
        for lease in snapshot_of(record.tracker.leases.keys)
    )
    return "server_disconnect" if taking else "pool_closed"


def unsent(record: TrackedConnection, lease: Lease) -> None:
    """End a lease whose request never went over its connection. Finalizers may call it.

    vcrpy (9.4) answers in place of the connection.
    """
    record.tracker.discard_lease(lease)
    record.first_lease = None


def _never_used(record: TrackedConnection) -> bool:
    return not record.established_at and not record.connect_started_at


def _end(lease: Lease, error: str) -> None:
    if lease.answered_at:
        lease.tracker.released(lease)
    else:
        lease.tracker.failed(lease, error, in_finalizer=True)
