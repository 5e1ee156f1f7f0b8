"""Where the pools of an SDK's client are, to read the limits that the library itself goes by."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import aiohttp
import httpcore
import httpcore2
import urllib3

from opentelemetry.instrumentation.gluellm.adapters.marks import LIMITS_FROM, POOL_TIMEOUT

KINDS = (
    httpcore.AsyncConnectionPool,
    httpcore2.AsyncConnectionPool,
    aiohttp.BaseConnector,
    urllib3.HTTPConnectionPool,
    urllib3.PoolManager,
)


@contextmanager
def built() -> Iterator[list[Any]]:
    """The pools that come into the world meanwhile, in no order."""
    gc.collect()
    before = weakref.WeakSet(_alive())
    found: list[Any] = []
    yield found
    found += [pool for pool in _alive() if pool not in before]


def _alive() -> list[Any]:
    return [
        thing
        for thing in gc.get_objects()
        if isinstance(type(thing), type) and issubclass(type(thing), KINDS)
    ]


def maximum(pool: Any) -> int | None:
    """How many connections it may have; for urllib3 None where it doesn't block."""
    if isinstance(pool, urllib3.PoolManager):
        keywords = pool.connection_pool_kw
        return keywords["maxsize"] if keywords.get("block") else None
    if isinstance(pool, urllib3.HTTPConnectionPool):
        return pool.pool.maxsize if pool.block else None
    return pool.limit if isinstance(pool, aiohttp.BaseConnector) else pool._max_connections


def limits_from(pool: Any) -> str | None:
    return getattr(pool, LIMITS_FROM, None)


def pool_timeout(pool: Any) -> float | None:
    return getattr(pool, POOL_TIMEOUT, None)
