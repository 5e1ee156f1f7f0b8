"""A connection that speaks HTTP/2: requests side by side, each on a stream of its own.

Clients have to know beforehand that HTTP/2 is spoken; no HTTP/1.1 connection is upgraded.
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

from .answering import SETTLE, Cut, CutError, Order, respond
from .connection import Connection, Origin
from .wire import Request

_READ_BYTES = 65_536


class HTTP2Connection(Connection):
    """No stream is ended but by its answer, by a reset, or with the connection.

    So a request that a client cancels without saying so (httpcore 1.0.9 and httpcore2 2.16.2 send
    no RST_STREAM) keeps its stream, which counts against ``max_streams``, until its answer is sent.
    """

    def __init__(
        self,
        origin: Origin,
        number: int,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        super().__init__(origin, number, reader, writer)
        self._state = H2Connection(H2Configuration(client_side=False, header_encoding=None))
        self._state.local_settings = Settings(
            client=False, initial_values={SettingCodes.MAX_CONCURRENT_STREAMS: origin.max_streams}
        )
        self._streams: dict[int, _Stream] = {}
        """Those that are open, also while their request is still arriving."""
        self._window = asyncio.Event()
        self._expiry = asyncio.timeout(None)
        self._going_away = False
        self._broken_off = False

    async def serve(self) -> None:
        counts = self._origin.counts
        try:
            await self._read()
            if not self._broken_off:
                counts.abandoned += self._unanswered()
        finally:
            counts.open_streams -= len(self._streams)
            tasks = [stream.task for stream in self._streams.values() if stream.task]
            for task in tasks:
                task.cancel()
            if tasks:
                await asyncio.wait(tasks)
            self._writer.close()

    async def _read(self) -> None:
        """React to what arrives until the connection ends, from whichever side."""
        self._state.initiate_connection()
        try:
            async with self._expiry:
                self._expire_when_idle()
                self._flush()
                while data := await self._reader.read(_READ_BYTES):
                    for event in self._state.receive_data(data):
                        self._react(event)
                        if isinstance(event, ConnectionTerminated):
                            return
                    self._flush()
        except TimeoutError:
            if not self._going_away:
                self._origin.counts.idle_closed += 1
                self._writer.write(self._go_away())
        except ProtocolError:
            self._flush()  # h2 says GOAWAY
        except ConnectionError:
            pass

    def _react(self, event: Event) -> None:
        match event:
            case RequestReceived():
                self._open(event.stream_id, event.headers)
            case DataReceived():
                self._state.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                if event.stream_id in self._streams:
                    self._streams[event.stream_id].body += event.data
            case StreamEnded():
                stream = self._streams.get(event.stream_id)
                if stream is not None and not self._broken_off:
                    order = self._take(stream.request())
                    stream.task = asyncio.create_task(self._respond(order, stream))
            case StreamReset():
                stream = self._streams.get(event.stream_id)
                if stream is not None:
                    if stream.task is not None:
                        stream.task.cancel()
                        self._origin.counts.abandoned += not self._broken_off
                    self._closed(stream)
            case WindowUpdated() | RemoteSettingsChanged():
                self._window.set()

    def _open(self, number: int, headers: list[tuple[bytes, bytes]]) -> None:
        if self._going_away:
            return  # the client learns from GOAWAY that it has to send the request elsewhere
        self._streams[number] = _Stream(self, number, headers)
        self.answering = True
        self._expiry.reschedule(None)
        counts = self._origin.counts
        counts.open_streams += 1
        counts.most_streams = max(counts.most_streams, len(self._streams))

    def _closed(self, stream: _Stream) -> None:
        del self._streams[stream.number]
        self._origin.counts.open_streams -= 1
        self._expire_when_idle()

    def _expire_when_idle(self) -> None:
        if self._streams:
            return
        self.answering = False
        # Closed at once, the connection could be reset by a late WINDOW_UPDATE of the client's.
        timeout = SETTLE if self._going_away else self._origin.idle_timeout
        if not math.isinf(timeout):
            self._expiry.reschedule(asyncio.get_running_loop().time() + timeout)

    async def _respond(self, order: Order, stream: _Stream) -> None:
        stream.last = order.behaviour.close
        try:
            await respond(order, stream, self._origin.counts)
        except CutError as error:
            await self._break_off(stream, error.cut)
        except ConnectionError:
            pass  # `_read` sees it as well, and counts
        else:
            self._origin.counts.completed += 1
            self._closed(stream)

    async def _break_off(self, stream: _Stream, cut: Cut) -> None:
        counts = self._origin.counts
        if cut is Cut.ANSWER_RESET:
            counts.resets += 1
            self._state.reset_stream(stream.number, ErrorCodes.INTERNAL_ERROR)
            self._flush()
            self._closed(stream)
            return
        counts.resets += self._unanswered()
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

    async def send_head(self, number: int, headers: list[tuple[str, str]]) -> None:
        self._state.send_headers(number, headers)
        await self._drain()

    async def send_data(self, number: int, data: bytes, *, end: bool, last: bool) -> None:
        """Send as the client's window allows; ``last`` has GOAWAY follow the end of the answer."""
        while True:
            window = self._state.local_flow_control_window(number)
            room = min(window, self._state.max_outbound_frame_size)
            if data and room <= 0:
                self._window.clear()
                await self._window.wait()
                continue
            part, data = data[:room], data[room:]
            ended = end and not data
            self._state.send_data(number, part, end_stream=ended)
            # In one write with the end, or the client could send a request in between.
            await self._drain(self._go_away() if ended and last else b"")
            if not data:
                return

    def _go_away(self) -> bytes:
        self._going_away = True
        # By hand: after its own close_connection() h2 would not finish the open streams.
        highest = self._state.highest_inbound_stream_id
        return GoAwayFrame(stream_id=0, last_stream_id=highest).serialize()

    def _flush(self, more: bytes = b"") -> None:
        self._writer.write(self._state.data_to_send() + more)

    async def _drain(self, more: bytes = b"") -> None:
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
        """Answers the request, once that arrived whole."""
        self.last = False
        """Whether the connection goes away after this answer."""
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
        await self._connection.send_head(self.number, lines)

    async def write(self, data: bytes, *, end: bool = False) -> None:
        await self._connection.send_data(self.number, data, end=end, last=self.last)

    async def pause(self, seconds: float) -> None:
        """Wait. The connection cancels the answer if the client leaves meanwhile."""
        if math.isinf(seconds):
            await asyncio.Event().wait()
        elif seconds > 0:
            await asyncio.sleep(seconds)
