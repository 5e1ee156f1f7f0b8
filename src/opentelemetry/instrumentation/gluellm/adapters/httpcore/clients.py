"""Single clients that the user hands in, and takes out again."""

from __future__ import annotations

import weakref
from typing import Any

from ...pool.registry import Owner
from .marks import OWNER, TRACKER
from .requests import EXCLUDED


def pools_of(client: Any) -> list[Any]:
    """The pools of an httpx or httpx2 client, of an SDK client that holds one, or the pool itself.

    Raises TypeError for anything else.
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
    raise TypeError(
        f"can't instrument {type(client).__name__!r}: expected an httpx or httpx2 Client or "
        "AsyncClient (or an SDK client that holds one) whose transport is the default one, "
        "or a connection pool of httpcore or httpcore2"
    )


_owned: weakref.WeakSet[Any] = weakref.WeakSet()


def own(pool: Any, owner: Owner) -> None:
    """Track a pool under the user's name for it from its next request on."""
    setattr(pool, OWNER, owner)
    _restart(pool)
    _owned.add(pool)


def disown(pool: Any) -> None:
    """Track a pool no longer, whoever uses it."""
    setattr(pool, OWNER, EXCLUDED)
    _restart(pool)
    _owned.discard(pool)


def any_owned() -> bool:
    """Whether a client that the user handed in is still alive and instrumented."""
    return bool(len(_owned))


def _restart(pool: Any) -> None:
    tracker = getattr(pool, TRACKER, None)
    if tracker is not None:
        setattr(pool, TRACKER, None)
        tracker.discard("closed")
