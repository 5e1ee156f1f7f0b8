"""A connection that speaks HTTP/1.1: one request after the other."""

from __future__ import annotations

import asyncio
import math

from .answering import SETTLE, Cut, CutError, respond
from .connection import Connection
from .wire import BadRequestError, chunk, read_request, response_head


class _ClientLeftError(Exception):
    pass


class HTTP1Connection(Connection):
    """Also the `Wire` of the one answer that is under way."""

    _close = False
    _chunked = False

    async def serve(self) -> None:
        counts = self._origin.counts
        try:
            while await self._serve_one():
                pass
        except CutError as error:
            counts.resets += 1
            await asyncio.sleep(SETTLE)
            if error.cut is not Cut.CONNECTION_END:
                self.reset()
        except (_ClientLeftError, ConnectionError):
            if self.answering:
                counts.abandoned += 1
        except BadRequestError:
            self._writer.write(response_head(400, {"content-length": "0", "connection": "close"}))
        finally:
            self._writer.close()

    async def _serve_one(self) -> bool:
        """Answer one request; whether the connection stays open for another."""
        self.answering = False
        idle = self._origin.idle_timeout
        try:
            async with asyncio.timeout(None if math.isinf(idle) else idle):
                request = await read_request(self._reader)
        except TimeoutError:
            self._origin.counts.idle_closed += 1
            return False
        if request is None:
            return False
        self.answering = True
        order = self._take(request)
        self._close = order.behaviour.close or request.wants_close
        await respond(order, self, self._origin.counts)
        self._origin.counts.completed += 1
        return not self._close

    async def head(self, status: int, headers: dict[str, str], length: int | None) -> None:
        self._chunked = length is None
        if length is None:
            headers["transfer-encoding"] = "chunked"
        else:
            headers["content-length"] = str(length)
        headers["connection"] = "close" if self._close else "keep-alive"
        self._writer.write(response_head(status, headers))
        await self._writer.drain()

    async def write(self, data: bytes, *, end: bool = False) -> None:
        if self._chunked:
            data = chunk(data) + (chunk(b"") if end else b"")
        self._writer.write(data)
        await self._writer.drain()

    async def pause(self, seconds: float) -> None:
        """Wait, and notice a client that leaves meanwhile.

        A client sends nothing while it waits for an answer, so all there is to read is its end.
        """
        if seconds <= 0:
            return
        try:
            async with asyncio.timeout(None if math.isinf(seconds) else seconds):
                await self._reader.read(1)
        except TimeoutError:
            return
        raise _ClientLeftError
