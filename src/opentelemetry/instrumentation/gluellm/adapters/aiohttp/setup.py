"""Times of a connection's set-up.

aiohttp connects a socket, then makes the protocol for it, right before a TLS handshake. Through a
tunnel it makes one protocol for the proxy and then one for the origin.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

from ...pool.lease import TrackedConnection
from ...pool.ledger import is_host
from ...pool.phases import OTHER_STEP, PROXY, TLS
from .. import steps

_following: ContextVar[list[int]] = ContextVar("gluellm_aiohttp_steps")
"""Steps that begin when the protocols of the running set-up are made, in this order."""


def begin(record: TrackedConnection, request: Any) -> None:
    """Record that the set-up of a connection for a request starts."""
    proxy = getattr(request, "proxy", None)
    secure = request.url.scheme in ("https", "wss")
    _following.set([*([PROXY] if proxy else []), TLS] if secure else [])
    peer = proxy or request.url
    host, port = peer.raw_host, peer.port
    if host and port and is_host(host.lower()):
        record.peer = (host, port)
    steps.begin(record, host or "")


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
