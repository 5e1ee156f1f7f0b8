"""A gRPC server that follows a script, behind a listener that sees its connections."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio

from .listener import Listener, ServerLoop
from .script import Delay, Failure, Reply, Script, pause

STATUS_HEADER = "x-status"
"""In an answer's initial metadata: what the script says, for whoever asks for a status."""
_STATUSES = {
    404: grpc.StatusCode.NOT_FOUND,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    500: grpc.StatusCode.INTERNAL,
    503: grpc.StatusCode.UNAVAILABLE,
}
"""What a script's statuses are with gRPC; any other is OK."""
_PIECE = 65536


class _Answers(grpc.GenericRpcHandler):
    def __init__(self, server: GrpcServer) -> None:
        self._server = server

    def service(self, handler_call_details: Any) -> Any:
        path = handler_call_details.method

        async def answer(request: bytes, context: Any) -> AsyncIterator[bytes]:
            async for chunk in self._server.answer(path, context):
                yield chunk

        # A call that wants one message takes the one message of a stream.
        return grpc.unary_stream_rpc_method_handler(answer)


class GrpcServer(Listener):
    """Serves bytes for bytes. A connection passes through a listener, which can be slow to take it
    and can cut it; a server of ``grpc.aio`` behind it answers.

    Its URLs begin as HTTP's do, so that one test body serves all clients.
    """

    def __init__(
        self,
        servers: ServerLoop,
        *,
        tls: ssl.SSLContext | None = None,
        setup_after: Delay = 0.0,
    ) -> None:
        self.script = Script()
        self.turns_away = False
        """Whether a connection is closed at once, as by a proxy that finds nobody behind it."""
        self._backend: Any = None
        self._backend_port = 0
        super().__init__(servers, tls=tls, setup_after=setup_after)
        servers.call(self._start_backend())

    @property
    def target(self) -> str:
        """Where a channel leads."""
        return f"127.0.0.1:{self.port}"

    def reply(self, path: str, *replies: Reply) -> str:
        """Script the replies of a path, and return its URL."""
        self.script.set(path, *replies)
        return self.url(path)

    def close(self) -> None:
        """Stop listening and drop every connection."""
        self._servers.call(self._backend.stop(None))
        super().close()

    async def serve(
        self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Pass everything on, both ways, until either side closes."""
        if self.turns_away:
            return
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", self._backend_port)
        try:
            ways = [
                asyncio.ensure_future(_pass_on(reader, inner_writer)),
                asyncio.ensure_future(_pass_on(inner_reader, writer)),
            ]
            try:
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
                if ways[0].done() and number in self._writers:
                    self.timeline.record("peer_closed", number)
            finally:
                for way in ways:
                    way.cancel()
                await asyncio.gather(*ways, return_exceptions=True)
        finally:
            inner_writer.close()

    async def answer(self, path: str, context: Any) -> AsyncIterator[bytes]:
        """Answer one call."""
        reply = self.script.next(path)
        self.timeline.record("request", 0, path)
        try:
            await pause(reply.head_after)
            if reply.failure in (Failure.RESET_BEFORE_HEAD, Failure.EOF_BEFORE_HEAD):
                await context.abort(grpc.StatusCode.UNAVAILABLE)
            if reply.status in _STATUSES:
                await context.abort(_STATUSES[reply.status], "as the script says")
            metadata = [(STATUS_HEADER, str(reply.status)), *reply.headers]
            await context.send_initial_metadata(tuple(metadata))
            self.timeline.record("head", 0, path)
            for delay, chunk in reply.chunks:
                await pause(delay)
                self.timeline.record("chunk", 0, path)
                yield chunk
            await pause(reply.end_after)
            if reply.failure in (Failure.RESET_IN_BODY, Failure.EOF_IN_BODY):
                await context.abort(grpc.StatusCode.UNAVAILABLE)
            self.timeline.record("body_end", 0, path)
        except asyncio.CancelledError:
            self.timeline.record("stream_reset", 0, path)
            raise

    async def _start_backend(self) -> None:
        self._backend = grpc.aio.server()
        self._backend.add_generic_rpc_handlers((_Answers(self),))
        self._backend_port = self._backend.add_insecure_port("127.0.0.1:0")
        await self._backend.start()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(_PIECE):
            writer.write(data)
            await writer.drain()
