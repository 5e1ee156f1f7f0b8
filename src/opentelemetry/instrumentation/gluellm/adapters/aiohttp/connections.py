"""Connections of aiohttp: their records, the times of their set-up, their close reasons.

A record is an attribute of the connection's protocol and lives as long as the protocol.

aiohttp connects a socket, then makes the protocol for it, right before a TLS handshake. Through a
tunnel it makes one protocol for the proxy and then one for the origin.
"""

from __future__ import annotations

import sys
from contextvars import ContextVar
from typing import Any

from ...patching import is_hooked
from ...pool.lease import Lease, TrackedConnection
from ...pool.ledger import OriginLedger, is_host
from ...pool.tracker import PoolTracker
from ...vocabulary import OTHER_STEP, PROXY, TLS
from .. import steps
from ..loops import note_loop
from ..marks import CONNECTION, attach

_FINALIZER = "__del__"
_DEPTH = 9
_following: ContextVar[list[int]] = ContextVar("gluellm_aiohttp_steps")
"""Steps that begin when the protocols of the running set-up are made, in this order."""


def connecting(lease: Lease, request: Any) -> TrackedConnection:
    """Create the record of a connection that a request starts to establish."""
    tracker = lease.tracker
    record = TrackedConnection(tracker, lease.origin, tracker.clock())
    tracker.connections[record] = None
    tracker.assigned(lease, record)
    proxy = getattr(request, "proxy", None)
    secure = request.url.scheme in ("https", "wss")
    _following.set([*([PROXY] if proxy else []), TLS] if secure else [])
    peer = proxy or request.url
    host, port = peer.raw_host, peer.port
    if host and port and is_host(host.lower()):
        record.peer = (host, port)
    steps.begin(record, host or "")
    return record


def protocol_made(_: Any) -> None:
    """Record the end of the TCP connect, since the connection's protocol was constructed."""
    record = steps.SET_UP.get()
    if record is not None and not record.established_at:
        now = record.tracker.clock()
        record.connect_ended_at = record.connect_ended_at or now
        record.tls_started_at = now
        following = _following.get([])
        record.enter_step(following.pop(0) if following else OTHER_STEP, now)


def secured(record: TrackedConnection, protocol: Any) -> None:
    """Record whether an established connection has TLS, and when the handshake ended."""
    transport = protocol.transport
    record.network_type = steps.network_type(transport)
    tls = transport.get_extra_info("ssl_object") if transport is not None else None
    if tls is None:
        record.tls_started_at = 0
        return
    record.tls_ended_at = record.tracker.clock()
    record.tls_version = tls.version()


def connected(record: TrackedConnection, protocol: Any) -> None:
    """Record that a connection is established, and attach the record to its protocol."""
    record.reports_reads = is_hooked("aiohttp", "StreamReader", "_wait")
    setattr(protocol, CONNECTION, record)
    record.tracker.established(record, "1.1")
    note_loop(record)


def record_of_idle(protocol: Any, origin: OriginLedger, tracker: PoolTracker) -> TrackedConnection:
    """The record of a connection. A connection that was not tracked before gets one now."""
    known: TrackedConnection | None = getattr(protocol, CONNECTION)
    if known is not None and known.tracker is tracker:
        return known
    made = TrackedConnection(tracker, origin, tracker.clock())
    made.adopt("1.1", made.created_at)
    made.reports_reads = is_hooked("aiohttp", "StreamReader", "_wait")
    found: TrackedConnection = attach(protocol, made, known)
    return found


def closed(record: TrackedConnection, reason: str) -> None:
    """Record that a connection is being closed. The finalizer rule (``pool/lease.py``) applies."""
    lease = record.lease
    record.close(reason)
    if lease is not None and not lease.ended_at:
        # The pool is closed during a response. The lease ends when the response is released.
        record.lease = lease


def close_reason_of(protocol: Any, record: TrackedConnection) -> str:
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
    if protocol.upgraded or is_complete(protocol):
        return "connection_close"
    if in_finalizer():
        return "garbage_collected"
    lease.note_cut(sys.exc_info()[1])
    return "response_incomplete"


def is_complete(protocol: Any) -> bool:
    """Whether all of the response has arrived, as far as it is known."""
    payload = getattr(protocol, "_payload", None)  # a release must end even without it
    return payload is None or payload.is_eof()


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
