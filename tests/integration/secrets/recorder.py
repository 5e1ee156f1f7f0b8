"""A relay that keeps what clients send, byte by byte, and the start of a handshake taken apart."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from dataclasses import dataclass

from support.listener import Listener, ServerLoop
from support.waiting import wait_until


class Recorder(Listener):
    """Passes everything on to a server, and keeps what came from each client."""

    def __init__(self, servers: ServerLoop, *, behind: int) -> None:
        self._behind = behind
        self.sent: dict[int, bytearray] = {}
        self._open: set[int] = set()
        self._taken = -1
        super().__init__(servers)

    def take(self, *, closed: bool = True) -> list[bytes]:
        """What was sent on connections that came since the last time, in their order.

        Waits until they are ``closed``, without which the end of what was sent may be missing.
        """
        if closed:
            wait_until(lambda: self.sent and not self._open, "every connection is closed")
        taken = {number: part for number, part in self.sent.items() if number > self._taken}
        self._taken = max(taken)
        self.sent = {}
        return [bytes(part) for _, part in sorted(taken.items())]

    async def serve(
        self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Until either side closes."""
        self._open.add(number)
        there, back = await asyncio.open_connection("127.0.0.1", self._behind)
        ways = [
            asyncio.ensure_future(self._pass_on(reader, back, number)),
            asyncio.ensure_future(self._pass_on(there, writer, None)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            back.close()
            self._open.discard(number)

    async def _pass_on(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int | None
    ) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                if number is not None:
                    self.sent.setdefault(number, bytearray()).extend(data)
                writer.write(data)
                await writer.drain()


@dataclass(frozen=True)
class Hello:
    """What a client's first message of TLS has that doesn't differ from one time to the next."""

    version: int
    ciphers: bytes
    extensions: tuple[int, ...]
    """Their numbers, in order."""
    contents: dict[int, bytes]
    """Of those that hold no random number: names, protocols, groups, signatures, versions."""


_RANDOM = frozenset({51, 41, 35, 21})
"""Extensions with keys, tickets and padding."""


def hello_of(sent: bytes) -> Hello:
    """Read a ClientHello (RFC 8446, 4.1.2) that is in the first record of what was sent."""
    assert sent[0] == 22, "no handshake"
    assert sent[5] == 1, "no ClientHello"
    at = 9
    (version,) = struct.unpack_from("!H", sent, at)
    at += 2 + 32
    at += 1 + sent[at]  # the session's id
    (length,) = struct.unpack_from("!H", sent, at)
    ciphers = sent[at + 2 : at + 2 + length]
    at += 2 + length
    at += 1 + sent[at]  # compression
    (length,) = struct.unpack_from("!H", sent, at)
    at, end = at + 2, at + 2 + length
    found: list[tuple[int, bytes]] = []
    while at < end:
        kind, length = struct.unpack_from("!HH", sent, at)
        found.append((kind, sent[at + 4 : at + 4 + length]))
        at += 4 + length
    contents = {kind: content for kind, content in found if kind not in _RANDOM}
    return Hello(version, ciphers, tuple(kind for kind, _ in found), contents)
