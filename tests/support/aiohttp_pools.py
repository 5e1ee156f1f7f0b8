"""aiohttp's connectors under test, each with the session that sends its requests.

The whole client of this library is httpx's over ``httpx_aiohttp.AiohttpTransport``, as several SDKs
build it.
"""

import contextlib
import ssl
import time
from dataclasses import dataclass
from typing import Any

import aiohttp
import httpx
import httpx_aiohttp
import pytest

from .clients import AsyncClient, Headers, PoolUnderTest, Runner
from .exchange import Exchange, Opened, TaskExchange
from .libraries import Library
from .waiting import PATIENCE

_EXCEPTIONS: dict[str, Any] = {
    "pool_timeout": aiohttp.ConnectionTimeoutError,
    "connect_timeout": aiohttp.ConnectionTimeoutError,
    "read_timeout": aiohttp.SocketTimeoutError,
    "connection_error": aiohttp.ClientConnectorError,
    # ClientOSError and ServerDisconnectedError before the head, ClientPayloadError in the body.
    "read_error": aiohttp.ClientError,
    "protocol_error": aiohttp.ClientError,
}


@dataclass(frozen=True, slots=True)
class IdleConnection:
    """A connection that the pool has listed as idle."""

    protocol: Any
    since: float
    keepalive: float | None

    def has_expired(self) -> bool:
        """Whether the pool will not use it any more."""
        old = self.keepalive is not None and time.monotonic() - self.since > self.keepalive
        return old or not self.protocol.is_connected()


class AiohttpPool(PoolUnderTest):
    """A ``ClientSession`` and its connector, made in the runner's loop."""

    def __init__(
        self,
        library: Library,
        runner: Runner,
        *,
        proxy: str | None = None,
        follow_redirects: bool = False,
        **settings: Any,
    ) -> None:
        assert runner.portal is not None
        self._portal, self._mode = runner.portal, runner.mode
        self._proxy = proxy
        self._follow_redirects = follow_redirects
        super().__init__(library, self._portal.call(_session, settings))

    @property
    def core(self) -> Any:
        return self.raw._connector

    @property
    def connections(self) -> list[Any]:
        core = self.core
        return [
            IdleConnection(protocol, since, core._keepalive_timeout)
            for listed in list(core._conns.values())
            for protocol, since in list(listed)
        ]

    @property
    def queued(self) -> int:
        return sum(len(waiters) for waiters in list(self.core._waiters.values()))

    def send(
        self, url: str, *, body: bytes = b"", headers: Headers = (), **timeouts: Any
    ) -> Exchange:
        raw, proxy, follow = self.raw, self._proxy, self._follow_redirects
        timeout = _timeout(timeouts)

        async def opening() -> Opened:
            response = await raw.request(
                "POST" if body else "GET",
                url,
                data=body or None,
                headers=headers,
                timeout=timeout,
                proxy=proxy,
                allow_redirects=follow,
            )

            async def close() -> None:
                response.close()

            return Opened(response.status, aiter(response.content.iter_any()), close)

        return TaskExchange(self._portal, self._mode, opening)

    async def fetch(self, url: str) -> bytes:
        async with self.raw.get(url, proxy=self._proxy) as response:
            body: bytes = await response.read()
            return body

    def skip_one_pass(self) -> None:
        core = self.core

        def skipped() -> None:
            del core._release_waiter

        core._release_waiter = skipped

    def lose_connection(self) -> None:
        core = self.core

        def lost(key: Any, protocol: Any) -> None:
            del core._release_acquired

        core._release_acquired = lost

    def wait_without_timeout(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(
            aiohttp.connector, "ceil_timeout", lambda *_, **__: contextlib.nullcontext()
        )

    def _close(self) -> None:
        self._portal.start_task_soon(self.raw.close).result(PATIENCE)


class AiohttpClient(AsyncClient):
    """``httpx.AsyncClient`` over a session."""

    @property
    def core(self) -> Any:
        return self.raw._transport.client._connector


async def _build_session(transport: Any) -> None:
    # Like the transport's first request: until then there is no pool.
    transport.client = transport.get_client()


def _timeout(timeouts: dict[str, float]) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(
        total=timeouts.get("total"),
        connect=timeouts.get("pool"),
        sock_connect=timeouts.get("connect"),
        sock_read=timeouts.get("read"),
    )


async def _session(settings: dict[str, Any]) -> aiohttp.ClientSession:
    # aiohttp retries a request that failed on a reused connection, but most scenarios are about a
    # single request.
    session = aiohttp.ClientSession(connector=_connector(**settings))
    session._retry_connection = False
    return session


def _connector(
    *,
    max_connections: int = 100,
    keepalive_expiry: float | None = 15.0,
    ssl_context: ssl.SSLContext | None = None,
    uds: str | None = None,
    http1: bool = True,
    http2: bool = False,
    **further: Any,
) -> aiohttp.BaseConnector:
    settings = {"limit": max_connections, "keepalive_timeout": keepalive_expiry, **further}
    if uds is not None:
        return aiohttp.UnixConnector(path=uds, **settings)
    return aiohttp.TCPConnector(ssl=ssl_context or True, **settings)


@dataclass(frozen=True, slots=True)
class AiohttpLibrary(Library):
    """aiohttp, whose sessions are its clients."""

    def raises(self, error: str) -> Any:
        return _EXCEPTIONS[error]

    def pool(self, runner: Runner, **settings: Any) -> PoolUnderTest:
        """A session; settings as ``httpcore.ConnectionPool`` names them, where aiohttp has them."""
        if settings.get("http2"):
            pytest.skip("aiohttp speaks HTTP/1.1 only")
        if str(settings.get("proxy")).startswith("socks"):
            pytest.skip("aiohttp knows no SOCKS proxies")
        return AiohttpPool(self, runner, **settings)

    def whole_client(self, runner: Runner, **settings: Any) -> PoolUnderTest:
        settings.setdefault("trust_env", False)
        raw = httpx_aiohttp.HttpxAiohttpClient(**settings)
        assert runner.portal is not None
        runner.portal.call(_build_session, raw._transport)
        return AiohttpClient(self, raw, runner)


class _Core:
    """aiohttp's classes under the names that tests of pools use."""

    __name__ = "aiohttp"
    ConnectionPool = aiohttp.BaseConnector
    AsyncConnectionPool = aiohttp.TCPConnector
    Proxy = str
    ProxyError = (aiohttp.ClientHttpProxyError, aiohttp.ClientProxyConnectionError)
    UnsupportedProtocol = aiohttp.NonHttpUrlClientError


class _Client:
    """httpx over aiohttp under the names that tests of clients use."""

    # The transport reports an unresolvable name as a connect timeout.
    ConnectError = (httpx.ConnectError, httpx.ConnectTimeout)
    Limits = httpx.Limits
    # The transport raises the same error for a timeout in the queue and in the set-up.
    PoolTimeout = httpx.TimeoutException
    ReadError = httpx.ReadError
    ReadTimeout = httpx.ReadTimeout
    Timeout = httpx.Timeout

    @staticmethod
    def AsyncHTTPTransport(proxy: str) -> Any:  # noqa: N802
        return httpx_aiohttp.AiohttpTransport(proxy=httpx.Proxy(proxy))


_core: Any = _Core
_client: Any = _Client
LIBRARY = AiohttpLibrary("aiohttp", _core, _client)
