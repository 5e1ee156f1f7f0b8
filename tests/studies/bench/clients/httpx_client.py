"""httpx and httpx2, sync and async, over a scripted network backend of httpcore."""

import importlib
from typing import Any

from ..exchange import QUESTION, parts
from ..network import AsyncBackend, Backend, answer
from .base import Client


class _HttpxClient(Client):
    kind: str
    backend: Any

    def __init__(self, library: str, *, streaming: bool) -> None:
        self._client: Any = getattr(importlib.import_module(library), self.kind)(trust_env=False)
        self._client._transport._pool._network_backend = self.backend(parts(streaming=streaming))
        # A pool without a client around it, whose time would hide what the pool itself costs.
        core: Any = importlib.import_module(library.replace("httpx", "httpcore"))
        self._bare = core.ConnectionPool(network_backend=Backend(answer(b"{}")))
        self._request = core.Request("GET", "http://api.openai.com/", headers=[("Host", "any")])

    async def use_pool(self, count: int, **_: bool) -> None:
        for _ in range(count):
            response = self._bare.handle_request(self._request)
            for _part in response.stream:
                pass
            response.close()


class AsyncClient(_HttpxClient):
    """An AsyncClient of ``library``."""

    kind, backend = "AsyncClient", AsyncBackend

    async def send_one(self) -> None:
        await self._client.post(self.url, json=QUESTION)

    async def stream_one(self) -> None:
        async with self._client.stream("POST", self.url, json=QUESTION) as response:
            async for _chunk in response.aiter_raw():
                pass


class SyncClient(_HttpxClient):
    """A Client of ``library``."""

    kind, backend = "Client", Backend

    async def send_one(self) -> None:
        self._client.post(self.url, json=QUESTION)

    async def stream_one(self) -> None:
        with self._client.stream("POST", self.url, json=QUESTION) as response:
            for _chunk in response.iter_raw():
                pass
