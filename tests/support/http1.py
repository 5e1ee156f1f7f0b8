"""An HTTP/1.1 server that follows a script."""

import asyncio
import contextlib
import ssl
from typing import Any

import h11

from .listener import Listener
from .script import Failure, pause


class HTTP1Server(Listener):
    """Serves over TCP, TLS or a Unix socket; bodies go out chunk by chunk."""

    idle_timeout: float | None = None
    """Seconds after which the server closes a connection without a request."""

    async def serve(
        self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Answer requests until either side closes."""
        inbox: asyncio.Queue[bytes] = asyncio.Queue()
        answering = asyncio.ensure_future(self._answer_all(number, inbox, writer))
        receiving = asyncio.ensure_future(self._receive(number, reader, inbox))
        try:
            # A client that closes ends the reply as well.
            await asyncio.wait((answering, receiving), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (answering, receiving):
                task.cancel()
            results = await asyncio.gather(answering, receiving, return_exceptions=True)
        for result in results:
            if isinstance(result, Exception) and not isinstance(result, ConnectionError):
                raise result

    async def _receive(
        self, number: int, reader: asyncio.StreamReader, inbox: asyncio.Queue[bytes]
    ) -> None:
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            while data := await reader.read(65536):
                inbox.put_nowait(data)
        if number in self._writers:  # else the server closed first
            self.timeline.record("peer_closed", number)

    async def _answer_all(
        self, number: int, inbox: asyncio.Queue[bytes], writer: asyncio.StreamWriter
    ) -> None:
        state = h11.Connection(h11.SERVER)
        while True:
            async with asyncio.timeout(self.idle_timeout) as idle:
                try:
                    request = await _next_request(state, inbox)
                except asyncio.CancelledError:
                    if not idle.expired():
                        raise
                    return
            path = request.target.decode().partition("?")[0]
            if path.startswith("http://"):  # a request to a forward proxy
                path = "/" + path.split("/", 3)[3]
            self.timeline.record("request", number, path)
            if not await self._answer(state, number, path, writer):
                return
            if state.our_state is h11.MUST_CLOSE:
                return
            state.start_next_cycle()

    async def _answer(
        self, state: h11.Connection, number: int, path: str, writer: asyncio.StreamWriter
    ) -> bool:
        def send(event: Any) -> None:
            writer.write(state.send(event) or b"")

        reply = self.script.next(path)
        if reply.interim:
            send(h11.InformationalResponse(status_code=reply.interim, headers=[]))
        await pause(reply.head_after)
        if reply.failure is Failure.RESET_BEFORE_HEAD:
            self._close(number, reset=True)
        if reply.failure in (Failure.RESET_BEFORE_HEAD, Failure.EOF_BEFORE_HEAD):
            return False
        headers = [*reply.headers]
        if reply.status != 204:  # must not have this header (RFC 9112, 6.1)
            headers.append(("transfer-encoding", "chunked"))
        send(h11.Response(status_code=reply.status, headers=headers))
        self.timeline.record("head", number, path)
        for delay, chunk in reply.chunks:
            await pause(delay)
            send(h11.Data(data=chunk))
            self.timeline.record("chunk", number, path)
        await pause(reply.end_after)
        if reply.failure is Failure.RESET_IN_BODY:
            self._close(number, reset=True)
        if reply.failure in (Failure.RESET_IN_BODY, Failure.EOF_IN_BODY):
            return False
        send(h11.EndOfMessage())
        self.timeline.record("body_end", number, path)
        return True


async def _next_request(state: h11.Connection, inbox: asyncio.Queue[bytes]) -> h11.Request:
    request: h11.Request | None = None
    while True:
        event = state.next_event()
        if event is h11.NEED_DATA:
            state.receive_data(await inbox.get())
        elif isinstance(event, h11.Request):
            request = event
        elif isinstance(event, h11.EndOfMessage):
            assert request is not None
            return request
