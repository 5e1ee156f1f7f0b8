"""Why httpcore and httpcore2 close a connection.

Neither says so: it is told from what the connection and its pool are at that moment.
"""

from __future__ import annotations

import sys
import time
from typing import Any

from ...pool.connection import TrackedConnection
from ...pool.lease import AWAITING_RESPONSE, Lease
from ...pool.ledger import OTHER
from ..error_types import error_type
from .connections import protocol_of
from .marks import connection_of


def close_reason(inner: Any, connection: TrackedConnection) -> str:
    """Why a protocol connection is being closed at this moment."""
    if connection.closing is not None:
        return connection.closing
    if getattr(inner, "_connection_terminated", None) is not None:
        return "goaway"
    if inner.is_idle():
        return _pools_reason(inner, connection)
    lease = connection.lease
    if lease is not None and not lease.ended and lease.connection is connection:
        error = lease.error or _passing_error(lease)
        if error is not None:
            lease.error = error
            return "cancelled" if error == "cancelled" else "error"
    states = getattr(inner, "_h11_state", None)
    if states is None:
        return "response_incomplete" if getattr(inner, "_events", None) else "connection_close"
    if str(states.their_state) in ("SEND_BODY", "SEND_RESPONSE"):
        return "response_incomplete"
    return "connection_close"


def _pools_reason(inner: Any, connection: TrackedConnection) -> str:
    """Why the pool closes an idle connection.

    A pass of the pool closes what has expired, then what exceeds the idle limit, then what makes
    room for another origin. It is over when the connections that it picked are closed.
    """
    if getattr(inner, "_connection_error", False):
        return "error"
    expires = inner._expire_at
    if expires is not None and time.monotonic() > expires:
        return "keepalive_expired"
    # The pool has just polled the socket in the same way. Not one that it has given to a request as
    # well, as httpcore 1.0 does (https://github.com/encode/httpcore/issues/1110): a poll lets other
    # threads run, and that request would begin on what is about to be closed.
    readable = inner._network_stream.get_extra_info
    if protocol_of(inner) == "1.1" and not connection.leases and readable("is_readable"):
        return "server_disconnect"
    reference = connection.tracker.reference
    pool = reference() if reference is not None else None
    if pool is None:
        return "garbage_collected"
    limit, most = pool._max_keepalive_connections, pool._max_connections
    if type(pool).__module__.partition(".")[0] == "httpcore" or not hasattr(inner, "can_multiplex"):
        # httpcore 1.0 holds the idle limit against all connections: a pool that is full and has a
        # lower limit has no idle connection left that could be evicted.
        return "keepalive_limit" if limit < most else "evicted"
    return "evicted" if limit >= most or _made_room(pool, connection, limit) else "keepalive_limit"


def _made_room(pool: Any, connection: TrackedConnection, limit: int) -> bool:
    """Whether httpcore2 has just put another origin's connection in the place of this idle one.

    The pool is full then. What exceeds the idle limit is closed down to the limit, while an
    eviction goes below it; but below is also where the pool gets that gives an idle one that it has
    kept to a request. Idle ones of requests that are not over don't count for it.
    """
    present = tuple(pool._connections)
    if len(present) < pool._max_connections:
        return False
    reserved = {id(request.connection) for request in tuple(pool._requests)}
    if sum(1 for other in present if other.is_idle() and id(other) not in reserved) >= limit:
        return False
    # One that was made for it has its first request under way. Many origins share one name.
    return any(
        other.leases
        and other.served <= 1
        and (other.origin.reported != connection.origin.reported or other.origin.address == OTHER)
        for other in map(connection_of, present)
        if other is not None
    )


def _passing_error(lease: Lease) -> str | None:
    """The error that makes the connection close itself.

    It does so while it handles the exception. A response that the application closes may be closed
    while the *application* handles one, which says nothing about the connection.
    """
    error = sys.exc_info()[1]
    if error is None:
        return None
    own = type(error).__module__.partition(".")[0] in ("httpcore", "httpcore2")
    interrupted = not isinstance(error, (Exception, GeneratorExit))
    if own or interrupted or lease.phase == AWAITING_RESPONSE:
        return error_type(error)
    return None
