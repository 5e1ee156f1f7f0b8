"""A server that answers with given bytes, and a relay that keeps what clients send."""

import asyncio
import contextlib

from support.listener import Listener, ServerLoop
from support.waiting import wait_until


class RawServer(Listener):
    """Read a head, send the bytes, and close the connection."""

    def __init__(self, servers: ServerLoop) -> None:
        self.answer = b""
        self.lingers = False
        """Whether it waits until the client closes, so that a body in transit causes no reset."""
        super().__init__(servers)

    async def serve(
        self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Answer one request."""
        with contextlib.suppress(asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            await reader.readuntil(b"\r\n\r\n")
        self.timeline.record("request", number)
        writer.write(self.answer)
        with contextlib.suppress(ConnectionError):
            await writer.drain()
            if self.lingers:
                await reader.read()


def answers(text: str) -> dict[str, bytes]:
    """Return HTTP/1.1 responses that have the text in different parts."""
    raw = text.encode("utf-8", "surrogatepass")
    # Line ends in the text are kept. They split the head, as an attack would.
    end = b"Content-Length: 2\r\nConnection: close\r\n\r\nok"
    return {
        "reason": b"HTTP/1.1 200 " + raw + b"\r\n" + end,
        "status": b"HTTP/1.1 " + raw + b" OK\r\n" + end,
        "version": raw + b" 200 OK\r\n" + end,
        "name": b"HTTP/1.1 200 OK\r\n" + raw + b": 1\r\n" + end,
        "value": b"HTTP/1.1 200 OK\r\nX-A: " + raw + b"\r\n" + end,
        "connection": b"HTTP/1.1 200 OK\r\nConnection: " + raw + b"\r\n" + end,
        "location": b"HTTP/1.1 302 Found\r\nLocation: http://" + raw + b"/\r\n" + end,
        "length": b"HTTP/1.1 200 OK\r\nContent-Length: " + raw + b"\r\n\r\nok",
        "coding": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: " + raw + b"\r\n\r\nok",
        "encoding": b"HTTP/1.1 200 OK\r\nContent-Encoding: " + raw + b"\r\n" + end,
        "chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + raw + b"\r\nok",
        "error": b"HTTP/1.1 500 " + raw + b"\r\n" + end.replace(b"ok", raw[:2]),
        "upgrade": b"HTTP/1.1 101 X\r\nConnection: upgrade\r\nUpgrade: " + raw + b"\r\n\r\n",
        "early": b"HTTP/1.1 103 " + raw + b"\r\nLink: " + raw + b"\r\n\r\nHTTP/1.1 204 N\r\n\r\n",
    }


class Recorder(Listener):
    """Relay everything to a server, and keep what each client has sent."""

    def __init__(self, servers: ServerLoop, *, behind: int) -> None:
        self._behind = behind
        self.sent: dict[int, bytearray] = {}
        self._open: set[int] = set()
        self._taken = -1
        super().__init__(servers)

    def take(self) -> list[bytes]:
        """Wait until all connections are closed. Return what was sent since the last call."""
        wait_until(lambda: self.sent and not self._open, "every connection is closed")
        taken = {
            number: part for number, part in self.sent.items() if part and number > self._taken
        }
        self._taken = max(taken)
        self.sent = {}
        return [bytes(part) for _, part in sorted(taken.items())]

    async def serve(
        self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Relay until either side closes."""
        self._open.add(number)
        kept = self.sent.setdefault(number, bytearray())
        try:
            await self._relay("127.0.0.1", self._behind, reader, writer, kept=kept)
        finally:
            self._open.discard(number)
