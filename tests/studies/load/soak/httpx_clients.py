"""httpx and httpx2, for threads and for event loops of asyncio and trio."""

from __future__ import annotations

import importlib
import ssl
from collections.abc import AsyncIterator, Iterator
from functools import cache
from typing import Any

from .clients import Wish
from .places import (
    CUT_HANDSHAKE,
    DISCARDING,
    HTTP2,
    PROXIED,
    PROXY_DISCARDS,
    PROXY_REFUSES,
    REFUSED,
    SILENT_HANDSHAKE,
    TLS,
    WRONG_CA,
)

WHERES = (
    TLS,
    WRONG_CA,
    CUT_HANDSHAKE,
    SILENT_HANDSHAKE,
    REFUSED,
    DISCARDING,
    PROXIED,
    PROXY_REFUSES,
    PROXY_DISCARDS,
)


@cache
def trusting(authority: str) -> ssl.SSLContext:
    """Making one takes longer than the request."""
    return ssl.create_default_context(cafile=authority)


@cache
def distrusting() -> ssl.SSLContext:
    """Trusts authorities that nobody here has."""
    return ssl.create_default_context()


def context_for(wish: Wish) -> ssl.SSLContext:
    """Whom a client trusts."""
    return distrusting() if wish.where == WRONG_CA else trusting(wish.places.authority)


def _settings(module: Any, wish: Wish) -> dict[str, Any]:
    return {
        "base_url": wish.places.url(wish.where),
        "verify": context_for(wish),
        "proxy": wish.places.proxy_of(wish.where),
        "trust_env": False,
        "http2": wish.where == HTTP2,
        "limits": module.Limits(max_connections=wish.connections, max_keepalive_connections=3),
        "timeout": module.Timeout(wish.timeout, pool=wish.pool_timeout),
    }


class HttpxLibrary:
    """Either of them, by the name of its module."""

    wheres: tuple[str, ...] = (*WHERES, HTTP2)

    def __init__(self, module: str, *, asynchronous: bool) -> None:
        self.name = f"{module} {'async' if asynchronous else 'sync'}"
        self._module = importlib.import_module(module)
        self._asynchronous = asynchronous
        self.expected: tuple[type, ...] = (
            self._module.HTTPError,
            self._module.StreamError,
        )

    def __call__(self, wish: Wish) -> Any:
        """A client."""
        settings = _settings(self._module, wish)
        if self._asynchronous:
            return _Async(self._module.AsyncClient(**settings))
        return _Sync(self._module.Client(**settings))


class _Async:
    def __init__(self, client: Any) -> None:
        self._client = self.raw = client

    async def get(self, answer: str) -> None:
        await self._client.get(f"/{answer}")

    async def open(self, answer: str) -> AsyncIterator[bytes]:
        request = self._client.build_request("GET", f"/{answer}")
        response = await self._client.send(request, stream=True)
        chunks: AsyncIterator[bytes] = response.aiter_raw()
        return chunks

    async def close(self) -> None:
        await self._client.aclose()


class _Sync:
    def __init__(self, client: Any) -> None:
        self._client = self.raw = client

    def get(self, answer: str) -> None:
        self._client.get(f"/{answer}")

    def open(self, answer: str) -> Iterator[bytes]:
        request = self._client.build_request("GET", f"/{answer}")
        chunks: Iterator[bytes] = self._client.send(request, stream=True).iter_raw()
        return chunks

    def close(self) -> None:
        self._client.close()
