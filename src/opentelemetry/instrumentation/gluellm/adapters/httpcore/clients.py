"""Pools of httpx and httpx2 clients."""

from __future__ import annotations

from typing import Any


def httpcore_pools(client: Any) -> list[Any]:
    """The pools of an httpx or httpx2 client, or of an SDK client that holds one.

    For a pool, the pool itself. Empty for anything else.
    """
    if hasattr(client, "_connections") and hasattr(client, "_requests"):
        return [client]
    holder = client
    for _ in range(3):
        if hasattr(holder, "_transport") and hasattr(holder, "_mounts"):
            transports = [holder._transport, *holder._mounts.values()]
            pools = [getattr(transport, "_pool", None) for transport in transports]
            found = [pool for pool in pools if hasattr(pool, "_connections")]
            if found:
                return found
        holder = getattr(holder, "_client", None) or getattr(holder, "client", None)
        if holder is None:
            break
    return []
