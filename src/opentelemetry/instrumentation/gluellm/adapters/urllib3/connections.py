"""Connections of urllib3: their records, their set-up and their close reasons.

A pool of urllib3 keeps its idle connections in a queue and has no list of those in use. So the
record of a connection is created when a request first gets it, as an attribute of the library's
object.
"""

from __future__ import annotations

import sys
import weakref
from types import NoneType
from typing import Any, Final

from ...concurrency import snapshot_of
from ...patching import is_hooked
from ...pool.lease import Lease, TrackedConnection
from ...pool.ledger import is_host
from ...pool.registry import PoolRegistry
from ...pool.tracker import PoolTracker
from ...vocabulary import CONNECTING, OTHER_STEP, PROXY, READING, TLS
from .. import steps
from ..error_types import refuses_to_send
from ..marks import attach, connection_of, take_over
from .failures import fail, failed, failure_of
from .responses import IN_HEAD

REFERENCE = "_gluellm_reference"
"""On a connection: the weak reference whose callback runs when the connection is collected."""
POOL_ORIGIN = "_gluellm_pool_origin"
"""On a pool: host, port and scheme of its origin, in the form that a tracker takes."""
_HTTPS = 443
"""Default port of the classes that connect with TLS."""
_LIBRARIES: Final = ("urllib3", "http.client")
"""Modules whose exceptions are about the request. Any other exception may be one that the
application was handling when it sent the request."""


def pool_origin(pool: Any) -> tuple[bytes, int | None, bytes]:
    """The origin of a pool, in the form that a tracker takes. A pool of urllib3 has one origin."""
    origin: tuple[bytes, int | None, bytes] | None = getattr(pool, POOL_ORIGIN, None)
    if origin is None:
        origin = (
            str(pool.host).encode("ascii", "replace"),
            pool.port,
            str(pool.scheme or "http").encode("ascii", "replace"),
        )
        setattr(pool, POOL_ORIGIN, origin)
    return origin


def running(record: TrackedConnection) -> Lease | None:
    """The lease that uses a connection now."""
    lease = record.lease
    if lease is None or lease.ended_at or lease.connection is not record:
        return None
    return lease


class _Reference(weakref.ref[Any]):
    __slots__ = ("record",)
    record: TrackedConnection
    # By identity: connections of a third party's class may be unhashable or equal to each other.
    __hash__ = object.__hash__
    __eq__ = object.__eq__


_references: set[_Reference] = set()
"""Keeps the references alive. If one were collected in a cycle together with its connection, its
callback would not run."""


def _connection_is_gone(reference: weakref.ref[Any]) -> None:
    # The garbage collector calls this, so the finalizer rule (``pool/lease.py``) applies. The cause
    # is a response that was read to its end and never released.
    _references.discard(reference)
    record: TrackedConnection = reference.record  # type: ignore[attr-defined]
    if record.closed:
        return
    lease = running(record)
    if lease is not None:
        if _never_used(record):
            unsent(record, lease)
        elif lease.answered_at:
            lease.tracker.released(lease)
        else:
            lease.tracker.failed(lease, "cancelled", in_finalizer=True)
    record.close("garbage_collected")


def record_of(connection: Any, pool: Any, tracker: PoolTracker) -> TrackedConnection:
    """The record of a connection that a pool hands out or holds. Creates one if necessary."""
    record: TrackedConnection | None = connection_of(connection)
    connected = getattr(connection, "sock", None) is not None
    if record is not None and not record.closed and take_over(record, tracker):
        if connected or not record.established_at:
            return record
        record.close("connection_close")  # a subclass closed it without the library's method
    before, origin = record, tracker.origin_of_connection(*pool_origin(pool))
    record = TrackedConnection(tracker, origin, tracker.clock())
    record.reports_reads = is_hooked("urllib3.response", "HTTPResponse", "_fp_read")
    reference = getattr(connection, REFERENCE, None)
    if reference is None:
        reference = _Reference(connection, _connection_is_gone)
        # Set first, for the callback: a signal handler may raise here, and free the connection.
        reference.record = record
        setattr(connection, REFERENCE, reference)
        _references.add(reference)
    reference.record = record
    if connected:
        record.adopt(_protocol(connection), record.created_at)
        record.inherit(before)
    found: TrackedConnection = attach(connection, record, before)
    reference.record = found
    return found


def connected_sockets() -> list[tuple[TrackedConnection, Any]]:
    """All connections that have a socket now, in any pool or in use, each with its socket."""
    there = ((known.record, known()) for known in snapshot_of(lambda: _references))
    found = [(record, getattr(connection, "sock", None)) for record, connection in there]
    return [(record, sock) for record, sock in found if sock is not None]


