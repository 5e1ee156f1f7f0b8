"""A gRPC server that follows a script, behind a listener that sees its connections."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio

from .listener import Listener, ServerLoop
from .script import Failure, pause

STATUS_HEADER = "x-status"
"""Key of the script's status in an answer's initial metadata."""
_STATUSES = {
    404: grpc.StatusCode.NOT_FOUND,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    500: grpc.StatusCode.INTERNAL,
    503: grpc.StatusCode.UNAVAILABLE,
}
"""gRPC's statuses by those of the script; any other is OK."""


class _Answers(grpc.GenericRpcHandler):
    def __init__(self, server: GrpcServer) -> None:
        self._server = server

    def service(self, handler_call_details: Any) -> Any:
        path = handler_call_details.method

        async def answer(request: bytes, context: Any) -> AsyncIterator[bytes]:
            async for chunk in self._server.answer(path, context):
                yield chunk

        # A unary call receives the only message of the stream.
        return grpc.unary_stream_rpc_method_handler(answer)


class GrpcServer(Listener):
    """Answers bytes with bytes.

    The listener can delay and close connections; it relays them to a server of ``grpc.aio``. URLs
    begin with ``http``, so that one test body serves all clients.
    """

    turns_away = False
    """Whether a connection is closed at once, as by a proxy without a backend."""

    def __init__(self, servers: ServerLoop, **settings: Any) -> None:
        self._backend: Any = None
        self._backend_port = 0
        super().__init__(servers, **settings)
        servers.call(self._start_backend())

    @property
    def target(self) -> str:
        """The target of a channel to this server."""
        return f"127.0.0.1:{self.port}"

    def close(self) -> None:
        """Stop listening and drop every connection."""
        self._servers.call(self._backend.stop(None))
        super().close()

    async def serve(
        self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Pass everything on, both ways, until either side closes."""
        if not self.turns_away:
            await self._relay("127.0.0.1", self._backend_port, reader, writer)

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
