"""Pools and clients under test: both libraries, sync and async, behind one interface."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import anyio.from_thread
import pytest

from .exchange import Exchange, Opened, TaskExchange, ThreadExchange
from .libraries import Library
from .script import Gate, Reply
from .waiting import PATIENCE

Headers = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Runner:
    """Where requests run: threads (``sync``), or a loop of ``asyncio`` or ``trio``."""

    mode: str
    portal: anyio.from_thread.BlockingPortal | None
    pools: list[PoolUnderTest] = field(default_factory=list)
    """The test's pools, which are closed at its end."""

    @classmethod
    @contextlib.contextmanager
    def start(cls, mode: str) -> Iterator[Runner]:
        """A runner; an event loop runs in a background thread until the block ends."""
        with contextlib.ExitStack() as stack:
            portal = None
            if mode != "sync":
                portal = stack.enter_context(anyio.from_thread.start_blocking_portal(mode))
            runner = cls(mode, portal)
            try:
                yield runner
            finally:
                for pool in runner.pools:
                    pool.close()
                if portal is not None:  # cancel tasks that a failed test has left
                    portal.call(portal.stop, True)

    def pool(self, library: Library, **settings: Any) -> PoolUnderTest:
        """A bare pool; settings as ``httpcore.ConnectionPool`` takes them."""
        pool = library.pool(self, **settings)
        self.pools.append(pool)
        return pool

    def client(self, library: Library, **settings: Any) -> PoolUnderTest:
        """A whole client; settings as ``httpx.Client`` takes them."""
        pool = library.whole_client(self, **settings)
        self.pools.append(pool)
        return pool


