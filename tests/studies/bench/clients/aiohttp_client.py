"""aiohttp, over an event loop that connects to a script.

The connector only asks the loop to connect a socket and to make a transport for it. So session,
connector, protocol and parser all run.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Coroutine
from typing import Any

import aiohttp

from ..exchange import QUESTION, URL, parts
from ..network import Answer
from .base import Client

_URL = URL.replace("api.openai.com", "127.0.0.1")
"""An IP address, so that no name is resolved."""
_END = b"]}"
"""The last bytes of a request's JSON, which trigger the answer."""


class ScriptedLoop(asyncio.SelectorEventLoop):
    """Connects at once, and answers each request from its socket's script."""

    async def sock_connect(self, sock: socket.socket, address: Any) -> None:
        """Do nothing, since there is no server."""

    async def create_connection(  # type: ignore[override]
        self, protocol_factory: Callable[[], asyncio.Protocol], *, sock: _Socket, **_: Any
    ) -> tuple[asyncio.Transport, asyncio.Protocol]:
        """Return a transport that plays the socket's script to the protocol."""
        sock.close()
        protocol = protocol_factory()
        transport = _Transport(self, protocol, sock.parts)
        protocol.connection_made(transport)
        return transport, protocol


class AsyncClient(Client):
    """A session with its default connector, which is what google-genai and others build."""

    def __init__(
        self, _library: str, *, streaming: bool = False, answer: Answer = (), limit: int = 100
    ) -> None:
        def scripted(address: aiohttp.AddrInfoType) -> socket.socket:
            return _Socket(answer or parts(streaming=streaming))

        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(socket_factory=scripted, limit=limit)
        )

    def request(self) -> Coroutine[Any, Any, Any]:
        """A request that ends with the head of its response."""
        return self._session._request("POST", _URL, json=QUESTION)

    async def send_one(self) -> None:
        async with self._session.post(_URL, json=QUESTION) as response:
            await response.read()

    async def stream_one(self) -> None:
        async with self._session.post(_URL, json=QUESTION) as response:
            async for _chunk in response.content.iter_any():
                pass

    async def close(self) -> None:
        await self._session.close()


class _Socket(socket.socket):
    def __init__(self, answer: Answer) -> None:
        super().__init__(socket.AF_INET, socket.SOCK_STREAM)
        self.parts = answer


class _Transport(asyncio.Transport):
    """Delivers each part of the answer as a separate read, for which the reader has to wait."""

    def __init__(self, loop: Any, protocol: asyncio.Protocol, answer: Answer) -> None:
        super().__init__()
        self._loop, self._protocol, self._parts = loop, protocol, answer
        self._closing = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if bytes(data[-2:]) == _END:
            self._loop.call_soon(self._answer, 0)

    def _answer(self, number: int) -> None:
        if self._closing:
            return
        self._protocol.data_received(self._parts[number])
        if number + 1 < len(self._parts):
            self._loop.call_soon(self._answer, number + 1)

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        if not self._closing:
            self._closing = True
            self._loop.call_soon(self._protocol.connection_lost, None)

    abort = close

    def pause_reading(self) -> None:
        """Reads come one at a time anyway."""

    resume_reading = pause_reading

    def get_write_buffer_size(self) -> int:
        return 0
