"""Probes for what the adapter uses, in the installed version. None of them opens a socket."""

from __future__ import annotations

from typing import Any

from ..signatures import has


def pool_state(pool: Any) -> bool:
    """Probe the origin, limits and idle connections of a pool."""
    if not has(lambda: pool("localhost"), "host", "port", "scheme", "pool", "block", "proxy"):
        return False
    return has(lambda: pool("localhost").pool, "queue", "maxsize")


def connection(owner: Any) -> bool:
    """Probe the socket and the address of a connection."""
    return has(lambda: owner("localhost"), "sock", "host", "port")


def response_state(owner: Any) -> bool:
    """Probe the attributes that show the lease of a response and whether it was read to its end."""
    return has(
        lambda: owner(preload_content=False), "_pool", "_connection", "_original_response", "_fp"
    )


def chunks(owner: Any) -> bool:
    """Probe the attribute that shows whether a chunk of a body is being read."""
    return has(lambda: owner(preload_content=False), "chunk_left")


def manager(owner: Any) -> bool:
    """Probe the pools of a manager."""
    return has(lambda: owner().pools, "_container")
