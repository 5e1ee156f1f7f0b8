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
from h2.events import (
    DataReceived,
    Event,
    RemoteSettingsChanged,
    RequestReceived,
    StreamEnded,
    StreamReset,
    WindowUpdated,
)
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes, Settings

from .connection import READ_BYTES, SETTLE, Connection, Cut, CutError, respond
from .messages import ApiRequest
from .origin import Order


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
        self.window = asyncio.Event()
        """Set when the client opens its window."""
        self._streams: dict[int, _Stream] = {}
        """The open ones, including those whose request is still arriving."""
        self._broken_off = False
        try:
            await self._read()
            if not self._broken_off:
                self._counts.abandoned += self._unanswered()
        finally:
            self._counts.open_streams -= len(self._streams)
            tasks = [stream.task for stream in self._streams.values() if stream.task]
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
                self._open(event.stream_id, event.headers)
            case DataReceived():
                self.state.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                if event.stream_id in self._streams:
                    self._streams[event.stream_id].body += event.data
            case StreamEnded():
                stream = self._streams.get(event.stream_id)
                if stream is not None and not self._broken_off:
                    order = self._order(stream.request())
                    stream.task = asyncio.create_task(self._respond(order, stream))
            case StreamReset():
                stream = self._streams.get(event.stream_id)
                if stream is not None:
                    if stream.task is not None:
                        stream.task.cancel()
                        self._counts.abandoned += not self._broken_off
                    self._closed(stream)
            case WindowUpdated() | RemoteSettingsChanged():
                self.window.set()

    def _open(self, number: int, headers: list[tuple[bytes, bytes]]) -> None:
        self._streams[number] = _Stream(self, number, headers)
        self.answering = True
        self._counts.open_streams += 1
        self._counts.most_streams = max(self._counts.most_streams, len(self._streams))

    def _closed(self, stream: _Stream) -> None:
        del self._streams[stream.number]
        self.answering = bool(self._streams)
        self._counts.open_streams -= 1

    async def _respond(self, order: Order, stream: _Stream) -> None:
        try:
            await respond(order, stream, self._counts)
        except CutError as error:
            await self._break_off(stream, error.cut)
        except ConnectionError:
            pass  # `_read` meets it as well, and counts it
        else:
            self._closed(stream)

    async def _break_off(self, stream: _Stream, cut: Cut) -> None:
        if cut is Cut.ANSWER_RESET:
            self._counts.resets += 1
            self.state.reset_stream(stream.number, ErrorCodes.INTERNAL_ERROR)
            self._flush()
            self._closed(stream)
            return
        self._counts.resets += self._unanswered()
        self._broken_off = True
        for other in self._streams.values():
            if other is not stream and other.task is not None:
                other.task.cancel()
        await asyncio.sleep(SETTLE)
        if cut is Cut.CONNECTION_RESET:
            self.reset()
        else:
            self._writer.close()

    def _unanswered(self) -> int:
        return sum(stream.task is not None for stream in self._streams.values())

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
        """Send as the client's window allows."""
        connection, state = self.connection, self.connection.state
        while True:
            window = state.local_flow_control_window(self.number)
            room = min(window, state.max_outbound_frame_size)
            if data and room <= 0:
                connection.window.clear()
                await connection.window.wait()
                continue
            part, data = data[:room], data[room:]
            state.send_data(self.number, part, end_stream=end and not data)
            await connection.drain()
            if not data:
                return

    async def pause(self, seconds: float) -> None:
        """Wait. The connection cancels the answer if the client leaves meanwhile."""
        if math.isinf(seconds):
            await asyncio.Event().wait()
        elif seconds > 0:
            await asyncio.sleep(seconds)
