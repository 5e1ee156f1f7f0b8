"""Make three requests with each library, one by one. The script sets up no telemetry."""

import asyncio
import importlib
import sys
import urllib.request

base_url, *libraries = sys.argv[1:]
url = f"{base_url}/models"


async def with_aiohttp() -> None:
    """Make the requests with aiohttp, the only library here that is only asynchronous."""
    async with importlib.import_module("aiohttp").ClientSession(raise_for_status=True) as session:
        for _ in range(3):
            async with session.get(url) as response:
                await response.read()


for library in libraries:
    if library == "aiohttp":
        asyncio.run(with_aiohttp())
    elif library == "urllib3":
        pool = importlib.import_module(library).PoolManager()
        assert {pool.request("GET", url).status for _ in range(3)} == {200}
    else:
        with importlib.import_module(library).Client() as client:
            for _ in range(3):
                client.get(url).raise_for_status()
if not libraries:
    urllib.request.urlopen(url).close()
