"""A connection that speaks HTTP/2: concurrent requests, each on a stream of its own.

Clients have to know HTTP/2 beforehand; HTTP/1.1 connections are not upgraded.
"""

from __future__ import annotations

import asyncio
import math

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    ConnectionTerminated,
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
from hyperframe.frame import GoAwayFrame

from .connection import READ_BYTES, SETTLE, Connection, Cut, CutError, respond
from .messages import Request
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
        self._expiry = asyncio.timeout(None)
        self._going_away = self._broken_off = False
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
        try:
            async with self._expiry:
                self._expire_when_idle()
                self._flush()
                while data := await self._reader.read(READ_BYTES):
                    for event in self.state.receive_data(data):
                        self._react(event)
                        if isinstance(event, ConnectionTerminated):
                            return
                    self._flush()
        except TimeoutError:
            if not self._going_away:
                self._counts.idle_closed += 1
                self._writer.write(self.go_away())
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
        if self._going_away:
            return  # GOAWAY makes the client send the request elsewhere
        self._streams[number] = _Stream(self, number, headers)
        self.answering = True
        self._expiry.reschedule(None)
        self._counts.open_streams += 1
        self._counts.most_streams = max(self._counts.most_streams, len(self._streams))

    def _closed(self, stream: _Stream) -> None:
        del self._streams[stream.number]
        self._counts.open_streams -= 1
        self._expire_when_idle()

    def _expire_when_idle(self) -> None:
        if self._streams:
            return
        self.answering = False
        # Closed at once, the connection could be reset by a late WINDOW_UPDATE of the client.
        timeout = SETTLE if self._going_away else self._origin.idle_timeout
        if not math.isinf(timeout):
            self._expiry.reschedule(asyncio.get_running_loop().time() + timeout)

    async def _respond(self, order: Order, stream: _Stream) -> None:
        stream.last = order.behaviour.close
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

    def go_away(self) -> bytes:
        self._going_away = True
        # By hand: h2 would not finish the open streams after its own close_connection().
        highest = self.state.highest_inbound_stream_id
        return GoAwayFrame(stream_id=0, last_stream_id=highest).serialize()

    def _flush(self, more: bytes = b"") -> None:
        self._writer.write(self.state.data_to_send() + more)

    async def drain(self, more: bytes = b"") -> None:
        self._flush(more)
        await self._writer.drain()


class _Stream:
    """A request as it arrives, and the `Wire` of its answer."""

    def __init__(
        self, connection: HTTP2Connection, number: int, headers: list[tuple[bytes, bytes]]
    ) -> None:
        self.number = number
        self.body = bytearray()
        self.task: asyncio.Task[None] | None = None
        """Answers the request once it arrived whole."""
        self.last = False
        """Whether GOAWAY follows the answer."""
        self._connection = connection
        self._headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in headers}

    def request(self) -> Request:
        headers = self._headers
        path = headers[":path"].partition("?")[0]
        return Request(headers[":method"], path, headers, bytes(self.body))

    async def head(self, status: int, headers: dict[str, str], length: int | None) -> None:
        if length is not None:
            headers["content-length"] = str(length)
        lines = [(":status", str(status)), *headers.items()]
        self._connection.state.send_headers(self.number, lines)
        await self._connection.drain()

    async def write(self, data: bytes, *, end: bool = False) -> None:
        """Send as the client's window allows."""
        connection = self._connection
        state = connection.state
        while True:
            window = state.local_flow_control_window(self.number)
            room = min(window, state.max_outbound_frame_size)
            if data and room <= 0:
                connection.window.clear()
                await connection.window.wait()
                continue
            part, data = data[:room], data[room:]
            ended = end and not data
            state.send_data(self.number, part, end_stream=ended)
            # In one write with the end, or the client could send a request in between.
            await connection.drain(connection.go_away() if ended and self.last else b"")
            if not data:
                return

    async def pause(self, seconds: float) -> None:
        """Wait. The connection cancels the answer if the client leaves meanwhile."""
        if math.isinf(seconds):
            await asyncio.Event().wait()
        elif seconds > 0:
            await asyncio.sleep(seconds)
