"""Makes requests of every kind with a changed copy of a pool library, and tells what was observed.

Arguments: the pool library, the URL of an HTTP/1.1 server and of an HTTP/2 one. Prints JSON.
"""

from __future__ import annotations

import asyncio
import importlib
import sys
import threading
import time

from telling import Observed

name, url, url2 = sys.argv[1:]
core = importlib.import_module(name)
observed = Observed({"httpcore": "httpx", "httpcore2": "httpx2"}[name])
results, collect = observed.results, observed.collect


def sync() -> None:
    pool = core.ConnectionPool(max_connections=1)
    results.append(str(pool.request("GET", url).status))
    held = pool.handle_request(core.Request("GET", url, headers=[("Host", "test")]))
    late = {"timeout": {"pool": 0.01}}
    try:
        pool.request("GET", url, extensions=late)
    except Exception as error:
        results.append(type(error).__name__)
    waiting = threading.Thread(target=lambda: results.append(str(pool.request("GET", url).status)))
    waiting.start()
    time.sleep(0.02)
    collect()
    held.read()
    held.close()
    waiting.join(10)
    pool.close()
    pool = core.ConnectionPool(http1=False, http2=True)
    results.append(str(pool.request("GET", url2).status))
    pool.close()
    try:
        core.ConnectionPool().request("GET", "http://127.0.0.1:9")
    except Exception as error:
        results.append(type(error).__name__)


async def asynchronous() -> None:
    async with core.AsyncConnectionPool(max_connections=1) as pool:
        both = await asyncio.gather(pool.request("GET", url), pool.request("GET", url))
        results.extend(str(response.status) for response in both)
    async with core.AsyncConnectionPool(http1=False, http2=True) as pool:
        results.append(str((await pool.request("GET", url2)).status))


sync()
asyncio.run(asynchronous())
observed.tell()
