"""Attributes that the instrumentation sets on urllib3's objects, besides those on every pool."""

from __future__ import annotations

from typing import Any

from ...pool.connection import TrackedConnection
from ...pool.lease import Lease

CONNECTION = "_gluellm_connection"
"""On a connection: the TrackedConnection of its current socket. urllib3's object can connect again
after it was closed, and then gets a new record."""
REFERENCE = "_gluellm_reference"
"""On a connection: the weak reference whose callback runs when the connection is collected."""
LEASE = "_gluellm_lease"
"""On a response: its Lease; False if it is known to have none."""
ASKED = "_gluellm_asked"
"""On a pool: host, port and scheme of its origin, in the form that a tracker takes."""
EXECUTOR = "_gluellm_executor"
"""On a pool: a weak reference to the executor whose threads send its requests."""


def connection_of(connection: Any) -> TrackedConnection | None:
    """The record of a connection, or None. For connections whose class may have no default."""
    found: TrackedConnection | None = getattr(connection, CONNECTION, None)
    return found


def running(record: TrackedConnection | None) -> Lease | None:
    """The lease that uses a connection now."""
    if record is None:
        return None
    lease = record.lease
    return lease if lease is not None and not lease.ended and lease.connection is record else None
