"""Fork with records in the buffer, and with a live pool and a request in flight of each library.

Arguments: a server's URL, a gRPC server's target. Prints two lines of JSON, the child's first: the
counts by library, right after the fork and at the end. The child uses the pools that it inherits,
except for sessions of aiohttp and channels of gRPC, which don't survive a fork.
"""

import asyncio
import json
import os
import socket
import sys
import threading
from collections.abc import Callable
from typing import Any

import aiohttp
import grpc
import httpcore
import httpcore2
import urllib3

from opentelemetry.instrumentation.gluellm import diagnose, snapshot
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from support.installation import instrument
from support.telemetry import Telemetry
from support.waiting import until

url, target = sys.argv[1:]
late = socket.create_server(("127.0.0.1", 0))
late_url = f"http://127.0.0.1:{late.getsockname()[1]}/"
telemetry = Telemetry()
instrument(telemetry)
Counted = dict[str, dict[str, float]]


def collect() -> Counted:
    """Return values, or counts of histograms, by library and metric, summed over attributes."""
    found: Counted = {}
    for name, points in telemetry.collect().items():
        for point in points:
            library = point.attributes.get(semconv.POOL_LIBRARY)
            if library and not name.startswith("gluellm.instrumentation"):
                values = found.setdefault(library, {})
                amount = getattr(point, "count", getattr(point, "value", 0))
                values[name] = values.get(name, 0) + amount
    return found


def phases() -> list[str]:
    """Return the phases of the requests in flight."""
    return [request.phase for pool in snapshot().pools for request in pool.requests]


def call(channel: Any) -> None:
    channel.unary_unary("/")(b"", timeout=60)


def forked() -> list[str]:
    """Return the libraries whose pools have sent requests on connections of a parent process."""
    findings = (one for one in diagnose(snapshot()) if one.kind == "forked_client")
    return sorted((one.pool or "").partition("/")[2] for one in findings)


async def get(session: aiohttp.ClientSession, target_url: str) -> None:
    async with session.get(target_url) as response:
        await response.read()


def child(sends: list[Callable[[], Any]]) -> None:
    """Send requests with inherited and new pools in the child."""
    asyncio.events._set_running_loop(None)
    before, at_first = collect(), forked()
    for send in sends:
        send()
    forks = {"at first": at_first, "forked": forked()}

    async def fresh() -> None:
        async with aiohttp.ClientSession() as session:
            await get(session, url)

    asyncio.run(fresh())
    with grpc.insecure_channel(target) as channel:
        call(channel)
    print(json.dumps({"before": before, "after": collect(), **forks}), flush=True)


async def main() -> None:
    pools: list[Any] = [httpcore.ConnectionPool(), httpcore2.ConnectionPool()]
    pools.append(urllib3.PoolManager())
    sends = [lambda pool=pool: pool.request("GET", url) for pool in pools]
    channel = grpc.insecure_channel(target)
    async with aiohttp.ClientSession() as session:
        for _ in range(3):
            for send in sends:
                send()
            call(channel)
            await get(session, url)
        others = [httpcore.ConnectionPool(), httpcore2.ConnectionPool(), urllib3.PoolManager()]
        running = [
            threading.Thread(target=other.request, args=("GET", late_url)) for other in others
        ]
        for thread in running:
            thread.start()
        waiting = asyncio.ensure_future(get(session, late_url))
        # A collection would empty the buffer, which should have records at the fork.
        await until(lambda: phases().count("awaiting_response") == 4)
        process = os.fork()
        if process == 0:
            status = 1
            try:
                child(sends)
                status = 0
            finally:
                os._exit(status)
        assert os.waitpid(process, 0)[1] == 0  # noqa: ASYNC222
        before = collect()
        for _ in range(4):
            connection, _ = late.accept()
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        for thread in running:
            thread.join(60)
        await waiting
        call(channel)
        counted = {"before": before, "after": collect(), "forked": forked()}
        print(json.dumps(counted), flush=True)


asyncio.run(main())
