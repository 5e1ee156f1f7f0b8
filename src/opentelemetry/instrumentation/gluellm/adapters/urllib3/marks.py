"""Attributes that the instrumentation sets on urllib3's objects, besides those on every pool."""

from __future__ import annotations

from ...pool.lease import Lease, TrackedConnection

REFERENCE = "_gluellm_reference"
"""On a connection: the weak reference whose callback runs when the connection is collected."""
POOL_ORIGIN = "_gluellm_pool_origin"
"""On a pool: host, port and scheme of its origin, in the form that a tracker takes."""
EXECUTOR = "_gluellm_executor"
"""On a pool: a weak reference to the executor whose threads send its requests."""


def running(record: TrackedConnection | None) -> Lease | None:
    """The lease that uses a connection now."""
    if record is None:
        return None
    lease = record.lease
    return lease if lease is not None and not lease.ended and lease.connection is record else None
