"""What identifies requests and connections of httpcore and httpcore2."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

from ...pool.lease import Lease

FORWARDED: ContextVar[Lease | None] = ContextVar("gluellm_forwarded", default=None)
"""Lease of the request that is being sent through a forward proxy. The library makes a new request
object for the proxy, which carries no lease."""


def lease_of(pool_request: Any) -> Lease | None:
    """The lease of a pool request, the pool's object for one request.

    A request object can be in flight twice at once. Its leases are then distinguished by their
    tickets: each belongs to the pool request that it was first seen with.
    """
    ticket = id(pool_request)
    lease: Lease | None = pool_request.request._gluellm_lease
    while lease is not None and lease.ticket != ticket:
        if not lease.ticket:
            lease.ticket = ticket
            break
        lease = lease.previous
    return lease


def protocol_of(inner: Any) -> str:
    """The value of ``network.protocol.version`` for a protocol connection."""
    return "2" if hasattr(inner, "_h2_state") else "1.1"
