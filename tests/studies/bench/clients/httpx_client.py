"""httpx and httpx2, sync and async, over a scripted network backend of httpcore."""

from __future__ import annotations

import importlib
from typing import Any

from ..exchange import QUESTION, URL, parts
from ..network import AsyncBackend, Backend, answer
from .base import Client


class AsyncHttpxClient(Client):
    """An AsyncClient of ``library``."""

    def __init__(self, library: str, *, streaming: bool) -> None:
        self._client: Any = importlib.import_module(library).AsyncClient(trust_env=False)
        self._client._transport._pool._network_backend = AsyncBackend(parts(streaming=streaming))
        self._bare = _BarePool(library)

    async def send_one(self) -> None:
        await self._client.post(URL, json=QUESTION)

    async def stream_one(self) -> int:
        chunks = 0
        async with self._client.stream("POST", URL, json=QUESTION) as response:
            async for _chunk in response.aiter_raw():
                chunks += 1
        return chunks

    async def use_pool(self, count: int) -> None:
        self._bare.use(count)


class SyncHttpxClient(Client):
    """A Client of ``library``."""

    def __init__(self, library: str, *, streaming: bool) -> None:
        self._client: Any = importlib.import_module(library).Client(trust_env=False)
        self._client._transport._pool._network_backend = Backend(parts(streaming=streaming))
        self._bare = _BarePool(library)

    async def send_one(self) -> None:
        self._client.post(URL, json=QUESTION)

    async def stream_one(self) -> int:
        chunks = 0
        with self._client.stream("POST", URL, json=QUESTION) as response:
            for _chunk in response.iter_raw():
                chunks += 1
        return chunks

    async def use_pool(self, count: int) -> None:
        self._bare.use(count)


class _BarePool:
    """A pool without a client around it, whose time would drown what passing it by costs."""

    def __init__(self, library: str) -> None:
        core: Any = importlib.import_module(library.replace("httpx", "httpcore"))
        self._pool = core.ConnectionPool(network_backend=Backend(answer(b"{}")))
        self._request = core.Request("GET", "http://api.openai.com/", headers=[("Host", "any")])

    def use(self, count: int) -> None:
        for _ in range(count):
            response = self._pool.handle_request(self._request)
            for _part in response.stream:
                pass
            response.close()
