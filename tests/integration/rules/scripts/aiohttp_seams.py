"""Makes requests of every kind with a changed copy of aiohttp, and tells what was observed.

Arguments: the URL of a server, and of one that answers late. Prints JSON.
"""

from __future__ import annotations

import asyncio
import sys

import aiohttp
from telling import Observed

url, late = sys.argv[1:]
observed = Observed("aiohttp")
results, collect = observed.results, observed.collect


async def get(session: aiohttp.ClientSession, target: str, **timeouts: float) -> None:
    try:
        async with session.get(target, timeout=aiohttp.ClientTimeout(**timeouts)) as response:
            await response.read()
    except Exception as error:
        results.append(type(error).__name__)
    else:
        results.append(str(response.status))


async def main() -> None:
    connector = aiohttp.TCPConnector(limit=1, keepalive_timeout=0.2)
    async with aiohttp.ClientSession(connector=connector) as session:
        await get(session, url)
        holder = asyncio.ensure_future(get(session, late))
        await asyncio.sleep(0.02)
        await get(session, url, connect=0.01)
        waiter = asyncio.ensure_future(get(session, url))
        await asyncio.sleep(0.02)
        collect()
        await asyncio.gather(holder, waiter)
        await get(session, late, total=0.05)
        await asyncio.sleep(0.3)
        collect()
        await get(session, url)
    async with aiohttp.ClientSession() as session:
        await get(session, "http://127.0.0.1:9")


asyncio.run(main())
observed.tell()
