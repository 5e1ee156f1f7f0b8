"""Connections of httpcore and httpcore2 that are switched from HTTP/1.1 to a WebSocket.

The library builds an object of its own for the network stream of such a connection, and for no
other: what is here costs the rest nothing.
"""

from __future__ import annotations

import errno
from typing import Any

from ...pool.connection import WEBSOCKET, TrackedConnection
from .marks import connection_of, lease_of

SWITCHING_PROTOCOLS = 101
_CLOSED = "ClosedResourceError"
"""What anyio and trio raise in a read whose stream is closed on this side."""


def upgraded(stream: Any) -> None:
    """The network stream of a connection is handed over to whoever asked for another protocol."""
    connection: TrackedConnection | None = connection_of(stream)
    if connection is not None and _asked_for_websocket(connection):
        connection.switch(WEBSOCKET)


def _asked_for_websocket(connection: TrackedConnection) -> bool:
    """Whether its request did. A server switches only to what it was asked for (RFC 9110, 7.8)."""
    lease = connection.lease
    reference = connection.tracker.reference
    pool = reference() if reference is not None else None
    if lease is None or pool is None:
        return False
    for pool_request in tuple(pool._requests):
        if lease_of(pool_request) is lease:
            return any(
                name.lower() == b"upgrade" and value.lower() == b"websocket"
                for name, value in pool_request.request.headers
            )
    return False


def closed_here(error: BaseException) -> bool:
    """Whether a read failed because this side closed the stream meanwhile."""
    cause = error.__cause__ or error
    if type(cause).__name__ == _CLOSED:
        return True
    return isinstance(cause, OSError) and cause.errno == errno.EBADF
