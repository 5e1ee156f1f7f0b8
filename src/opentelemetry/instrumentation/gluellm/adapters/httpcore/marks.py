"""Our notes on the library's objects: attributes, so that a note goes when its object goes.

Each class gets the attribute with None as its default, so that reading it is one look-up, with no
exception and without making the instance build its ``__dict__``. The defaults are inert and stay.
"""

from __future__ import annotations

from typing import Any

from ...pool.lease import Lease

TRACKER = "_gluellm_tracker"
"""On a pool: its PoolTracker, once it is tracked."""
OWNER = "_gluellm_owner"
"""On a pool: its Owner, where it was built inside an any-llm call or handed in by the user."""
LEASE = "_gluellm_lease"
"""On a request: its Lease."""
CONNECTION = "_gluellm_connection"
"""On a connection, on the network stream that it gets, and on the protocol connection inside: its
TrackedConnection."""


def give_defaults(owner: type | None, *names: str) -> None:
    """Make ``names`` readable on every instance of a class."""
    for name in names:
        if owner is not None and not hasattr(owner, name):
            setattr(owner, name, None)


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
