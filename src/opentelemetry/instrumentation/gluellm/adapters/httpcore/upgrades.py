"""Connections of httpcore and httpcore2 that switch from HTTP/1.1 to WebSocket.

The library builds a special network stream for such connections only, so the hook on it costs
other connections nothing.
"""

from __future__ import annotations

import errno
from typing import Any

from ...pool.lease import TrackedConnection
from ...pool.phases import WEBSOCKET
from ..marks import LEASE, connection_of

SWITCHING_PROTOCOLS = 101
_CLOSED = "ClosedResourceError"
"""Raised by anyio and trio in a read whose stream is closed on this side."""


def upgraded(switched: Any) -> None:
    """Record the switch: the special stream of a connection was built on its network stream."""
    connection: TrackedConnection | None = connection_of(switched._stream)
    if connection is not None and _asked_for_websocket(connection):
        connection.switch(WEBSOCKET)


def _asked_for_websocket(connection: TrackedConnection) -> bool:
    """Whether the request asked for WebSocket. Servers switch only on request (RFC 9110, 7.8)."""
    lease = connection.lease
    pool = connection.tracker.live_pool()
    if lease is None or pool is None:
        return False
    for pool_request in tuple(pool._requests):
        if getattr(pool_request.request, LEASE) is lease:
            return any(
                name.lower() == b"upgrade" and value.lower() == b"websocket"
                for name, value in pool_request.request.headers
            )
    return False


def closed_here(error: BaseException) -> bool:
    """Whether a read failed because this side closed the stream during the read."""
    cause = error.__cause__ or error
    if type(cause).__name__ == _CLOSED:
        return True
    return isinstance(cause, OSError) and cause.errno == errno.EBADF
