"""The servers, proxies and fake providers of a run, in the process of who watches it."""

from __future__ import annotations

import asyncio
import math
import random
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from opentelemetry.instrumentation.gluellm.cli.fake_provider import (
    Behaviour,
    FakeProviderThread,
    ReceivedRequest,
)
from support.grpc_server import GrpcServer
from support.http1 import HTTP1Server
from support.http2 import HTTP2Server
from support.listener import Listener, ServerLoop
from support.network import Certificates
from support.proxies import HTTPProxy
from support.script import Failure, Reply
from support.timeline import Timeline

from .places import BUSY, CHUNKS, HANGS, OK, SLOW, Places

_CHUNKS = tuple((0.01, b"token " * 4) for _ in range(12))
_REPLIES = {
    OK: Reply(),
    SLOW: Reply(head_after=0.15),
    CHUNKS: Reply(chunks=_CHUNKS),
    BUSY: Reply(status=503),
    HANGS: Reply(head_after=3600.0),
    "reset_before_head": Reply(failure=Failure.RESET_BEFORE_HEAD),
    "reset_in_body": Reply(failure=Failure.RESET_IN_BODY),
    "eof_before_head": Reply(failure=Failure.EOF_BEFORE_HEAD),
    "eof_in_body": Reply(failure=Failure.EOF_IN_BODY),
}
_BEHAVIOURS = {
    SLOW: Behaviour(head_delay=0.15),
    CHUNKS: Behaviour(tokens=12, token_rate=100),
    BUSY: Behaviour(status=503),
    HANGS: Behaviour(head_delay=math.inf),
    "reset_before_head": Behaviour(reset_before_head=True),
    "reset_in_body": Behaviour(reset_after=3),
    "eof_before_head": Behaviour(drop_reused=True),
    "eof_in_body": Behaviour(hang_up_after=3),
}


class _Forgetful(Timeline):
    """Keeps nothing: a run has no end to what happens in it."""

    def record(self, kind: str, connection: int, path: str = "") -> None:
        """Nothing."""


class Closing(Listener):
    """Closes each connection once its first bytes are there."""

    async def serve(
        self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Read a little, and leave."""
        await reader.read(1)


class Discarding(Listener):
    """Keeps the connection and throws away what comes."""

    async def serve(
        self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Read until the client goes."""
        while await reader.read(65536):
            pass


class Collector(HTTP1Server):
    """Takes OTLP, and now and then fails, hangs for a moment or drops the connection."""

    def __init__(self, servers: ServerLoop) -> None:
        super().__init__(servers)
        rng = random.Random(1)

        class Faults:
            def next(self, path: str) -> Reply:
                draw = rng.random()
                if draw < 0.1:
                    return _REPLIES["reset_before_head"]
                if draw < 0.2:
                    return Reply(status=400)
                return Reply(head_after=0.8 if draw < 0.4 else 0.0, chunks=())

        self.script = Faults()  # type: ignore[assignment]


def _behaviour(request: ReceivedRequest) -> Behaviour:
    return _BEHAVIOURS.get(request.model or "", Behaviour())


@contextmanager
def serving(folder: Path) -> Iterator[Places]:
    """Everything a run talks to."""
    certificates = Certificates.make()
    authority = folder / "authority.pem"
    certificates.authority.cert_pem.write_to_path(str(authority))
    servers = ServerLoop()
    # Clients break off wherever they like, and that is no news.
    servers.loop.set_exception_handler(lambda *_: None)
    with ExitStack() as stack:

        def listen(kind: Any, **settings: Any) -> Any:
            listener = kind(servers, **settings)
            listener.timeline = _Forgetful()
            stack.callback(listener.close)
            return listener

        plain = listen(HTTP1Server)
        tls = listen(HTTP1Server, tls=certificates.server("http/1.1"))
        http2 = listen(HTTP2Server, tls=certificates.server("h2"))
        grpc_server = listen(GrpcServer)
        for server in (plain, tls, http2, grpc_server):
            for path, reply in _REPLIES.items():
                server.reply(f"/{path}", reply)
        closing_grpc = listen(GrpcServer)
        closing_grpc.turns_away = True
        refusing = listen(HTTPProxy)
        refusing.refuses = True
        provider = stack.enter_context(FakeProviderThread(behaviour=_behaviour))
        taken = stack.enter_context(socket.socket())  # bound and not listened on
        taken.bind(("127.0.0.1", 0))
        yield Places(
            plain=plain.origin,
            tls=tls.origin,
            http2=http2.origin,
            closing=listen(Closing).origin,
            discarding=listen(Discarding).origin,
            refused=f"http://127.0.0.1:{taken.getsockname()[1]}",
            proxy=listen(HTTPProxy).origin,
            refusing_proxy=refusing.origin,
            grpc=grpc_server.target,
            grpc_closing=closing_grpc.target,
            openai=provider.openai_url,
            anthropic=provider.anthropic_url,
            collector=listen(Collector).origin,
            authority=str(authority),
        )
    servers.stop()
