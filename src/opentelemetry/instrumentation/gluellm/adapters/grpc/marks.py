"""Attributes that the instrumentation sets on gRPC's objects, besides those on a pool.

The pool is the channel. A sync channel is represented by its ``_call_state``, which its stubs keep
alive and which closes the connections when it is collected. The channel object itself may be gone
long before that.
"""

from __future__ import annotations

LEASE = "_gluellm_lease"
"""On a call of ``grpc.aio``, and on the object for a sync call in flight: its Lease."""
ORIGIN = "_gluellm_origin"
"""On a channel: host, port and scheme of its target."""
