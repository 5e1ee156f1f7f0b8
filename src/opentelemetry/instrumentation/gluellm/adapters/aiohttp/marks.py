"""Our notes on aiohttp's objects, beside those on a pool."""

from __future__ import annotations

from ..marks import TRACKER

LEASE = "_gluellm_lease"
"""On a request: its Lease, while it is on its way to a connection."""
CONNECTION = "_gluellm_connection"
"""On a connection's protocol, which lives as long as the connection: its TrackedConnection."""
ENTERING = "_gluellm_entering"
"""On a connector: lease and timeouts of the request that entered last. Between that and its place
in the queue nothing else runs on the connector's loop, and the queue is not told whose place it
is."""

__all__ = ["CONNECTION", "ENTERING", "LEASE", "TRACKER"]
