"""A network in memory, for what takes thousands of requests or failures that no server can make."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any


class Stream:
    """A connection that answers ``GET /<status>`` with that status and an empty body."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._answer = b""

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        self._network.before_read()
        if self._network.read_error is not None:
            raise self._network.read_error
        answer, self._answer = self._answer, b""
        return answer

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        if self._network.write_error is not None:
            raise self._network.write_error
        if buffer.startswith(b"GET /"):
            status = buffer.split(b" ", 2)[1].lstrip(b"/")
            self._answer = b"HTTP/1.1 %b OK\r\nContent-Length: 0\r\n\r\n" % status

    def close(self) -> None:
        pass

    def start_tls(self, *args: Any, **kwargs: Any) -> Stream:
        if self._network.tls_error is not None:
            raise self._network.tls_error
        return self

    def get_extra_info(self, info: str) -> Any:
        return False if info == "is_readable" else None


class Network:
    """A sync network backend, as ``httpcore.ConnectionPool(network_backend=...)`` takes it."""

    def __init__(self) -> None:
        self.connect_error: BaseException | None = None
        self.tls_error: BaseException | None = None
        self.read_error: BaseException | None = None
        self.write_error: BaseException | None = None
        self.before_read: Callable[[], object] = lambda: None

    def connect_tcp(self, *args: Any, **kwargs: Any) -> Stream:
        if self.connect_error is not None:
            raise self.connect_error
        return Stream(self)

    def connect_unix_socket(self, *args: Any, **kwargs: Any) -> Stream:
        return Stream(self)

    def sleep(self, seconds: float) -> None:
        pass


class SilentNetwork:
    """An async network backend on which no connection is ever established."""

    async def connect_tcp(self, *args: Any, **kwargs: Any) -> Any:
        await asyncio.Event().wait()

    async def connect_unix_socket(self, *args: Any, **kwargs: Any) -> Any:
        await asyncio.Event().wait()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
