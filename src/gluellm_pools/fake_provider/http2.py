"""A connection that speaks HTTP/2: concurrent requests, each on a stream of its own.

Clients have to know HTTP/2 beforehand; HTTP/1.1 connections are not upgraded.
"""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass, field

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import DataReceived, Event, RequestReceived, StreamEnded, StreamReset
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes, Settings

from .behaviour import Behaviour
from .connection import READ_BYTES, Connection, CutError, respond
from .messages import Answer, ApiRequest


class HTTP2Connection(Connection):
    """A stream ends with its answer, with a reset, or with the connection.

    A request that a client cancels without RST_STREAM (httpcore 1.0.9 and httpcore2 2.16.2 send
    none) keeps its stream until its answer is sent, and counts against ``max_streams`` until then.
    """

    async def serve(self) -> None:
        self.state = H2Connection(H2Configuration(client_side=False, header_encoding=None))
        self.state.local_settings = Settings(
            client=False,
            initial_values={SettingCodes.MAX_CONCURRENT_STREAMS: self._origin.max_streams},
        )
        self._streams: dict[int, _Stream] = {}
        """Open streams, including streams whose request is still arriving."""
        try:
            await self._read()
            self._counts.abandoned += len(self._tasks())
        finally:
            tasks = self._tasks()
            for task in tasks:
                task.cancel()
            if tasks:
                await asyncio.wait(tasks)
            self._writer.close()

    async def _read(self) -> None:
        """React to what arrives until either side ends the connection."""
        self.state.initiate_connection()
        self._flush()
        try:
            while data := await self._reader.read(READ_BYTES):
                for event in self.state.receive_data(data):
                    self._react(event)
                self._flush()
        except ProtocolError:
            self._flush()  # h2 has a GOAWAY to send
        except ConnectionError:
            pass

    def _react(self, event: Event) -> None:
        match event:
            case RequestReceived():
                stream = _Stream(self, event.stream_id, event.headers)
                self._streams[event.stream_id] = stream
            case DataReceived():
                self.state.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                if event.stream_id in self._streams:
                    self._streams[event.stream_id].body += event.data
            case StreamEnded():
                stream = self._streams[event.stream_id]
                answer, behaviour = self._order(stream.request())
                stream.task = asyncio.create_task(self._respond(answer, behaviour, stream))
            case StreamReset():
                reset = self._streams.pop(event.stream_id, None)
                if reset is not None and reset.task is not None:
                    reset.task.cancel()
                    self._counts.abandoned += 1

    async def _respond(self, answer: Answer, behaviour: Behaviour, stream: _Stream) -> None:
        try:
            await respond(answer, behaviour, stream, self._counts)
        except CutError:
            self._counts.resets += 1
            self.state.reset_stream(stream.number, ErrorCodes.INTERNAL_ERROR)
            self._flush()
        except ConnectionError:
            return  # `_read` meets it as well, and counts it
        del self._streams[stream.number]

    def _tasks(self) -> list[asyncio.Task[None]]:
        return [stream.task for stream in self._streams.values() if stream.task is not None]

    def _flush(self) -> None:
        self._writer.write(self.state.data_to_send())

    async def drain(self) -> None:
        self._flush()
        await self._writer.drain()


@dataclass(eq=False)
class _Stream:
    """A request as it arrives, and the `Wire` of its answer."""

    connection: HTTP2Connection
    number: int
    headers: list[tuple[bytes, bytes]]
    body: bytearray = field(default_factory=bytearray)
    task: asyncio.Task[None] | None = None
    """Answers the request once it arrived whole."""

    def request(self) -> ApiRequest:
        pseudo = dict(self.headers)
        return ApiRequest.of(pseudo[b":method"], pseudo[b":path"], self.headers, self.body)

    async def head(self, status: int, headers: dict[str, str], length: int | None) -> None:
        if length is not None:
            headers["content-length"] = str(length)
        lines = [(":status", str(status)), *headers.items()]
        self.connection.state.send_headers(self.number, lines)
        await self.connection.drain()

    async def write(self, data: bytes, *, end: bool = False) -> None:
        """Send. Raises h2's ProtocolError beyond the client's window, of 64 KiB at first."""
        self.connection.state.send_data(self.number, data, end_stream=end)
        await self.connection.drain()

    async def pause(self, seconds: float) -> None:
        """Wait. The connection cancels the answer if the client leaves meanwhile."""
        if math.isinf(seconds):
            await asyncio.Event().wait()
        elif seconds > 0:
            await asyncio.sleep(seconds)
