"""Ends responses, requests and pools by finalizers while this thread holds every lock of the SDK.

The garbage collector can run at any line, also at one inside the SDK's locks, which are not
reentrant: a finalizer that calls the SDK there waits for its own thread. Arguments: the pool
library, a server's URL that answers and one that never does. Prints "done".
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import importlib
import sys
from typing import Any

from locked_sdk import UNDER_WAY, LockedSdk, WhenDropped

name, url, silent = sys.argv[1:]
core = importlib.import_module(name)
sdk = LockedSdk()


def answered(pool: Any) -> Any:
    """A response whose body nobody has read."""
    return pool.handle_request(core.Request("GET", url, headers=[("Host", "test")]))


def response_closed_by_a_finalizer() -> None:
    pool = core.ConnectionPool()
    dropped = WhenDropped(answered(pool).close)
    with sdk.inside():
        del dropped
        gc.collect()
    pool.close()


def pool_closed_by_a_finalizer() -> None:
    pool = core.ConnectionPool()
    response = answered(pool)
    dropped = WhenDropped(pool.close)
    with sdk.inside():
        del dropped, pool
        gc.collect()
    response.close()


def pool_and_response_dropped() -> None:
    pool = core.ConnectionPool()
    pair = [pool, answered(pool)]
    pair.append(pair)
    del pool
    with sdk.inside():
        del pair
        gc.collect()


async def requests_dropped() -> None:
    """One awaits its head, one is queued behind it; the collector closes their coroutines."""
    pool = core.AsyncConnectionPool(max_connections=1)
    request = core.Request("GET", silent, headers=[("Host", "test")])
    coroutines = [pool.handle_async_request(request) for _ in range(2)]
    tasks = [asyncio.ensure_future(coroutine) for coroutine in coroutines]
    await asyncio.sleep(0.2)
    data = sdk.collect()
    assert '"http.client.active_requests"' in data.to_json()
    del tasks, data
    with sdk.inside():
        for coroutine in coroutines:
            with contextlib.suppress(RuntimeError):
                coroutine.close()
        del coroutines
        gc.collect()


def dropped_during_a_collection() -> None:
    """The real thing: a user's own callback is where the collector happens to run."""
    pool = core.ConnectionPool()
    pair = [pool, WhenDropped(answered(pool).close)]
    pair.append(pair)
    del pool
    left = [pair]
    del pair
    sdk.drop_while_collecting(left)


for _ in range(2):
    sdk.collect()
    response_closed_by_a_finalizer()
    pool_closed_by_a_finalizer()
    pool_and_response_dropped()
sdk.collect()
asyncio.run(requests_dropped())
dropped_during_a_collection()
assert sdk.total(*UNDER_WAY) == 0
print("done")
sys.stdout.flush()
