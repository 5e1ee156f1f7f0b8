"""Addresses where no server answers, and certificates."""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass

import trustme

UNRESOLVABLE = "http://nonexistent.invalid/"
"""RFC 2606 keeps ``.invalid`` from ever resolving."""


_BOUND: list[socket.socket] = []


def refused_url() -> str:
    """The URL of a port without a listener: connecting to it is refused.

    A socket holds the port until the process ends, so that no server gets it.
    """
    _BOUND.append(socket.socket())
    _BOUND[-1].bind(("127.0.0.1", 0))
    return f"http://127.0.0.1:{_BOUND[-1].getsockname()[1]}/"


@contextlib.contextmanager
def unreachable() -> Iterator[str]:
    """The URL of a listener whose queue is full: Linux drops further SYNs, so connecting hangs.

    One connection fills the queue. A second would give up after two minutes.
    """
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        with socket.create_connection(address):
            yield f"http://127.0.0.1:{address[1]}/"


@dataclass(frozen=True, slots=True)
class Certificates:
    """An authority, the server context that it signed, and clients that trust it or don't."""

    authority: trustme.CA

    @classmethod
    def make(cls) -> Certificates:
        """A fresh authority."""
        return cls(trustme.CA())

    def server(self, *protocols: str) -> ssl.SSLContext:
        """A server's context for loopback that offers these ALPN protocols."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.authority.issue_cert("127.0.0.1", "localhost", "local").configure_cert(context)
        if protocols:
            context.set_alpn_protocols(list(protocols))
        return context

    def client(self) -> ssl.SSLContext:
        """A client's context that trusts this authority alone."""
        context = ssl.create_default_context()
        self.authority.configure_trust(context)
        return context

    @staticmethod
    def distrusting_client() -> ssl.SSLContext:
        """A client's context that does not trust this authority."""
        return ssl.create_default_context()
