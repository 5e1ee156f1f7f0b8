"""A connection that speaks HTTP/1.1: one request after the other."""

from __future__ import annotations

import asyncio
import math

import h11

from .connection import READ_BYTES, SETTLE, Connection, CutError, HangUpError, respond
from .messages import ApiRequest


class HTTP1Connection(Connection):
    """A connection over HTTP/1.1. It is also the `Wire` of the answer in progress."""

    _answering = _close = False

    async def serve(self) -> None:
        self._http = h11.Connection(h11.SERVER)
        try:
            while await self._serve_one():
                self._http.start_next_cycle()
        except CutError as error:
            self._counts.resets += 1
            await asyncio.sleep(SETTLE)
            if not isinstance(error, HangUpError):
                self.reset()
        except ConnectionError:
            self._counts.abandoned += self._answering
        except h11.RemoteProtocolError:
            pass  # what came is no HTTP: close
        finally:
            self._writer.close()

    async def _serve_one(self) -> bool:
        """Answer one request; return whether the connection stays open for another."""
        self._answering = False
        idle = self._origin.idle_timeout
        try:
            async with asyncio.timeout(None if math.isinf(idle) else idle):
                request = await self._read_request()
        except TimeoutError:
            return False
        if request is None:
            return False
        self._answering = True
        answer, behaviour = self._order(request)
        self._close = behaviour.close
        await respond(answer, behaviour, self, self._counts)
        return self._http.our_state is h11.DONE

    async def _read_request(self) -> ApiRequest | None:
        """Return the next request, None if the client closed the connection before it."""
        head = await self._next_event()
        if not isinstance(head, h11.Request):
            return None
        body = bytearray()
        while isinstance(part := await self._next_event(), h11.Data):
            body += part.data
        return ApiRequest.of(head.method, head.target, head.headers, body)

    async def _next_event(self) -> object:
        while (event := self._http.next_event()) is h11.NEED_DATA:
            self._http.receive_data(await self._reader.read(READ_BYTES))
        return event

    async def head(self, status: int, headers: dict[str, str], length: int | None) -> None:
        if length is not None:
            headers["content-length"] = str(length)
        if self._close:
            headers["connection"] = "close"
        await self._send(h11.Response(status_code=status, headers=list(headers.items())))

    async def write(self, data: bytes, *, end: bool = False) -> None:
        await self._send(h11.Data(data), *([h11.EndOfMessage()] if end else []))

    async def _send(self, *events: h11.Event) -> None:
        self._writer.write(b"".join(self._http.send(event) or b"" for event in events))
        await self._writer.drain()

    async def pause(self, seconds: float) -> None:
        """Wait, and detect a client that leaves meanwhile.

        A client sends nothing while it waits for an answer, so any read means that it left.
        """
        if seconds <= 0:
            return
        try:
            async with asyncio.timeout(None if math.isinf(seconds) else seconds):
                await self._reader.read(1)
        except TimeoutError:
            return
        raise ConnectionAbortedError("the client left")
