"""Fifty calls at once through two libraries. Each line that is read asks for a line on them."""

import asyncio
import asyncio.base_events
import gc
import json
import socket
import sys
import threading

import aiohttp
import httpx2

url = sys.argv[1]
counts = {"ok": 0, "failed": 0, "wrong": 0, "late": 0.0}


def patchable():
    """Return the attributes of all classes that an observation can patch."""
    modules = [
        m for name, m in list(sys.modules.items()) if name.startswith(("httpcore", "aiohttp"))
    ]
    owners = [o for m in modules for o in list(vars(m).values()) if isinstance(o, type)]
    owners += [socket, asyncio.base_events.BaseEventLoop, asyncio.Task]
    own = ("_gluellm", "__")  # defaults for attributes of instances stay
    return {
        (id(owner), name): value
        for owner in owners
        for name, value in list(vars(owner).items())
        if not name.startswith(own) and not name.startswith("_abc")
    }


async def call(send):
    while True:
        try:
            answer = await send()
            counts["ok"] += 1
            counts["wrong"] += answer != b"ok"
        except Exception:
            counts["failed"] += 1
        await asyncio.sleep(0.01)


async def measure_lateness():
    loop = asyncio.get_running_loop()
    while True:
        before = loop.time()
        await asyncio.sleep(0.005)
        counts["late"] = max(counts["late"], loop.time() - before - 0.005)


async def main():
    client = httpx2.AsyncClient(limits=httpx2.Limits(max_connections=10), timeout=30)
    session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=10))

    async def with_client():
        return (await client.get(url)).content

    async def with_session():
        async with session.get(url) as response:
            return await response.read()

    tasks = [asyncio.create_task(call(send)) for send in (with_client, with_session) * 25]
    tasks.append(asyncio.create_task(measure_lateness()))
    before = patchable()
    print("ready", flush=True)
    while await asyncio.to_thread(sys.stdin.readline):
        now = patchable()
        report = {
            **counts,
            "same": now.keys() == before.keys() and all(now[k] is before[k] for k in before),
            "threads": [one.name for one in threading.enumerate() if "gluellm" in one.name],
            "objects": len(gc.get_objects()),
        }
        counts["late"] = 0.0
        print(json.dumps(report), flush=True)
    for task in tasks:
        task.cancel()


asyncio.run(main())
