"""The scripted servers of a study, and the addresses where none answers."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

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
    """One request as its server knows it: when it came, its head went, its body ended."""

    connection: int
    at: dict[str, float] = field(default_factory=dict)


@dataclass(slots=True)
class SeenConnection:
    """One connection as its server knows it."""

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
        """Note that something happened now."""
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


class Unrecorded(Timeline):
    """Keeps nothing, for a run without an end."""

    def record(self, kind: str, connection: int, path: str = "") -> None:
        """Nothing."""


class _Server(HTTP1Server):
    def drop(self, which: int | tuple[str, int], *, reset: bool = False) -> None:
        """Close the connection with this number or client's address, with a RST if asked."""

        async def close() -> None:
            for number, writer in list(self._writers.items()):
                if which in (number, writer.get_extra_info("peername")):
                    self._close(number, reset=reset)

        self._servers.call(close())


class _Cut(Listener):
    """Closes each connection when its first bytes have come."""

    async def serve(
        self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await reader.read(1)


class _Silent(Listener):
    """Keeps each connection and answers nothing."""

    async def serve(
        self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        while await reader.read(65536):
            pass


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
    "grpc that cuts": (GrpcServer, {}),
    "cutting": (_Cut, {}),
    "silent": (_Silent, {}),
    "proxy": (HTTPProxy, {}),
    "refusing proxy": (HTTPProxy, {}),
}
"""Class and settings by kind; ``tls`` are the protocols to agree on."""
_ATTRIBUTES = {"grpc that cuts": "turns_away", "refusing proxy": "refuses"}
NOWHERE = ("refused", "unreachable")
"""Addresses where connecting is refused, or hangs."""


@dataclass(slots=True)
class Origin:
    """Where requests go."""

    kind: str
    base: str
    """Scheme, host and port."""
    server: Any = None
    handshakes: Gate | None = None
    """What holds new TLS handshakes; None if nothing does."""
    released_at: float = 0.0

    @property
    def port(self) -> int:
        """The port. It tells origins apart, because they share an address."""
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
        """The request for a path, if the server has got it."""
        return self.seen.requests.get(path) if self.seen is not None else None

    @property
    def used_connections(self) -> int:
        """How many connections a request ever came on."""
        assert self.seen is not None
        return sum(known.requests > 0 for known in list(self.seen.connections.values()))

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


@dataclass(slots=True)
class Origins:
    """The origins of a run by kind."""

    by_kind: dict[str, Origin]
    ports: dict[int, Origin]

    @classmethod
    @contextlib.contextmanager
    def start(
        cls,
        certificates: Certificates,
        *kinds: str,
        loop: ServerLoop | None = None,
        recorded: bool = True,
    ) -> Iterator[Origins]:
        """Start servers of these kinds; they stop when the block ends."""
        with contextlib.ExitStack() as stack:
            servers = loop or stack.enter_context(server_loop())
            by_kind = {}
            for kind in kinds:
                if kind in NOWHERE:
                    by_kind[kind] = Origin(kind, stack.enter_context(_nowhere(kind)))
                    continue
                build, settings = _SERVERS[kind]
                if tls := "tls" in settings:
                    authority = Certificates.make() if kind == "distrusted" else certificates
                    settings = {**settings, "tls": authority.server(*settings["tls"])}
                server = build(servers, **settings)
                stack.callback(server.close)
                server.timeline = Seen(tls=tls) if recorded else Unrecorded()
                if kind in _ATTRIBUTES:
                    setattr(server, _ATTRIBUTES[kind], True)
                by_kind[kind] = Origin(kind, server.origin, server)
            yield cls(by_kind, {origin.port: origin for origin in by_kind.values()})


@contextlib.contextmanager
def _nowhere(kind: str) -> Iterator[str]:
    if kind == "unreachable":
        with unreachable() as url:
            yield url.rstrip("/")
        return
    with socket.socket() as bound:  # not listening: no other program can take the port
        bound.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"


@contextlib.contextmanager
def server_loop() -> Iterator[ServerLoop]:
    """A loop for servers until the block ends."""
    servers = ServerLoop()
    try:
        yield servers
    finally:
        servers.stop()