class PoolUnderTest:
    """A pool, or a client with a pool in it."""

    def __init__(self, library: Library, raw: Any) -> None:
        self.library = library
        self.raw: Any = raw
        self.closed = False

    @property
    def core(self) -> Any:
        """The library's pool object."""
        return self.raw

    @property
    def connections(self) -> list[Any]:
        """The library's connections, including closed and expired ones until the next request."""
        return list(self.core.connections)

    @property
    def queued(self) -> int:
        """Requests without a connection, by the library's own list."""
        return sum(request.is_queued() for request in list(self.core._requests))

    def skip_one_pass(self) -> None:
        """Make the pool skip its next assignment of connections to requests."""
        core = self.core

        def skipped() -> list[Any]:
            del core._assign_requests_to_connections
            return []

        core._assign_requests_to_connections = skipped

    def lose_connection(self) -> None:
        """Keep the pool's only connection in use after its response is closed."""
        (connection,) = self.connections
        inner = connection._connection

        async def nothing_async() -> None:
            pass

        is_async = hasattr(self.raw, "aclose")
        inner._response_closed = nothing_async if is_async else lambda: None

    def wait_without_timeout(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Let requests wait for a connection beyond their timeouts."""
        library = self.library.core.__name__
        synchronization = importlib.import_module(f"{library}._synchronization")
        is_async = hasattr(self.raw, "aclose")
        event = synchronization.AsyncEvent if is_async else synchronization.Event
        original = event.wait
        monkeypatch.setattr(event, "wait", lambda event, timeout=None: original(event))

    def send(
        self, url: str, *, body: bytes = b"", headers: Headers = (), **timeouts: Any
    ) -> Exchange:
        """Start a GET, or a POST of a body.

        ``pool=``, ``connect=``, ``read=`` and ``write=`` are its timeouts.
        """
        raise NotImplementedError

    def get(self, url: str, *, headers: Headers = (), **timeouts: Any) -> Exchange:
        """Make a whole request and return its exchange."""
        exchange = self.send(url, headers=headers, **timeouts)
        exchange.finish()
        return exchange

    def hold(self, server: Any, path: str = "/held", **timeouts: Any) -> tuple[Exchange, Gate]:
        """Start a request and wait for its head; also return the gate that its body waits for."""
        gate = server.gate()
        exchange = self.send(server.reply(path, Reply(end_after=gate)), **timeouts)
        exchange.head()
        return exchange, gate

    def stall(self, server: Any, path: str = "/stalled", **timeouts: Any) -> tuple[Exchange, Gate]:
        """Start a request that reaches the server; also return the gate that its head waits for."""
        gate = server.gate()
        exchange = self.send(server.reply(path, Reply(head_after=gate)), **timeouts)
        server.timeline.wait_for("request", path)
        return exchange, gate

    def call(self, url: str) -> bytes:
        """Make a whole request in the calling thread, and return its body."""
        raise NotImplementedError

    async def fetch(self, url: str) -> bytes:
        """Make a whole request in the calling task, and return its body."""
        raise NotImplementedError

    def close(self) -> None:
        """Close the pool. A second time does nothing."""
        if not self.closed:
            self.closed = True
            self._close()

    def forget(self) -> None:
        """Drop the last reference to the library's object, without closing it."""
        self.closed = True
        self.raw = None

    def _close(self) -> None:
        self.raw.close()


class SyncPool(PoolUnderTest):
    """``ConnectionPool``."""

    def send(
        self, url: str, *, body: bytes = b"", headers: Headers = (), **timeouts: Any
    ) -> Exchange:
        raw, request = self.raw, self.library.request(url, body, headers, timeouts)

        def opening() -> Opened:
            response = raw.handle_request(request)
            return Opened(response.status, iter(response.stream), response.close)

        return ThreadExchange(opening)

    def call(self, url: str) -> bytes:
        response = self.raw.handle_request(self.library.request(url))
        try:
            return b"".join(response.stream)
        finally:
            response.close()


class SyncClient(PoolUnderTest):
    """``Client``."""

    @property
    def core(self) -> Any:
        return self.raw._transport._pool

    def send(
        self, url: str, *, body: bytes = b"", headers: Headers = (), **timeouts: Any
    ) -> Exchange:
        raw, timeout = self.raw, self.library.timeout(timeouts)

        def opening() -> Opened:
            method = "POST" if body else "GET"
            request = raw.build_request(method, url, content=body, headers=headers, timeout=timeout)
            response = raw.send(request, stream=True)
            return Opened(response.status_code, response.iter_raw(), response.close)

        return ThreadExchange(opening)


class _Async(PoolUnderTest):
    def __init__(self, library: Library, raw: Any, runner: Runner) -> None:
        super().__init__(library, raw)
        assert runner.portal is not None
        self._portal, self._mode = runner.portal, runner.mode

    def _close(self) -> None:
        self._portal.start_task_soon(self.raw.aclose).result(PATIENCE)


class AsyncPool(_Async):
    """``AsyncConnectionPool``."""

    def send(
        self, url: str, *, body: bytes = b"", headers: Headers = (), **timeouts: Any
    ) -> Exchange:
        raw, request = self.raw, self.library.request(url, body, headers, timeouts)

        async def opening() -> Opened:
            response = await raw.handle_async_request(request)
            return Opened(response.status, aiter(response.stream), response.aclose)

        return TaskExchange(self._portal, self._mode, opening)

    async def fetch(self, url: str) -> bytes:
        response = await self.raw.handle_async_request(self.library.request(url))
        try:
            return b"".join([chunk async for chunk in response.stream])
        finally:
            await response.aclose()


class AsyncClient(_Async):
    """``AsyncClient``."""

    @property
    def core(self) -> Any:
        return self.raw._transport._pool

    def send(
        self, url: str, *, body: bytes = b"", headers: Headers = (), **timeouts: Any
    ) -> Exchange:
        raw, timeout = self.raw, self.library.timeout(timeouts)

        async def opening() -> Opened:
            method = "POST" if body else "GET"
            request = raw.build_request(method, url, content=body, headers=headers, timeout=timeout)
            response = await raw.send(request, stream=True)
            return Opened(response.status_code, response.aiter_raw(), response.aclose)

        return TaskExchange(self._portal, self._mode, opening)
