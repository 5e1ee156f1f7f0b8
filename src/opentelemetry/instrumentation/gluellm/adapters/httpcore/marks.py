"""Our notes on objects of httpcore and httpcore2, beside those on a pool."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

from ...pool.lease import Lease

LEASE = "_gluellm_lease"
"""On a request: its Lease."""
CONNECTION = "_gluellm_connection"
"""On a connection, on the network stream that it gets, and on the protocol connection inside: its
TrackedConnection."""

FORWARDED: ContextVar[Lease | None] = ContextVar("gluellm_forwarded", default=None)
"""The lease of the request that is being sent through a forward proxy. The library makes a new
request object for the proxy, which carries no lease."""


def connection_of(connection: Any) -> Any:
    """The note on a connection whose class may be unknown to us."""
    return getattr(connection, CONNECTION, None)


def lease_of(pool_request: Any) -> Lease | None:
    """The lease of a pool's own object for a request.

    A request object can be under way twice at once; then the leases are told apart by which of the
    pool's objects they were first seen with.
    """
    ticket = id(pool_request)
    lease: Lease | None = pool_request.request._gluellm_lease
    while lease is not None and lease.ticket != ticket:
        if not lease.ticket:
            lease.ticket = ticket
            break
        lease = lease.previous
    return lease
