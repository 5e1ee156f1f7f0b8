"""Whether the installed version has what is read of its objects. None of it opens a socket."""

from __future__ import annotations

import inspect
from typing import Any

from ..signatures import has


def takes(owner: Any, method: str, *parameters: str) -> bool:
    """Whether a method takes these parameters, in this order, after ``self``."""
    function = getattr(owner, method, None)
    if not callable(function):
        return False
    try:
        names = list(inspect.signature(function).parameters)[1:]
    except (TypeError, ValueError):
        return False
    return tuple(names[: len(parameters)]) == parameters


def pool_state(pool: Any) -> bool:
    """Origin, limits and idle connections of a pool."""
    if not has(lambda: pool("localhost"), "host", "port", "scheme", "pool", "block", "proxy"):
        return False
    return has(lambda: pool("localhost").pool, "queue", "maxsize")


def connection(owner: Any) -> bool:
    """Whether a connection has a socket."""
    return has(lambda: owner("localhost"), "sock", "host", "port")


def response(owner: Any) -> bool:
    """What tells whose a response is, and whether it was read to its end."""
    return has(
        lambda: owner(preload_content=False), "_pool", "_connection", "_original_response", "_fp"
    )


def chunks(owner: Any) -> bool:
    """Whether a chunk of a body is being read."""
    return has(lambda: owner(preload_content=False), "chunk_left")


def manager(owner: Any) -> bool:
    """The pools of a manager."""
    return has(lambda: owner().pools, "_container")
