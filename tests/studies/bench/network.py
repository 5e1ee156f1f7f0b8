"""A network backend without a network: every request gets the same scripted answer.

It replaces what is below the pool, so the pool, the HTTP/1.1 connection and its parser all run.
"""

from collections.abc import Sequence
from typing import Any

Part = bytes | BaseException
Answer = tuple[bytes, ...]
"""What each read returns, in order; after the last one the next request begins with the first."""


def answer(body: bytes, *, status: int = 200, headers: Sequence[str] = ()) -> Answer:
    """A response with a body of known length, in one read, as from a small JSON answer."""
    return (_head(status, f"Content-Length: {len(body)}", *headers) + body,)


def streamed(chunks: Sequence[bytes]) -> Answer:
    """A chunked response whose chunks arrive one read each, as server-sent events do."""
    parts = [_head(200, "Transfer-Encoding: chunked")]
    parts += [b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks]
    return (*parts, b"0\r\n\r\n")


def _head(status: int, *headers: str) -> bytes:
    lines = [
        f"HTTP/1.1 {status} Scripted",
        "Date: Mon, 02 Nov 2026 10:00:00 GMT",
        "Content-Type: application/json",
        "Server: scripted",
        "X-Request-Id: req_0123456789",
        "X-RateLimit-Remaining-Requests: 4999",
        *headers,
    ]
    return "\r\n".join([*lines, "", ""]).encode()


class _Stream:
    readable = False
    """Whether an idle connection is readable: True once the server has closed it."""

    def __init__(self, parts: Sequence[Part], write: BaseException | None = None) -> None:
        self._parts = parts
        self._next = 0
        self._write = write

    def _read(self) -> bytes:
        part = self._parts[self._next]
        self._next = (self._next + 1) % len(self._parts)
        if isinstance(part, BaseException):
            raise part
        return part

    def _written(self) -> None:
        if self._write is not None:
            raise self._write

    def get_extra_info(self, info: str) -> Any:
        return self.readable if info == "is_readable" else None


class Stream(_Stream):
    """A connection of a sync pool."""

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._read()

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._written()

    def close(self) -> None:
        pass


class AsyncStream(_Stream):
    """A connection of an async pool."""

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._read()

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._written()

    async def aclose(self) -> None:
        pass


class Backend:
    """Connects at once and answers; raises an error instead if it is given one."""

    last: Stream

    def __init__(
        self,
        parts: Sequence[Part],
        *,
        connect: BaseException | None = None,
        write: BaseException | None = None,
    ) -> None:
        self.parts, self.connect, self.write = parts, connect, write

    def connect_tcp(self, *args: Any, **kwargs: Any) -> Stream:
        if self.connect is not None:
            raise self.connect
        self.last = Stream(self.parts, self.write)
        return self.last


class AsyncBackend:
    """`Backend` for an async pool."""

    def __init__(self, parts: Answer) -> None:
        self._parts = parts

    async def connect_tcp(self, *args: Any, **kwargs: Any) -> AsyncStream:
        return AsyncStream(self._parts)
