"""An HTTP/2 server that follows a script."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

import h2.config
import h2.connection
import h2.events
import h2.settings
from hyperframe.frame import GoAwayFrame

from .listener import Listener, ServerLoop
from .script import Failure, Reply, pause


@dataclass(slots=True)
class _Connection:
    number: int
    state: h2.connection.H2Connection
    writer: asyncio.StreamWriter
    replies: dict[int, asyncio.Task[None]] = field(default_factory=dict)
    last_stream: int = 2**31 - 1

    def flush(self) -> None:
        self.writer.write(self.state.data_to_send())


class HTTP2Server(Listener):
    """Serves over TLS with ALPN, or in cleartext to clients with prior knowledge."""

    max_streams = 100

    def __init__(self, servers: ServerLoop, **settings: Any) -> None:
        self._connections: dict[int, _Connection] = {}
        super().__init__(servers, **settings)

    def go_away(self) -> None:
        """Send GOAWAY on every connection; streams that have begun are finished."""

        async def send() -> None:
            for connection in self._connections.values():
                connection.last_stream = connection.state.highest_inbound_stream_id
                # Not by close_connection(): h2 would not finish the open streams.
                frame = GoAwayFrame(stream_id=0, last_stream_id=connection.last_stream)
                connection.writer.write(frame.serialize())
                self.timeline.record("goaway", connection.number)

        self._servers.call(send())

    async def serve(
        self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Serve streams until either side closes."""
        config = h2.config.H2Configuration(client_side=False)
        state = h2.connection.H2Connection(config=config)
        limit = {h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: self.max_streams}
        state.local_settings = h2.settings.Settings(client=False, initial_values=limit)
        state.initiate_connection()
        connection = self._connections[number] = _Connection(number, state, writer)
        connection.flush()
        try:
            while data := await reader.read(65536):
                for event in state.receive_data(data):
                    self._react(connection, event)
                connection.flush()
        finally:
            del self._connections[number]
            for task in connection.replies.values():
                task.cancel()
            if number in self._writers:
                self.timeline.record("peer_closed", number)

    def _react(self, connection: _Connection, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.RequestReceived):
            path = dict(event.headers)[b":path"].decode()
            stream = event.stream_id
            if stream > connection.last_stream:
                return
            self.timeline.record("request", connection.number, path)
            answering = asyncio.ensure_future(self._answer(connection, stream, path))
            connection.replies[stream] = answering
            answering.add_done_callback(lambda _: connection.replies.pop(stream, None))
        elif isinstance(event, h2.events.DataReceived):
            # Without it clients stop after 64 KiB of bodies on a connection.
            length = event.flow_controlled_length
            connection.state.acknowledge_received_data(length, event.stream_id)
        elif isinstance(event, h2.events.StreamReset):
            self.timeline.record("stream_reset", connection.number)
            if event.stream_id in connection.replies:
                connection.replies[event.stream_id].cancel()

    async def _answer(self, connection: _Connection, stream: int, path: str) -> None:
        reply: Reply = self.script.next(path)
        state, number = connection.state, connection.number
        await pause(reply.head_after)
        if reply.failure is Failure.RESET_BEFORE_HEAD:
            self._reset(connection, stream, path)
            return
        if reply.failure is Failure.EOF_BEFORE_HEAD:
            self._close(number)
            return
        state.send_headers(stream, [(":status", str(reply.status)), *reply.headers])
        connection.flush()
        self.timeline.record("head", number, path)
        for delay, chunk in reply.chunks:
            await pause(delay)
            state.send_data(stream, chunk)
            connection.flush()
            self.timeline.record("chunk", number, path)
        await pause(reply.end_after)
        if reply.failure is Failure.RESET_IN_BODY:
            self._reset(connection, stream, path)
            return
        if reply.failure is Failure.EOF_IN_BODY:
            self._close(number)
            return
        state.end_stream(stream)
        connection.flush()
        self.timeline.record("body_end", number, path)

    def _reset(self, connection: _Connection, stream: int, path: str) -> None:
        connection.state.reset_stream(stream)
        connection.flush()
        self.timeline.record("reset", connection.number, path)
