"""urllib3, over sockets that answer from a script.

The function that connects sockets is replaced, below the pools and connections. urllib3 still asks
the kernel whether an idle connection was dropped, so each scripted socket has one end of a real
pair, on which nothing ever arrives.
"""

import io
import itertools
import socket
from collections.abc import Iterator
from typing import Any

import urllib3
import urllib3.util.connection

from ..exchange import QUESTION, URL, parts
from ..network import Answer
from .base import Client

_STREAMING = URL.replace("api.", "stream.")


class SyncClient(Client):
    """A PoolManager, as in otari and in botocore."""

    def __init__(self, _library: str, *, streaming: bool) -> None:
        if streaming:
            self.url = _STREAMING
        self._manager = urllib3.PoolManager()
        self._pool: Any = self._manager.connection_from_url(self.url)

    async def send_one(self) -> None:
        self._manager.request("POST", self.url, json=QUESTION)

    async def stream_one(self) -> None:
        response = self._manager.request("POST", self.url, json=QUESTION, preload_content=False)
        for _chunk in response.stream():
            pass
        response.release_conn()

    async def use_pool(self, count: int, **_: bool) -> None:
        for _ in range(count):
            self._pool.urlopen("GET", "/")


class _Reads(io.RawIOBase):
    """What arrives on a connection: one part per read. Each response has its own object."""

    def __init__(self, arriving: Iterator[bytes]) -> None:
        super().__init__()
        self._arriving = arriving

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        part = next(self._arriving)
        buffer[: len(part)] = part
        return len(part)


class _Socket:
    def __init__(self, answer: Answer) -> None:
        self._mine, self._peer = socket.socketpair()
        self._arriving = itertools.cycle(answer)

    def makefile(self, mode: str = "rb", **_: Any) -> io.BufferedReader:
        return io.BufferedReader(_Reads(self._arriving))

    def sendall(self, _: Any) -> None:
        """Accept anything."""

    settimeout = shutdown = sendall

    def fileno(self) -> int:
        return self._mine.fileno()

    def close(self) -> None:
        self._mine.close()
        self._peer.close()


def _connected(address: tuple[str, int], *args: Any, **kwargs: Any) -> Any:
    return _Socket(parts(streaming=address[0] in _STREAMING))


# Before instrumentation, which then wraps this function.
urllib3.util.connection.create_connection = _connected
