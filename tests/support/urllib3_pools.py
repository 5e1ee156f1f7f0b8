"""urllib3's pools under test, each in the manager that builds it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, cast

import pytest
import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.contrib.socks import SOCKSProxyManager
from urllib3.exceptions import (
    ConnectTimeoutError,
    EmptyPoolError,
    NewConnectionError,
    ProtocolError,
    ProxyError,
    ReadTimeoutError,
    SSLError,
    URLSchemeUnknown,
)
from urllib3.util.connection import is_connection_dropped

from .clients import Headers, PoolUnderTest, Runner
from .exchange import Exchange, Opened, ThreadExchange
from .libraries import Library, Timeouts

_PIECE = 65536
_EXCEPTIONS: dict[str, Any] = {
    "pool_timeout": EmptyPoolError,
    # A handshake that hangs is a read timeout, or a ProxyError if there is a proxy.
    "connect_timeout": (ConnectTimeoutError, ReadTimeoutError, ProxyError),
    "read_timeout": ReadTimeoutError,
    "write_timeout": ProtocolError,
    "connection_error": (NewConnectionError, SSLError, ProxyError),
    "read_error": ProtocolError,
    "protocol_error": ProtocolError,
}


@dataclass(frozen=True, slots=True)
class IdleConnection:
    """A connection in the queue of its pool."""

    connection: Any

    def has_expired(self) -> bool:
        """Whether the pool will not use it any more."""
        return is_connection_dropped(self.connection)


class ManagerUnderTest(PoolUnderTest):
    """A ``PoolManager``. Each origin has a pool in it, so a test of one origin has one pool."""

    def __init__(self, library: Library, raw: Any, *, redirect: bool = False) -> None:
        super().__init__(library, raw)
        self._redirect = redirect

    @property
    def core(self) -> Any:
        (pool,) = self.raw.pools._container.values()
        return pool

    @property
    def connections(self) -> list[Any]:
        return [IdleConnection(item) for item in list(self.core.pool.queue) if item is not None]

    @property
    def queued(self) -> int:
        return len(self.core.pool.not_empty._waiters)

    def skip_one_pass(self) -> None:
        condition = self.core.pool.not_empty

        def skipped() -> None:
            del condition.notify

        condition.notify = skipped

    def wait_without_timeout(self, monkeypatch: pytest.MonkeyPatch) -> None:
        condition = self.core.pool.not_empty
        original = condition.wait
        monkeypatch.setattr(condition, "wait", lambda timeout=None: original(), raising=False)

    def open(
        self,
        url: str,
        body: bytes = b"",
        headers: Headers = (),
        timeouts: Timeouts | None = None,
        **settings: Any,
    ) -> Any:
        """Send a request in the calling thread, as botocore does: its body is left to be read."""
        given = dict(timeouts or {})
        method = "POST" if body else "GET"
        return self.raw.urlopen(
            method,
            url,
            body=body or None,
            headers=dict(headers),
            pool_timeout=given.pop("pool", None),
            timeout=self.library.timeout(given),
            **{"preload_content": False, "retries": self._redirect and None, **settings},
        )

    def send(
        self, url: str, *, body: bytes = b"", headers: Headers = (), **timeouts: Any
    ) -> Exchange:
        return ThreadExchange(self.opening(lambda: self.open(url, body, headers, timeouts)))

    def send_with(self, url: str, **settings: Any) -> Exchange:
        """Start a GET with settings of ``urlopen``."""
        return ThreadExchange(self.opening(lambda: self.open(url, **settings)))

    @staticmethod
    def opening(send: Callable[[], Any]) -> Callable[[], Opened]:
        """Return a function that opens a response for an exchange."""

        def opening() -> Opened:
            response = send()

            def close() -> None:
                # Like requests: close() alone does not release the slot in the pool.
                response.close()
                response.release_conn()

            return Opened(response.status, _pieces(response), close)

        return opening

    def call(self, url: str) -> bytes:
        """Make a whole request in the calling thread."""
        response = self.opening(lambda: self.open(url))()
        try:
            return b"".join(cast("Iterator[bytes]", response.chunks))
        finally:
            response.close()

    def _close(self) -> None:
        # The manager's own method drops its pools without closing them.
        pools = list(self.raw.pools._container.values())
        self.raw.clear()
        for pool in pools:
            pool.close()


def _pieces(response: Any) -> Iterator[bytes]:
    return cast("Iterator[bytes]", response.stream(_PIECE))


@dataclass(frozen=True, slots=True)
class Urllib3Library(Library):
    """urllib3, whose managers are its clients."""

    def raises(self, error: str) -> Any:
        return _EXCEPTIONS[error]

    def pool(self, runner: Runner, **settings: Any) -> PoolUnderTest:
        """A manager; settings as ``httpcore.ConnectionPool`` names them, where urllib3 has them."""
        assert runner.portal is None
        redirect = settings.pop("follow_redirects", False)
        return ManagerUnderTest(self, _manager(**settings), redirect=redirect)

    def whole_client(self, runner: Runner, **settings: Any) -> PoolUnderTest:
        """A manager is also a client."""
        return self.pool(runner, **settings)

    def timeout(self, timeouts: Timeouts | None) -> Any:
        given = timeouts or {}
        # urllib3 sends with the timeout for connecting.
        connect = given.get("connect", given.get("write"))
        return urllib3.Timeout(connect=connect, read=given.get("read"))

    def limits_of_client(self, connections: int) -> dict[str, Any]:
        return {"max_connections": connections}

    def raises_in_client(self, error: str) -> Any:
        return self.raises(error)

    @property
    def pool_classes(self) -> tuple[type, ...]:
        return (
            urllib3.HTTPConnectionPool,
            urllib3.HTTPSConnectionPool,
            urllib3.PoolManager,
            HTTPConnection,
            HTTPSConnection,
            urllib3.HTTPResponse,
        )


def _manager(
    *,
    max_connections: int | None = None,
    max_keepalive_connections: int | None = None,
    keepalive_expiry: float | None = None,
    proxy: str | None = None,
    **further: Any,
) -> urllib3.PoolManager:
    # urllib3 never closes idle connections by itself.
    assert keepalive_expiry is None or keepalive_expiry >= 60
    settings = dict(further)
    if "ssl_context" in settings:
        # urllib3 1.26 checks names itself and disables the context's check.
        settings["cert_reqs"] = "CERT_REQUIRED"
        settings["ssl_context"].check_hostname = not urllib3.__version__.startswith("1.")
    if max_keepalive_connections is not None:
        # `maxsize` limits idle connections, and with `block` all of them.
        settings.update(maxsize=max_keepalive_connections)
    elif max_connections is not None:
        settings.update(maxsize=max_connections, block=True)
    if proxy is None:
        return urllib3.PoolManager(**settings)
    if proxy.startswith("socks"):
        return SOCKSProxyManager(proxy, **settings)
    return urllib3.ProxyManager(proxy, **settings)


_CORE = SimpleNamespace(
    __name__="urllib3",
    Proxy=str,
    # A proxy that refuses a tunnel was reached, so this is not always a ProxyError.
    ProxyError=(ProxyError, ProtocolError, NewConnectionError),
    UnsupportedProtocol=URLSchemeUnknown,
)
LIBRARY = Urllib3Library("urllib3", cast("Any", _CORE), urllib3)
