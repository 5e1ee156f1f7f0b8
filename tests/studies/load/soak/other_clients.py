"""aiohttp and urllib3."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import aiohttp
import urllib3

from .clients import Wish
from .httpx_clients import WHERES, context_for


class AiohttpLibrary:
    """aiohttp, for asyncio's loops."""

    name = "aiohttp"
    wheres: tuple[str, ...] = WHERES
    expected: tuple[type, ...] = (aiohttp.ClientError, asyncio.TimeoutError)

    def __call__(self, wish: Wish) -> Any:
        """A session with a connector of its own."""
        return _Aiohttp(wish)


class _Aiohttp:
    def __init__(self, wish: Wish) -> None:
        self._proxy = wish.places.proxy_of(wish.where)
        timeout = aiohttp.ClientTimeout(
            connect=wish.pool_timeout, sock_connect=wish.timeout, sock_read=wish.timeout
        )
        self._session = self.raw = aiohttp.ClientSession(
            wish.places.url(wish.where),
            connector=aiohttp.TCPConnector(limit=wish.connections, ssl=context_for(wish)),
            timeout=timeout,
        )

    async def get(self, answer: str) -> None:
        async with self._session.get(f"/{answer}", proxy=self._proxy) as response:
            await response.read()

    async def open(self, answer: str) -> AsyncIterator[bytes]:
        response = await self._session.get(f"/{answer}", proxy=self._proxy)
        return _chunks(response)

    async def close(self) -> None:
        await self._session.close()


async def _chunks(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    async for chunk in response.content.iter_any():
        yield chunk


class Urllib3Library:
    """urllib3, for threads."""

    name = "urllib3"
    wheres: tuple[str, ...] = WHERES
    expected: tuple[type, ...] = (urllib3.exceptions.HTTPError,)

    def __call__(self, wish: Wish) -> Any:
        """A manager whose pools block when they are full."""
        return _Urllib3(wish)


class _Urllib3:
    def __init__(self, wish: Wish) -> None:
        settings: dict[str, Any] = {
            "maxsize": wish.connections,
            "block": True,
            "ssl_context": context_for(wish),
            "timeout": urllib3.Timeout(connect=wish.timeout, read=wish.timeout),
            "retries": False,
        }
        proxy = wish.places.proxy_of(wish.where)
        self._manager = self.raw = (
            urllib3.ProxyManager(proxy, **settings) if proxy else urllib3.PoolManager(**settings)
        )
        self._base = wish.places.url(wish.where)
        self._pool_timeout = wish.pool_timeout

    def get(self, answer: str) -> None:
        self._request(answer, preload_content=True)

    def open(self, answer: str) -> Iterator[bytes]:
        chunks: Iterator[bytes] = self._request(answer, preload_content=False).stream(64)
        return chunks

    def close(self) -> None:
        self._manager.clear()

    def _request(self, answer: str, **more: Any) -> Any:
        return self._manager.request(
            "GET", f"{self._base}/{answer}", pool_timeout=self._pool_timeout, **more
        )
