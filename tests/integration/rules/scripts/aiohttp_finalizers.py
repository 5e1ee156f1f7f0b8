"""Ends aiohttp's requests, responses and connectors by finalizers inside every lock of the SDK.

The garbage collector can run at any line, also at one inside the SDK's locks, which are not
reentrant. Arguments: a server's URL that answers at once, and one that never does. Prints "done".
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import sys
from typing import Any

import aiohttp
from locked_sdk import UNDER_WAY, LockedSdk, WhenDropped

url, silent = sys.argv[1:]

sdk = LockedSdk()
# aiohttp's own finalizers tell the loop's exception handler, which logs.
logging.getLogger("asyncio").disabled = True


async def response_closed_by_a_finalizer() -> None:
    async with aiohttp.ClientSession() as session:
        dropped = WhenDropped((await session.get(url)).close)
        with sdk.inside():
            del dropped
            gc.collect()


async def connector_closed_by_a_finalizer() -> None:
    session = aiohttp.ClientSession()
    response = await session.get(silent.replace("/silent", "/streamed"))
    connector = session.connector
    assert connector is not None
    dropped = WhenDropped(connector._close)
    with sdk.inside():
        del dropped
        gc.collect()
    response.close()
    await session.close()


async def session_dropped() -> None:
    session = aiohttp.ClientSession()
    await (await session.get(url)).read()
    with sdk.inside():
        del session
        gc.collect()


async def connection_dropped() -> None:
    """One that nobody has sent a request on, while an exception is being handled."""
    async with aiohttp.ClientSession() as session:
        connector: Any = session.connector
        request = aiohttp.ClientRequest(
            "GET",
            aiohttp.client.URL(url),
            loop=asyncio.get_running_loop(),
            session=session,
        )
        connection = await connector.connect(request, [], aiohttp.ClientTimeout())
        with sdk.inside():
            try:
                raise ValueError
            except ValueError:
                del connection
                gc.collect()


async def requests_dropped() -> None:
    """One awaits its head, one is queued behind it; the collector closes their coroutines."""
    connector = aiohttp.TCPConnector(limit=1)
    session = aiohttp.ClientSession(connector=connector)
    coroutines: list[Any] = [session._request("GET", silent) for _ in range(2)]
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
    await session.close()


async def dropped_during_a_collection() -> None:
    """The real thing: a user's own callback is where the collector happens to run."""
    session = aiohttp.ClientSession()
    response = await session.get(silent.replace("/silent", "/streamed"))
    left = [WhenDropped(response.close), session]
    del response, session
    sdk.drop_while_collecting(left)


async def main() -> None:
    for _ in range(2):
        sdk.collect()
        await response_closed_by_a_finalizer()
        await connector_closed_by_a_finalizer()
        await session_dropped()
        await connection_dropped()
    sdk.collect()
    await requests_dropped()
    await dropped_during_a_collection()


asyncio.run(main())
gc.collect()
assert sdk.total(*UNDER_WAY) == 0
print("done")
sys.stdout.flush()
