"""The HTTP libraries under test; httpx and httpx2 differ in their modules only."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .clients import PoolUnderTest, Runner

Timeouts = dict[str, float]
"""Seconds by ``pool``, ``connect``, ``read`` and ``write``; a missing one never times out."""

_OTHERS = ("aiohttp", "urllib3", "grpc")
_EXCEPTIONS = {
    "pool_timeout": "PoolTimeout",
    "connect_timeout": "ConnectTimeout",
    "read_timeout": "ReadTimeout",
    "write_timeout": "WriteTimeout",
    "connection_error": "ConnectError",
    "read_error": "ReadError",
    "protocol_error": "RemoteProtocolError",
}


@dataclass(frozen=True, slots=True)
class Library:
    """A client library and the pool library below it."""

    name: str
    """As in ``gluellm.pool.library``."""
    core: ModuleType
    client: ModuleType

    @classmethod
    def load(cls, name: str) -> Library:
        """The library of this name."""
        if name in _OTHERS:
            found: Library = importlib.import_module(f"support.{name}_pools").LIBRARY
            return found
        core = importlib.import_module(name.replace("httpx", "httpcore"))
        return cls(name, core, importlib.import_module(name))

    def raises(self, error: str) -> Any:
        """What a pool raises for the contract's ``error``, for ``isinstance``."""
        return getattr(self.core, _EXCEPTIONS[error])

    def pool(self, runner: Runner, **settings: Any) -> PoolUnderTest:
        """A bare pool; settings as ``httpcore.ConnectionPool`` takes them."""
        from .clients import AsyncPool, SyncPool

        if runner.portal is None:
            return SyncPool(self, self.core.ConnectionPool(**settings))
        return AsyncPool(self, self.core.AsyncConnectionPool(**settings), runner)

    def whole_client(self, runner: Runner, **settings: Any) -> PoolUnderTest:
        """A whole client; settings as ``httpx.Client`` takes them."""
        from .clients import AsyncClient, SyncClient

        settings.setdefault("trust_env", False)
        if runner.portal is None:
            return SyncClient(self, self.client.Client(**settings))
        return AsyncClient(self, self.client.AsyncClient(**settings), runner)

    def limits_of_client(self, connections: int) -> dict[str, Any]:
        """Settings of a client that limit its open and its idle connections."""
        limits = self.client.Limits(
            max_connections=connections, max_keepalive_connections=connections
        )
        return {"limits": limits}

    def raises_in_client(self, error: str) -> Any:
        """The same as `raises` for a whole client."""
        return getattr(self.client, _EXCEPTIONS[error])

    @property
    def pool_classes(self) -> tuple[type, ...]:
        """The classes of its pools."""
        return self.core.ConnectionPool, self.core.AsyncConnectionPool

    @property
    def reports_connections(self) -> bool:
        """Whether there are metrics and statuses of connections: gRPC reports calls only."""
        return self.name != "grpc"

    def closed(self, **reasons: int) -> dict[str, int]:
        """Closed connections by reason; none for a library that does not report them."""
        return reasons if self.reports_connections else {}

    @property
    def closes_expired_itself(self) -> bool:
        """Whether expired connections are closed without a further request."""
        return self.name == "aiohttp"

    @property
    def assigns_twice(self) -> bool:
        """httpcore 1.0.9 gives one idle connection to several waiters; httpcore2 reserves it."""
        return self.name == "httpx"

    def request(
        self,
        url: str,
        body: bytes = b"",
        headers: tuple[tuple[str, str], ...] = (),
        timeouts: Timeouts | None = None,
    ) -> Any:
        """A request for a pool. Without ``pool.request()`` nothing adds the usual headers."""
        usual = [("Host", url.split("/")[2])]
        if body:
            usual.append(("Content-Length", str(len(body))))
        return self.core.Request(
            "POST" if body else "GET",
            url,
            headers=[*usual, *headers],
            content=body,
            extensions={"timeout": dict(timeouts or {})},
        )

    def timeout(self, timeouts: Timeouts | None) -> Any:
        """The same timeouts for a client."""
        return self.client.Timeout(None, **(timeouts or {}))
