"""Ends responses and pools of urllib3 by finalizers, its own among them, inside the SDK's locks.

urllib3's responses close their connection when they are dropped, and its pools their idle
connections. Argument: a server's URL. Prints "done".
"""

from __future__ import annotations

import gc
import sys
from typing import Any

import urllib3
from locked_sdk import UNDER_WAY, LockedSdk

(url,) = sys.argv[1:]

# Its own finalizers log.
sdk = LockedSdk("opentelemetry")


def answered(pool: Any, **settings: Any) -> Any:
    """A response whose body nobody has read."""
    return pool.request("GET", url, **{"preload_content": False, **settings})


def response_dropped() -> None:
    pool = urllib3.PoolManager()
    response = answered(pool)
    with sdk.inside():
        del response
        gc.collect()
    pool.clear()


def read_response_dropped_unreleased() -> None:
    pool = urllib3.PoolManager()
    response = answered(pool, preload_content=True, release_conn=False)
    with sdk.inside():
        del response
        gc.collect()


def pool_dropped_with_idle_connections() -> None:
    pool = urllib3.PoolManager()
    pool.request("GET", url)
    cycle = [pool]
    cycle.append(cycle)  # type: ignore[arg-type]
    del pool
    with sdk.inside():
        del cycle
        gc.collect()


def pool_and_response_dropped() -> None:
    pool = urllib3.PoolManager(maxsize=2)
    pair = [pool, answered(pool), answered(pool)]
    pair.append(pair)
    del pool
    with sdk.inside():
        del pair
        gc.collect()


def generator_dropped() -> None:
    pool = urllib3.PoolManager()
    pieces = answered(pool).stream(1)
    next(pieces)
    with sdk.inside():
        del pieces
        gc.collect()


for _ in range(2):
    sdk.collect()
    response_dropped()
    read_response_dropped_unreleased()
    pool_dropped_with_idle_connections()
    pool_and_response_dropped()
    generator_dropped()
sdk.drop_while_collecting([answered(urllib3.PoolManager())])
for name in (*UNDER_WAY, "http.client.open_connections", "gluellm.instrumentation.errors"):
    assert sdk.total(name) == 0, name
print("done")
sys.stdout.flush()