def _protocol(connection: Any) -> str:
    # HTTP/2 in urllib3 is opt-in and has one stream at a time.
    return "2" if hasattr(connection, "_h2_conn") else "1.1"


class Urllib3ConnectionHooks:
    """Replacements for methods of a connection."""

    def __init__(self, registry: PoolRegistry) -> None:
        self._registry = registry

    def connect(self, original: Any) -> Any:
        """Record the whole set-up: TCP, a proxy's part, TLS."""
        registry = self._registry
        clock = registry.clock

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
                record.set_up(OTHER_STEP, clock())
                result = original(self_)
                try:
                    _connected(self_, record, clock())
                except Exception as error:
                    registry.failures.caught("urllib3.connected", error)
            except BaseException as error:
                # Recorded here, not when the connection is closed: a back-off may come before that.
                lease = running(record)
                if lease is not None:
                    failed(lease, error)
                raise
            return result

        return connect

    def new_socket(self, original: Any) -> Any:
        """Record the TCP connect, to the origin or to a proxy."""
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
                steps.begin(record, host)
            except Exception as error:
                registry.failures.caught("urllib3.peer", error)
            with steps.within(record):
                sock = original(self_)
            record.connect_ended_at = record.tls_started_at = now = clock()
            try:
                following = TLS if getattr(self_, "default_port", None) == _HTTPS else OTHER_STEP
                record.enter_step(PROXY if getattr(self_, "_tunnel_host", None) else following, now)
                record.network_type = steps.NETWORK_TYPES.get(getattr(sock, "family", None))
            except Exception as error:
                registry.failures.caught("urllib3.peer", error)
            return sock

        return _new_conn

    def tunnel(self, original: Any) -> Any:
        """Record that a proxy has opened a tunnel: the handshake with the origin starts."""
        clock = self._registry.clock

        def _tunnel(self_: Any) -> Any:
            result = original(self_)
            record = self_._gluellm_connection
            if record is not None and record.connect_ended_at:
                record.tls_started_at = now = clock()
                record.enter_step(TLS, now)
            return result

        return _tunnel

    def closes(self, connection: Any) -> None:
        """Record that the socket is closed, or passed to a response that is the last one on it."""
        record = connection._gluellm_connection
        if record is not None and not record.closed and record.tracker.registry is self._registry:
            _closing(record)


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
        record.switch("2")


def _closing(record: TrackedConnection) -> None:
    """Record that a connection is about to be closed.

    The finalizer rule (``pool/lease.py``) applies.
    """
    lease = running(record)
    if lease is None:
        record.close(_idle_reason(record))
    elif IN_HEAD.get() is lease:
        # http.client passes the socket to the response, which is still to be read.
        record.closing = "connection_close"
    elif lease.answered_at:
        # During a read the hook on the read ends the lease, since it gets the exception.
        reading = lease.phase == READING and lease.error is None
        record.close(record.closing or ("error" if reading else "response_incomplete"))
        if not reading:
            lease.tracker.released(lease)
    elif lease.phase != CONNECTING or not record.connect_started_at:
        # Sending failed or was interrupted. The hook on ``connect`` records a failed set-up.
        error = sys.exc_info()[1]
        known = isinstance(error, OSError) or not isinstance(error, (Exception, NoneType))
        known = known or (isinstance(error, Exception) and refuses_to_send(error))
        if error is None and _never_used(record):
            unsent(record, lease)
        elif error is not None and (known or type(error).__module__.startswith(_LIBRARIES)):
            fail(lease, failure_of(lease, error), in_finalizer=True)
        else:
            fail(lease, "write_error", in_finalizer=True)


def _idle_reason(record: TrackedConnection) -> str:
    if record.closing is not None:
        return record.closing
    pool = record.tracker.live_pool()
    if pool is None:
        return "garbage_collected"
    if pool.pool is None:
        return "pool_closed"
    # A request that takes an idle connection may find that the peer has closed it. Without such a
    # request the pool's finalizer closes it, which also runs at the end of the process.
    taking = any(
        lease.connection is None and not lease.ended_at
        for lease in snapshot_of(record.tracker.leases.keys)
    )
    return "server_disconnect" if taking else "pool_closed"


def unsent(record: TrackedConnection, lease: Lease) -> None:
    """End a lease whose request was never sent on its connection, without recording it.

    Example: vcrpy (9.4) answers in place of the connection. The finalizer rule (``pool/lease.py``)
    applies.
    """
    record.tracker.discard_lease(lease)
    record.first_lease = None


def _never_used(record: TrackedConnection) -> bool:
    return not record.established_at and not record.connect_started_at
