"""The fake provider itself: a listening socket, its connections, its counts."""

from __future__ import annotations

import asyncio
import errno
import math
import socket
import ssl
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Self

from .behaviour import Behaviour, Counts, ReceivedRequest
from .connection import Connection
from .http1 import HTTP1Connection

_REMEMBERED = 10_000
_HOST = "127.0.0.1"


class PortInUseError(OSError):
    """The port that was asked for belongs to another program."""


class FakeProvider:
    """Serves the OpenAI and Anthropic APIs on loopback, as ``behaviour`` says.

    ``behaviour`` may be a function of the request, which runs in the provider's event loop.
    Raises `PortInUseError` on entry when ``port`` is taken; port 0 takes any free one.
    ``idle_timeout`` is the time in seconds after which an idle connection is closed. ``replies``
    maps a method and a path to the body of further endpoints: bytes, or what JSON can express.

    With ``http2`` it speaks HTTP/2 only, to clients that know beforehand ("prior knowledge"; httpx
    does with ``http1=False, http2=True``), and lets them open ``max_streams`` streams at once on a
    connection. Raises ImportError if the library h2 is not installed, and ValueError if
    ``max_streams`` is less than 1.

    All public attributes may be changed at any time, from any thread; ``max_streams`` is told to
    new connections.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        behaviour: Behaviour | Callable[[ReceivedRequest], Behaviour] | None = None,
        ssl_context: ssl.SSLContext | None = None,
        idle_timeout: float = math.inf,
        replies: dict[tuple[str, str], object] | None = None,
        http2: bool = False,
        max_streams: int = 100,
    ) -> None:
        if max_streams < 1:
            raise ValueError(f"max_streams must be 1 or more, found {max_streams!r}")
        self.behaviour = behaviour or Behaviour()
        self.idle_timeout = idle_timeout
        self.replies = replies or {}
        self.counts = Counts()
        self.requests: deque[ReceivedRequest] = deque(maxlen=_REMEMBERED)
        """The last requests, oldest first."""
        self.port = port
        self.max_streams = max_streams
        self._connection_class = _http2_connection_class() if http2 else HTTP1Connection
        self._ssl_context = ssl_context
        self._script: deque[Behaviour] = deque()
        self._listener: asyncio.Server | None = None
        self._connections: dict[asyncio.Task[None], Connection] = {}
        self._accepted = 0

    @property
    def host(self) -> str:
        return _HOST

    @property
    def url(self) -> str:
        scheme = "https" if self._ssl_context else "http"
        return f"{scheme}://{_HOST}:{self.port}"

    @property
    def openai_url(self) -> str:
        """Base URL for OpenAI clients, which have the version in it."""
        return f"{self.url}/v1"

    @property
    def anthropic_url(self) -> str:
        """Base URL for Anthropic clients, which have no version in it."""
        return self.url

    def script(self, *behaviours: Behaviour) -> None:
        """Answer the next requests like this, one each, before ``behaviour`` holds again."""
        self._script.extend(behaviours)

    async def __aenter__(self) -> Self:
        await self.listen()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def listen(self) -> None:
        """Accept connections; again on the same port after `refuse`."""
        if self._listener is not None:
            return
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((_HOST, self.port))
            self._listener = await asyncio.start_server(
                self._accept, sock=sock, ssl=self._ssl_context, backlog=1024
            )
        except OSError as error:
            sock.close()
            if error.errno == errno.EADDRINUSE:
                raise PortInUseError(
                    errno.EADDRINUSE, f"port {self.port} on {_HOST} is in use"
                ) from error
            raise
        self.port = sock.getsockname()[1]

    async def refuse(self) -> None:
        """Refuse new connections until `listen`; the open ones stay."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    async def drop(self, *, idle_only: bool = False, reset: bool = False) -> None:
        """Close the open connections, also those in the middle of an answer."""
        tasks = []
        for task, connection in list(self._connections.items()):
            if idle_only and connection.answering:
                continue
            if reset:
                connection.reset()
            task.cancel()
            tasks.append(task)
        if tasks:
            await asyncio.wait(tasks)

    async def close(self) -> None:
        await self.refuse()
        await self.drop()

    def received(self, request: ReceivedRequest) -> Behaviour:
        self.requests.append(request)
        try:
            return self._script.popleft()
        except IndexError:
            behaviour = self.behaviour
            return behaviour(request) if callable(behaviour) else behaviour

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


def _http2_connection_class() -> type[Connection]:
    try:
        from .http2 import HTTP2Connection
    except ImportError as error:
        raise ImportError(
            "the fake provider needs the library h2 for HTTP/2, which is not installed. "
            "Install it with: pip install 'h2>=4.1'"
        ) from error
    return HTTP2Connection
