"""The fake provider as a server: its listening socket and its connections."""

from __future__ import annotations

import asyncio
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

    Raises OSError on entry when ``port`` is taken, and ImportError without h11 or, for HTTP/2, h2.
    """

    _listener: asyncio.Server | None = field(default=None, init=False)
    _connections: dict[asyncio.Task[None], Connection] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        # Imported here, since each protocol needs a library of its own.
        if self.http2:
            from .http2 import HTTP2Connection

            self._protocol: type[Connection] = HTTP2Connection
        else:
            from .http1 import HTTP1Connection

            self._protocol = HTTP1Connection

    async def __aenter__(self) -> Self:
        await self.listen()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def listen(self) -> None:
        """Accept connections; after `refuse` on the same port again."""
        if self._listener is not None:
            return
        self._listener = await asyncio.start_server(
            self._accept, self.host, self.port, ssl=self.ssl_context, backlog=1024
        )
        self.port = self._listener.sockets[0].getsockname()[1]

    async def refuse(self) -> None:
        """Refuse new connections until `listen`; the open ones stay."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    async def drop(self, *, reset: bool = False) -> None:
        """Close the open connections, also those in the middle of an answer."""
        dropped = dict(self._connections)
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
        self.counts.connections += 1
        connection = self._protocol(self, self.counts.connections, reader, writer)
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
        run = self._loop.run_forever
        self._thread = threading.Thread(target=run, name="fake-provider", daemon=True)
        self._thread.start()
        self.run(self.listen())
        return self

    def __exit__(self, *_: object) -> None:
        self.run(self.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def run(self, coroutine: Coroutine[Any, Any, _T]) -> _T:
        """Run a coroutine on the provider's loop from any thread, and wait for its result."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    async def call(self, coroutine: Coroutine[Any, Any, _T]) -> _T:
        """Like `run`, from another event loop, which is not blocked."""
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(coroutine, self._loop))
