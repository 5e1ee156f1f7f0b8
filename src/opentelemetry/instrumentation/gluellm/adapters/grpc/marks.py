"""Our notes on objects of gRPC, beside those on a pool.

The pool is the channel. A sync channel is stood for by what its stubs keep alive and what closes
the connections when it goes: its own object may be gone long before that.
"""

from __future__ import annotations

LEASE = "_gluellm_lease"
"""On a call of ``grpc.aio``, and on what stands for a sync one under way: its Lease."""
ORIGIN = "_gluellm_origin"
"""On a channel: host, port and scheme, as its target has them."""
