"""Close reasons of connections of httpcore and httpcore2.

The libraries report no reason. It is derived from the state of the connection and its pool when
the connection is closed.
"""

from __future__ import annotations

import sys
import time
from typing import Any

from ...pool.lease import Lease, TrackedConnection
from ...pool.ledger import OTHER
from ...vocabulary import AWAITING_RESPONSE
from ..error_types import error_type
from ..marks import connection_of


def protocol_of(inner: Any) -> str:
    """The value of ``network.protocol.version`` for a protocol connection."""
    return "2" if hasattr(inner, "_h2_state") else "1.1"


def close_reason(inner: Any, connection: TrackedConnection) -> str:
    """The close reason of a protocol connection that is being closed now."""
    if connection.closing is not None:
        return connection.closing
    if getattr(inner, "_connection_terminated", None) is not None:
        return "goaway"
    if inner.is_idle():
        return _pools_reason(inner, connection)
    lease = connection.lease
    if lease is not None and not lease.ended_at and lease.connection is connection:
        error = lease.error or _passing_error(lease)
        if error is not None:
            lease.note_error(error)
        if lease.error is not None:
            return "cancelled" if lease.error == "cancelled" else "error"
    states = getattr(inner, "_h11_state", None)
    if states is None:
        return "response_incomplete" if getattr(inner, "_events", None) else "connection_close"
    if str(states.their_state) in ("SEND_BODY", "SEND_RESPONSE"):
        if lease is not None:
            lease.note_cut(sys.exc_info()[1])
        return "response_incomplete"
    return "connection_close"


def _pools_reason(inner: Any, connection: TrackedConnection) -> str:
    """The reason for which the pool closes an idle connection.

    A pass of the pool picks expired connections, then those over the idle limit, then those that
    have to make room for another origin. The picked ones are closed when the pass has ended.
    """
    if getattr(inner, "_connection_error", False):
        return "error"
    expires = inner._expire_at
    if expires is not None and time.monotonic() > expires:
        return "keepalive_expired"
    # The pool has just polled the socket in the same way. A connection that httpcore 1.0 has also
    # assigned to a request (https://github.com/encode/httpcore/issues/1110) is not polled: a poll
    # lets other threads run, and that request would start on a connection about to be closed.
    readable = inner._network_stream.get_extra_info
    if protocol_of(inner) == "1.1" and not connection.leases and readable("is_readable"):
        return "server_disconnect"
    pool = connection.tracker.live_pool()
    if pool is None:
        return "garbage_collected"
    limit, most = pool._max_keepalive_connections, pool._max_connections
    if type(pool).__module__.partition(".")[0] == "httpcore" or not hasattr(inner, "can_multiplex"):
        # httpcore 1.0 compares all connections with the idle limit: a full pool with a lower idle
        # limit has no idle connection left to evict.
        return "keepalive_limit" if limit < most else "evicted"
    return "evicted" if limit >= most or _made_room(pool, connection, limit) else "keepalive_limit"


def _made_room(pool: Any, connection: TrackedConnection, limit: int) -> bool:
    """Whether httpcore2 has just replaced this idle connection by one to another origin.

    The pool is then full, and has fewer idle connections than the idle limit: closing what exceeds
    the limit stops at the limit. Assigning a kept idle connection to a request has the same effect,
    so a new connection to another origin has to exist as well. The pool does not count idle
    connections of requests that have not ended.
    """
    present = tuple(pool._connections)
    if len(present) < pool._max_connections:
        return False
    reserved = {id(request.connection) for request in tuple(pool._requests)}
    if sum(1 for other in present if other.is_idle() and id(other) not in reserved) >= limit:
        return False
    # The new connection has its first request in flight. Origins beyond the bound report OTHER.
    return any(
        other.leases
        and other.served <= 1
        and (other.origin.reported != connection.origin.reported or other.origin.address == OTHER)
        for other in map(connection_of, present)
        if other is not None
    )


def _passing_error(lease: Lease) -> str | None:
    """``error.type`` of the exception that makes the connection close itself.

    The connection is handling that exception now. The application may also close a response while
    *it* handles an exception, which is not about the connection.
    """
    error = sys.exc_info()[1]
    if error is None:
        return None
    own = type(error).__module__.partition(".")[0] in ("httpcore", "httpcore2")
    interrupted = not isinstance(error, (Exception, GeneratorExit))
    if own or interrupted or lease.phase == AWAITING_RESPONSE:
        return error_type(error)
    return None
