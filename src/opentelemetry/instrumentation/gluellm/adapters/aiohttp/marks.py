"""Attributes that the instrumentation sets on aiohttp's objects, besides those on a pool."""

from __future__ import annotations

from ..marks import TRACKER

LEASE = "_gluellm_lease"
"""On a request: its Lease. Needed until the request has its connection."""
CONNECTION = "_gluellm_connection"
"""On a connection's protocol, which lives as long as the connection: its TrackedConnection."""
ENTERING = "_gluellm_entering"
"""On a connector: lease and timeouts of the request that entered last. The method that queues a
request does not get the request, but nothing else runs on the connector's loop between entering
and queueing."""

__all__ = ["CONNECTION", "ENTERING", "LEASE", "TRACKER"]
