"""The scripted servers of a study, and addresses without a server."""

import asyncio
import contextlib
import socket
import time
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from studies.causes import causes
from support.deaf import DeafServer
from support.exchange import Exchange
from support.grpc_server import GrpcServer
from support.http1 import HTTP1Server
from support.http2 import HTTP2Server
from support.listener import Listener, ServerLoop
from support.network import Certificates, unreachable
from support.proxies import HTTPProxy
from support.script import Gate, Reply
from support.timeline import Timeline


@dataclass(slots=True)
class SeenRequest:
    """One request as its server sees it: when it came, its head was sent, its body ended."""

    connection: int
    at: dict[str, float] = field(default_factory=dict)


@dataclass(slots=True)
class SeenConnection:
    """One connection as its server sees it."""

    established: bool = False
    requests: int = 0
    ended: bool = False


class Seen(Timeline):
    """A server's timeline by request and by connection. Each request has its own path.

    Only the server's loop writes; other threads may read at any time.
    """

    def __init__(self, *, tls: bool) -> None:
        super().__init__()
        self.requests: dict[str, SeenRequest] = {}
        self.connections: dict[int, SeenConnection] = {}
        self.established = 0
        """Connections that were ever established: with TLS, secured."""
        self._tls = tls

    def record(self, kind: str, connection: int, path: str = "") -> None:
        """Record an event with the current time."""
        known = self.connections.setdefault(connection, SeenConnection())
        if kind == ("secured" if self._tls else "accept"):
            known.established = True
            self.established += 1
        if kind in ("peer_closed", "close") or (kind == "reset" and not path):
            known.ended = True
        if path:
            if path not in self.requests:
                known.requests += 1
                self.requests[path] = SeenRequest(connection)
            self.requests[path].at.setdefault(kind, time.monotonic())


class _Server(HTTP1Server):
    def drop(self, which: int | tuple[str, int], *, reset: bool = False) -> None:
        """Close the connection with this number or client's address, with a RST if asked."""

        async def close() -> None:
            for number, writer in list(self._writers.items()):
                if which in (number, writer.get_extra_info("peername")):
                    self._close(number, reset=reset)

        self._servers.call(close())


class _Cut(Listener):
    """Closes each connection when its first bytes arrive."""

    async def serve(
        self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await reader.read(1)


_SERVERS: dict[str, tuple[Any, dict[str, Any]]] = {
    "plain": (_Server, {}),
    "another plain": (_Server, {}),
    "tls": (_Server, {"tls": ()}),
    "held tls": (_Server, {"tls": ()}),
    "distrusted": (_Server, {"tls": ()}),
    "with an idle timeout": (_Server, {"idle_timeout": 0.05}),
    "http2": (HTTP2Server, {"tls": ("h2",), "max_streams": 4}),
    "http2 cleartext": (HTTP2Server, {"max_streams": 3}),
    "grpc": (GrpcServer, {}),
    "grpc that cuts": (GrpcServer, {"turns_away": True}),
    "cutting": (_Cut, {}),
    "silent": (DeafServer, {}),
    "proxy": (HTTPProxy, {}),
    "refusing proxy": (HTTPProxy, {"refuses": True}),
}
"""Class and settings by kind; ``tls`` are the protocols to agree on."""


@dataclass(slots=True)
class Origin:
    """Where requests go."""

    kind: str
    base: str
    """Scheme, host and port."""
    server: Any = None
    handshakes: Gate | None = None
    """The gate at which new TLS handshakes wait; None if they don't wait."""
    released_at: float = 0.0

    @property
    def port(self) -> int:
        """The port, by which origins differ: they share an address."""
        return urlsplit(self.base).port or 0

    @property
    def seen(self) -> Seen | None:
        """What the server saw; None without a server."""
        return self.server.timeline if self.server is not None else None

    def url(self, path: str, reply: Reply | None = None) -> str:
        """Script the reply to a path, and return its URL."""
        if self.server is not None and reply is not None:
            self.server.reply(path, reply)
        return self.base + path

    def request(self, path: str) -> SeenRequest | None:
        """The request for a path, if the server has received it."""
        return self.seen.requests.get(path) if self.seen is not None else None

    def hold_handshakes(self) -> None:
        """Let new TLS handshakes wait."""
        self.server.setup_after = self.handshakes = self.server.gate()

    def release_handshakes(self) -> None:
        """Let TLS handshakes go on."""
        if self.handshakes is not None:
            self.server.setup_after = 0.0
            self.handshakes.open()
            self.handshakes = None
            self.released_at = time.monotonic()


@contextlib.contextmanager
def origins(
    certificates: Certificates, *kinds: str, loop: ServerLoop | None = None, recorded: bool = True
) -> Iterator[dict[str, Origin]]:
    """Start servers of these kinds; they stop when the block ends.

    ``refused`` and ``unreachable`` are addresses where connecting is refused, or hangs.
    """
    with contextlib.ExitStack() as stack:
        if (servers := loop) is None:
            servers = ServerLoop()
            stack.callback(servers.stop)
        found = {}
        for kind in kinds:
            if kind == "unreachable":
                found[kind] = Origin(kind, stack.enter_context(unreachable()).rstrip("/"))
            elif kind == "refused":
                bound = stack.enter_context(socket.socket())
                bound.bind(("127.0.0.1", 0))  # not listening: no other program can take the port
                found[kind] = Origin(kind, f"http://127.0.0.1:{bound.getsockname()[1]}")
            else:
                build, settings = _SERVERS[kind]
                if tls := "tls" in settings:
                    authority = Certificates.make() if kind == "distrusted" else certificates
                    settings = {**settings, "tls": authority.server(*settings["tls"])}
                server = build(servers, **settings)
                stack.callback(server.close)
                server.timeline = seen = Seen(tls=tls)
                if not recorded:  # a run without an end would fill the memory
                    seen.record = lambda *_: None  # type: ignore[method-assign]
                found[kind] = Origin(kind, server.origin, server)
        yield found


@dataclass(slots=True)
class Sent:
    """An exchange, and the read of its body if there is one."""

    exchange: Exchange = field(default_factory=Exchange)
    reading: Future[bytes] | None = None

    @property
    def is_over(self) -> bool:
        """Whether the client is done with it."""
        return bool(self.exchange.left)

    @property
    def status(self) -> int | None:
        """The status, if a head has come."""
        return self.exchange.head(0) if self.exchange.answered else None

    @property
    def error(self) -> BaseException | None:
        """The exception that it ended with."""
        if not self.exchange.answered:
            return self.exchange.failure(0)
        if self.reading is None:
            return None
        if self.reading.done() and not self.reading.cancelled():
            return self.reading.exception()
        return asyncio.CancelledError()  # cancelled before the read began, or during it

    def forget_error(self) -> None:
        """Drop the tracebacks of its error: their frames keep pool and connection alive."""
        self.exchange.wait()
        for error in causes(self.error):
            error.__traceback__ = None
