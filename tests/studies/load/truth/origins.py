"""The servers of one run, and the places where none answers."""

from __future__ import annotations

import contextlib
import functools
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

from support.http1 import HTTP1Server
from support.http2 import HTTP2Server
from support.listener import ServerLoop
from support.network import Certificates, unreachable
from support.script import Gate, Reply

from .seen import Seen


@functools.cache
def _authorities() -> tuple[Certificates, Certificates]:
    """One that clients trust, and another; made once, since keys take their time."""
    return Certificates.make(), Certificates.make()


@dataclass(slots=True)
class Origin:
    """Where requests go. Without a server, to a port where connecting is refused or hangs."""

    kind: str
    base: str
    server: HTTP1Server | HTTP2Server | None = None
    seen: Seen | None = None
    handshakes: Gate | None = None
    """Where TLS handshakes are held now; nowhere if there is none."""
    released_at: float = 0.0

    @property
    def port(self) -> int:
        """The port, which tells origins apart: their address is the same."""
        return urlsplit(self.base).port or 0

    def url(self, path: str, reply: Reply) -> str:
        """Script the reply to a path, and return its URL."""
        if self.server is not None:
            self.server.reply(path, reply)
        return self.base + path

    def hold_handshakes(self) -> None:
        """Let handshakes that come from now on wait."""
        assert self.server is not None
        self.server.setup_after = self.handshakes = self.server.gate()

    def release_handshakes(self) -> None:
        """Let them go on."""
        if self.handshakes is not None:
            assert self.server is not None
            self.server.setup_after = 0.0
            self.handshakes.open()
            self.handshakes = None
            self.released_at = time.monotonic()


@dataclass(slots=True)
class Origins:
    """All origins of a run, by kind."""

    by_kind: dict[str, Origin]
    certificates: Certificates

    @property
    def ports(self) -> dict[int, Origin]:
        """By port."""
        return {origin.port: origin for origin in self.by_kind.values()}

    @classmethod
    @contextlib.contextmanager
    def start(cls, *, http2: bool) -> Iterator[Origins]:
        """Start the servers on a loop of their own, which ends with them."""
        with contextlib.ExitStack() as stack:
            servers = ServerLoop()
            stack.callback(servers.stop)
            trusted, other = _authorities()
            started: dict[str, HTTP1Server | HTTP2Server] = {
                "plain": HTTP1Server(servers),
                "another plain": HTTP1Server(servers),
                "with an idle timeout": HTTP1Server(servers, idle_timeout=0.05),
                "tls": HTTP1Server(servers, tls=trusted.server()),
                "held tls": HTTP1Server(servers, tls=trusted.server()),
                "distrusted": HTTP1Server(servers, tls=other.server()),
            }
            if http2:
                started["http2"] = HTTP2Server(servers, tls=trusted.server("h2"), max_streams=4)
                started["http2 cleartext"] = HTTP2Server(servers, max_streams=3)
            by_kind = {}
            for kind, server in started.items():
                stack.callback(server.close)
                seen = server.timeline = Seen(tls=server.scheme == "https")
                by_kind[kind] = Origin(kind, server.origin, server, seen)
            # Bound and not listening: nobody else can take the port meanwhile.
            refusing = stack.enter_context(socket.socket())
            refusing.bind(("127.0.0.1", 0))
            refused = f"http://127.0.0.1:{refusing.getsockname()[1]}"
            by_kind["refused"] = Origin("refused", refused)
            nowhere = stack.enter_context(unreachable()).rstrip("/")
            by_kind["unreachable"] = Origin("unreachable", nowhere)
            yield cls(by_kind, trusted)
