"""Pools of httpx and httpx2 clients."""

from __future__ import annotations

from typing import Any

from ..holders import first_held


def httpcore_pools(client: Any) -> list[Any]:
    """The pools of an httpx or httpx2 client, or of an SDK client that holds one.

    For a pool, the pool itself. Empty for anything else.
    """
    return first_held(client, _held_by, ("_client", "client"))


def _held_by(holder: Any) -> list[Any]:
    if hasattr(holder, "_connections") and hasattr(holder, "_requests"):
        return [holder]
    if not (hasattr(holder, "_transport") and hasattr(holder, "_mounts")):
        return []
    transports = [holder._transport, *holder._mounts.values()]
    pools = [getattr(transport, "_pool", None) for transport in transports]
    return [pool for pool in pools if hasattr(pool, "_connections")]
