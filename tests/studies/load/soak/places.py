"""Where the program's requests go, and what becomes of them there."""

from __future__ import annotations

import json
import signal
from dataclasses import asdict, dataclass
from typing import Final

STACKS_SIGNAL: Final = signal.SIGUSR1
"""Lets the program write the stacks of all its threads, whatever state it is in."""

OK, SLOW, CHUNKS, BUSY, HANGS = "ok", "slow", "chunks", "busy", "hangs"
CUTS: Final = ("reset_before_head", "reset_in_body", "eof_before_head", "eof_in_body")
ANSWERS: Final = (OK, SLOW, CHUNKS, BUSY, HANGS, *CUTS)
"""Of every server: paths of the HTTP and gRPC ones, models of the fake provider."""

PLAIN, TLS, WRONG_CA, CUT_HANDSHAKE, SILENT_HANDSHAKE = "plain", "tls", "wrong_ca", "cut", "silent"
REFUSED, DISCARDING = "refused", "discarding"
PROXIED, PROXY_REFUSES, PROXY_DISCARDS = "proxied", "proxy_refuses", "proxy_discards"
HTTP2 = "http2"


@dataclass(frozen=True, slots=True)
class Places:
    """URLs without a path; ``grpc`` ones are targets, ``authority`` is a file."""

    plain: str
    tls: str
    http2: str
    closing: str
    """Whoever connects is turned away at once."""
    discarding: str
    """Takes in everything and says nothing: as a server, or as a proxy."""
    refused: str
    proxy: str
    refusing_proxy: str
    grpc: str
    grpc_closing: str
    openai: str
    anthropic: str
    collector: str
    authority: str

    def url(self, where: str) -> str:
        """The address of what is behind ``where``."""
        return {
            TLS: self.tls,
            WRONG_CA: self.tls,
            CUT_HANDSHAKE: self.closing.replace("http:", "https:"),
            SILENT_HANDSHAKE: self.discarding.replace("http:", "https:"),
            REFUSED: self.refused,
            DISCARDING: self.discarding,
            HTTP2: self.http2,
        }.get(where, self.plain)

    def proxy_of(self, where: str) -> str | None:
        """The proxy that leads there."""
        return {
            PROXIED: self.proxy,
            PROXY_REFUSES: self.refusing_proxy,
            PROXY_DISCARDS: self.discarding,
        }.get(where)

    def target(self, where: str) -> str:
        """The same for gRPC."""
        if where == REFUSED:
            return self.refused.partition("://")[2]
        if where == DISCARDING:
            return self.discarding.partition("://")[2]
        return self.grpc_closing if where == CUT_HANDSHAKE else self.grpc

    def to_json(self) -> str:
        """For the program's command line."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Places:
        """Back."""
        return cls(**json.loads(text))
