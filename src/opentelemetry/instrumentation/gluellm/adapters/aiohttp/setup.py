"""Times of a connection's set-up.

aiohttp connects a socket, then makes the protocol for it, right before a TLS handshake. Through a
tunnel it makes one protocol for the proxy and then one for the origin.
"""

from __future__ import annotations

import contextlib
from contextvars import ContextVar, Token
from typing import Any

from ...pool.lease import TrackedConnection
from ...pool.ledger import is_host

_current: ContextVar[TrackedConnection | None] = ContextVar("gluellm_setup", default=None)
"""The record of the connection that the running code establishes. Set-ups are rare, so setting it
adds no cost to most requests."""


def begin(record: TrackedConnection, request: Any) -> Token[TrackedConnection | None]:
    """Record that the set-up of a connection starts. `end` takes the token that this returns."""
    record.connect_started_at = record.tracker.clock()
    peer = getattr(request, "proxy", None) or request.url
    host, port = peer.raw_host, peer.port
    if host and port and is_host(host.lower()):
        record.peer = (host, port)
    return _current.set(record)


def end(token: Token[TrackedConnection | None]) -> None:
    """Leave the set-up, successful or not."""
    with contextlib.suppress(ValueError):  # a finalizer may close the coroutine in another context
        _current.reset(token)


def protocol_made(_: Any) -> None:
    """Record the end of the TCP connect, since the connection's protocol was constructed."""
    record = _current.get()
    if record is not None and not record.established_at:
        now = record.tracker.clock()
        record.connect_ended_at = record.connect_ended_at or now
        record.tls_started_at = now


def secured(record: TrackedConnection, protocol: Any) -> None:
    """Record whether an established connection has TLS, and when the handshake ended."""
    transport = protocol.transport
    tls = transport.get_extra_info("ssl_object") if transport is not None else None
    if tls is None:
        record.tls_started_at = 0
        return
    record.tls_ended_at = record.tracker.clock()
    record.tls_version = tls.version()
