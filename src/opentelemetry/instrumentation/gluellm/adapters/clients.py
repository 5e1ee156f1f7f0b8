"""Single clients that the user instruments and uninstruments."""

from __future__ import annotations

import weakref
from typing import Any

from ..pool.ledger import Owner
from .aiohttp.clients import aiohttp_pools
from .grpc.clients import grpc_channels
from .httpcore.clients import httpcore_pools
from .marks import OWNER, TRACKER
from .scope import EXCLUDED
from .urllib3.clients import urllib3_pools

_FINDERS = (httpcore_pools, aiohttp_pools, urllib3_pools, grpc_channels)
"""Each returns the pools of a client of its library, and an empty list for anything else."""

_LIBRARIES = frozenset({"httpcore", "httpcore2", "aiohttp", "urllib3", "botocore", "grpc"})
"""Packages of the classes of pools, or of their parents."""

_owned: weakref.WeakSet[Any] = weakref.WeakSet()


def pools_of_client(client: Any) -> list[Any]:
    """The pools of a client, or of an SDK client that holds one.

    For a pool, the pool itself. Raises TypeError for anything else.
    """
    for find in _FINDERS:
        try:
            found = find(client)
            if found and all(map(_is_of_library, found)):
                return found
        except TypeError:
            raise
        except Exception:  # incompatible internals
            continue
    raise TypeError(
        f"can't instrument {type(client).__name__!r}: expected an httpx or httpx2 Client or "
        "AsyncClient (or an SDK client that holds one) whose transport is the default one, "
        "an aiohttp ClientSession (or an SDK client that holds one), "
        "a client of boto3, a requests.Session or a urllib3 PoolManager, "
        "a gRPC channel (or an SDK client that holds one), "
        "or a connection pool of httpcore, httpcore2, aiohttp or urllib3"
    )


def _is_of_library(pool: Any) -> bool:
    packages = (owner.__module__.partition(".")[0] for owner in type(pool).__mro__)
    return any(package in _LIBRARIES for package in packages)


def own(pool: Any, owner: Owner) -> None:
    """Track a pool under this owner, which names it, from its next request on."""
    setattr(pool, OWNER, owner)
    _restart(pool)
    _owned.add(pool)


def disown(pool: Any) -> None:
    """Stop tracking a pool, whichever code uses it."""
    setattr(pool, OWNER, EXCLUDED)
    _restart(pool)
    _owned.discard(pool)


def any_owned() -> bool:
    """Whether any individually instrumented client is still alive."""
    return bool(len(_owned))


def _restart(pool: Any) -> None:
    tracker = getattr(pool, TRACKER, None)
    if tracker is not None:
        setattr(pool, TRACKER, None)
        tracker.discard("closed")
