"""Times of a connection's set-up.

aiohttp connects a socket, then makes the protocol for it, right before a TLS handshake. Through a
tunnel it makes one protocol for the proxy and then one for the origin.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from contextvars import ContextVar, Token
from typing import Any

from ...failures import Failures
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


def protocol_made(failures: Failures) -> Callable[[Any], Any]:
    """Record the end of the TCP connect when a tracked connection's protocol is constructed."""

    def make(original: Any) -> Any:
        def __init__(self_: Any, *args: Any, **kwargs: Any) -> None:
            original(self_, *args, **kwargs)
            record = _current.get()
            if record is None or record.established_at:
                return
            try:
                now = record.tracker.clock()
                record.connect_ended_at = record.connect_ended_at or now
                record.tls_started_at = now
            except Exception as error:
                failures.caught("aiohttp.protocol", error)

        return __init__

    return make


def secured(record: TrackedConnection, protocol: Any) -> None:
    """Record whether an established connection has TLS, and when the handshake ended."""
    transport = protocol.transport
    tls = transport.get_extra_info("ssl_object") if transport is not None else None
    if tls is None:
        record.tls_started_at = 0
        return
    record.tls_ended_at = record.tracker.clock()
    record.tls_version = tls.version()
