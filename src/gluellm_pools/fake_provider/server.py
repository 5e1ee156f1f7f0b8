"""The fake provider as a server: its listening socket and its connections."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any, Self, TypeVar

from .connection import Connection
from .origin import Origin

_T = TypeVar("_T")


@dataclass(kw_only=True, eq=False)
class FakeProvider(Origin):
    """Serves the OpenAI and Anthropic APIs on loopback, as ``behaviour`` says.

    Raises OSError on entry when ``port`` is taken, ImportError without h11 or, for HTTP/2, h2, and
    ValueError if ``max_streams`` is less than 1.
    """

    _listener: asyncio.Server | None = field(default=None, init=False)
    _connections: dict[asyncio.Task[None], Connection] = field(default_factory=dict, init=False)
    _accepted: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        if self.max_streams < 1:
            raise ValueError(f"max_streams must be at least 1, found {self.max_streams!r}")
        self._connection_class = _connection_class(http2=self.http2)

    async def __aenter__(self) -> Self:
        await self.listen()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def listen(self) -> None:
        """Accept connections; after `refuse` on the same port again."""
        if self._listener is not None:
            return
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((self.host, self.port))
            self._listener = await asyncio.start_server(
                self._accept, sock=sock, ssl=self.ssl_context, backlog=1024
            )
        except OSError:
            sock.close()
            raise
        self.port = sock.getsockname()[1]

    async def refuse(self) -> None:
        """Refuse new connections until `listen`; the open ones stay."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    async def drop(self, *, idle_only: bool = False, reset: bool = False) -> None:
        """Close the open connections, by default also those in the middle of an answer."""
        dropped = {t: c for t, c in self._connections.items() if not (idle_only and c.answering)}
        for task, connection in dropped.items():
            if reset:
                connection.reset()
            task.cancel()
        if dropped:
            await asyncio.wait(dropped)

    async def close(self) -> None:
        await self.refuse()
        await self.drop()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._accepted += 1
        connection = self._connection_class(self, self._accepted, reader, writer)
        self.counts.connections += 1
        self.counts.open_connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._connections[task] = connection
        try:
            await connection.serve()
        except asyncio.CancelledError:
            pass  # dropped: asyncio's stream protocol would log a cancelled handler as an error
        finally:
            self.counts.open_connections -= 1
            del self._connections[task]


class FakeProviderThread(FakeProvider):
    """A `FakeProvider` in a thread with an event loop of its own, as a plain context manager.

    `run` and `call` run its coroutines (`refuse`, `drop`, ...) on that loop.
    """

    def __enter__(self) -> Self:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="fake-provider", daemon=True)
        self._thread.start()
        try:
            self.run(self.listen())
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.run(self.close())
        finally:
            self._stop()

    def run(self, coroutine: Coroutine[Any, Any, _T]) -> _T:
        """Run a coroutine on the provider's loop from any thread, and wait for its result."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    async def call(self, coroutine: Coroutine[Any, Any, _T]) -> _T:
        """Like `run`, from another event loop, which is not blocked."""
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(coroutine, self._loop))

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
        finally:
            self._loop.close()

    def _stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()


def _connection_class(*, http2: bool) -> type[Connection]:
    """Import the protocol: what is not spoken need not be installed."""
    if http2:
        from .http2 import HTTP2Connection

        return HTTP2Connection
    from .http1 import HTTP1Connection

    return HTTP1Connection
