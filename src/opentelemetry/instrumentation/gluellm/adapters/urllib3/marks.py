"""Our notes on objects of urllib3, beside those on a pool."""

from __future__ import annotations

from typing import Any

from ...pool.connection import TrackedConnection
from ...pool.lease import Lease

CONNECTION = "_gluellm_connection"
"""On a connection: the TrackedConnection of its present socket. One object of urllib3 connects
again after it was closed, which is another connection then."""
REFERENCE = "_gluellm_reference"
"""On a connection: the weak reference to it that tells when it is gone."""
LEASE = "_gluellm_lease"
"""On a response: its Lease; False where it is known to have none."""
ASKED = "_gluellm_asked"
"""On a pool: host, port and scheme of its origin, as a tracker takes them."""
EXECUTOR = "_gluellm_executor"
"""On a pool: a weak reference to the executor whose threads send its requests."""


def connection_of(connection: Any) -> TrackedConnection | None:
    """The note on a connection whose class may be unknown to us."""
    found: TrackedConnection | None = getattr(connection, CONNECTION, None)
    return found


def running(record: TrackedConnection | None) -> Lease | None:
    """The lease that has a connection now."""
    if record is None:
        return None
    lease = record.lease
    return lease if lease is not None and not lease.ended and lease.connection is record else None
