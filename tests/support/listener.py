"""The scripted server. It runs on its own event loop, whether clients use threads or a loop.

Subclasses implement protocols: `http1`, `http2`, `grpc_server`, `proxies`, `deaf` and the fake
providers. A script determines the answers: delays, chunks, resets, truncated bodies.
"""

import asyncio
import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Protocol, TypeVar

from .script import Delay, Gate, Reply, Script, pause
from .timeline import Timeline

T = TypeVar("T")
L = TypeVar("L", bound="Listener")


class ServerLoop:
    """An event loop in a background thread."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name="servers", daemon=True)
        self._thread.start()

    def call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the loop and wait for its result."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(60)

    def stop(self) -> None:
        """End the loop and its thread."""
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()


class Listen(Protocol):
    """Starts listeners that are closed when the test is over: the fixture ``listen``."""

    def __call__(self, kind: Callable[..., L], /, **settings: Any) -> L:
        """A listener of this class with these settings."""


class Listener:
    """Accepts connections and serves each in a task. Subclasses implement `serve`.

    ``settings`` replace attributes of the class for this server.
    """

    setup_after: Delay = 0.0
    """Delay between accepting and serving a connection. With TLS, it delays the handshake."""
    dead = False
    """Whether a relay accepts data and passes on nothing."""

    def __init__(
        self,
        servers: ServerLoop,
        *,
        tls: ssl.SSLContext | None = None,
        unix_path: Path | None = None,
        **settings: Any,
    ) -> None:
        self.timeline = Timeline()
        self.script = Script()
        for name, value in settings.items():
            assert hasattr(type(self), name), f"{type(self).__name__} has no {name}"
            setattr(self, name, value)
        self.scheme = "https" if tls else "http"
        self._servers = servers
        self._tls = tls
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: dict[int, asyncio.StreamWriter] = {}
        self._accepted = 0
        if unix_path is None:
            self._socket = socket.create_server(("127.0.0.1", 0))
            self.port = int(self._socket.getsockname()[1])
        else:
            self._socket = socket.socket(socket.AF_UNIX)
            self._socket.bind(str(unix_path))
            self._socket.listen()
            self.port = 0
        self._socket.setblocking(False)
        servers.call(self._start(self._accept()))

    @property
    def origin(self) -> str:
        """Scheme, host and port."""
        return f"{self.scheme}://127.0.0.1:{self.port}" if self.port else f"{self.scheme}://local"

    def url(self, path: str = "/") -> str:
        """The URL of a path on this server."""
        return self.origin + path

    def reply(self, path: str, *replies: Reply) -> str:
        """Script the replies of a path, and return its URL."""
        self.script.set(path, *replies)
        return self.url(path)

    def gate(self) -> Gate:
        """A closed gate for a script of this server."""
        return Gate(self._servers.loop)

    def hang_up(self, *, reset: bool = False) -> None:
        """Close all connections that are open now, with a RST if asked."""

        async def close_all() -> None:
            for number in list(self._writers):
                self._close(number, reset=reset)

        self._servers.call(close_all())

    def close(self) -> None:
        """Stop listening and drop every connection."""

        async def end() -> None:
            for task in list(self._tasks):
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            self._socket.close()

        self._servers.call(end())

    async def serve(
        self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Serve one connection until it ends."""
        raise NotImplementedError

    async def _relay(
        self,
        host: str,
        port: int,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        first: bytes = b"",
        answer: bytes = b"",
        kept: bytearray | None = None,
    ) -> None:
        """Pass data on, both ways, until either side closes. ``kept`` collects the client's."""
        inner_reader, inner_writer = await asyncio.open_connection(host, port)
        inner_writer.write(first)
        writer.write(answer)
        ways = [
            asyncio.ensure_future(self._pass_on(reader, inner_writer, kept)),
            asyncio.ensure_future(self._pass_on(inner_reader, writer)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            inner_writer.close()

    async def _pass_on(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        kept: bytearray | None = None,
    ) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                if kept is not None:
                    kept.extend(data)
                writer.write(b"" if self.dead else data)
                await writer.drain()

    def _close(self, number: int, *, reset: bool = False) -> None:
        writer = self._writers.pop(number, None)
        if writer is None:
            return
        if reset:
            linger = struct.pack("ii", 1, 0)  # on, no time: closing sends a RST
            connection = writer.get_extra_info("socket")
            if connection is not None:  # None if the client closed first
                with contextlib.suppress(OSError):
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.timeline.record("reset", number)
            writer.transport.abort()
        else:
            self.timeline.record("close", number)
            writer.close()

    async def _start(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            connection, _ = await loop.sock_accept(self._socket)
            if connection.family == socket.AF_INET:  # else a chunk waits for the last one's ACK
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            number, self._accepted = self._accepted, self._accepted + 1
            self.timeline.record("accept", number)
            await self._start(self._connected(number, connection))

    async def _connected(self, number: int, connection: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(loop=loop)
        protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
        try:
            if self._tls:
                await _sends(connection)
                self.timeline.record("hello", number)
            await pause(self.setup_after)
            transport, _ = await loop.connect_accepted_socket(
                lambda: protocol, connection, ssl=self._tls
            )
        except (OSError, asyncio.CancelledError):  # the client gave up or refused the certificate
            connection.close()
            self.timeline.record("peer_closed", number)
            return
        if self._tls:
            self.timeline.record("secured", number)
        writer = asyncio.StreamWriter(transport, protocol, reader, loop)
        self._writers[number] = writer
        try:
            with contextlib.suppress(ConnectionError, ssl.SSLError):
                await self.serve(number, reader, writer)
        finally:
            self._close(number)
            # The loop runs until the end of the session, so don't leave transports behind.
            transport.abort()


async def _sends(connection: socket.socket) -> None:
    """Wait until the client has sent something or has closed."""
    loop, sent = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(connection, sent.set)
    try:
        await sent.wait()
    finally:
        loop.remove_reader(connection)
