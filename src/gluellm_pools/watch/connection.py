"""One connection: requests read by h11, each part within its time and its bound, one by one."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING

import h11

from .answers import Answer, accepted, refused
from .body import Body
from .limits import BODY_BYTES, BODY_SECONDS, HEAD_BYTES, HEAD_SECONDS, IDLE_SECONDS, LINGER_SECONDS
from .refusal import RefusedError
from .routes import Route, encoding_of, header, route_of

if TYPE_CHECKING:
    from .receiver import Receiver

_CHUNK = 2**16
_HTTP2_PREFACE = b"PRI * HTTP/2.0\r\n"
_TLS_HANDSHAKE = b"\x16\x03"


class Connection:
    """Serves until the client leaves, breaks the rules, or is silent for too long."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, receiver: Receiver
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._receiver = receiver
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=HEAD_BYTES)
        self._first = b""
        """The first bytes, by which other protocols are told."""
        self._bodiless = False
        """The request is a HEAD, whose answer has none."""
        self.idle = True
        """Between two requests."""

    async def serve(self) -> None:
        """Answer requests, then close."""
        patience = HEAD_SECONDS
        while await self._exchange(patience):
            self._http.start_next_cycle()
            patience = IDLE_SECONDS

    async def refuse(self) -> None:
        """Tell a client that there are too many, whatever it came for."""
        answer = refused(RefusedError(503, "too many connections, try again later"), None)
        await self._send(answer, close=True)
        await self._linger()

    def close(self) -> None:
        """Cut it off."""
        self._writer.transport.abort()

    def end(self) -> None:
        """Close it once what was written is sent."""
        self._writer.close()

    async def _exchange(self, patience: float) -> bool:
        """One request and its answer; False when the connection is over."""
        request: h11.Request | None = None
        try:
            request = await self._head(patience)
            if request is None:
                return False
            route = route_of(request)
            body = await self._body(request, route)
            rejected = await self._receiver.take(route, body)
        except RefusedError as error:
            if not self._is_other_protocol():
                self._receiver.tell_refusal(error, request)
                encoding = encoding_of(request) if request is not None else None
                done = self._http.their_state is h11.DONE
                await self._send(refused(error, encoding), close=not done)
                if done:
                    return self._http.our_state is h11.DONE
                await self._linger()
            return False
        await self._send(accepted(route.signal, route.encoding, rejected))
        return self._http.our_state is h11.DONE

    async def _head(self, patience: float) -> h11.Request | None:
        """The next request; None when there is none. Raises RefusedError."""
        self.idle = True
        if not self._http.trailing_data[0]:
            try:
                async with asyncio.timeout(patience):
                    await self._receive()
            except TimeoutError:
                return None
        self.idle = False
        try:
            async with asyncio.timeout(HEAD_SECONDS):
                event = await self._event()
        except TimeoutError:
            raise RefusedError(408, f"the head took longer than {HEAD_SECONDS:g} s") from None
        if not isinstance(event, h11.Request):
            return None
        self._bodiless = event.method == b"HEAD"
        return event

    async def _body(self, request: h11.Request, route: Route) -> bytes:
        """The whole body, decompressed. Raises RefusedError."""
        declared = header(request, b"content-length")
        if declared and int(declared) > BODY_BYTES:
            raise RefusedError(413, f"the body is larger than {BODY_BYTES} bytes, send less")
        if self._http.they_are_waiting_for_100_continue:
            go_on = h11.InformationalResponse(status_code=100, headers=[])
            self._writer.write(self._http.send(go_on) or b"")
        body, held = Body(route.compression), 0
        try:
            async with asyncio.timeout(BODY_SECONDS):
                while isinstance(event := await self._event(), h11.Data):
                    body.add(event.data)
                    self._receiver.hold(len(body) - held)
                    held = len(body)
            if not isinstance(event, h11.EndOfMessage):
                raise RefusedError(400, "the body is truncated")
            return body.finish()
        except TimeoutError:
            raise RefusedError(408, f"the body took longer than {BODY_SECONDS:g} s") from None
        finally:
            self._receiver.release(held)

    async def _event(self) -> object:
        """What h11 makes of the bytes that come. Raises RefusedError for what is not HTTP/1."""
        try:
            while (event := self._http.next_event()) is h11.NEED_DATA:
                await self._receive()
        except h11.RemoteProtocolError as error:
            status = error.error_status_hint if error.error_status_hint in (431, 501) else 400
            raise RefusedError(status, f"not HTTP/1.1 as it should be: {error}") from None
        return event

    async def _receive(self) -> None:
        data = await self._reader.read(_CHUNK)
        if len(self._first) < len(_HTTP2_PREFACE):
            self._first = (self._first + data)[: len(_HTTP2_PREFACE)]
        try:
            self._http.receive_data(data)
        except RuntimeError:
            raise RefusedError(400, "the connection ended and went on") from None

    def _is_other_protocol(self) -> bool:
        """Whether it began as another protocol does, which is noted."""
        if self._first == _HTTP2_PREFACE:
            self._receiver.notes.grpc_spoken()
        elif self._first.startswith(_TLS_HANDSHAKE):
            self._receiver.notes.tls_spoken()
        else:
            return False
        return True

    async def _send(self, answer: Answer, *, close: bool = False) -> None:
        """Send the answer, unless the state that the connection is in allows none any more."""
        headers = [*answer.headers, *([("Connection", "close")] if close else [])]
        try:
            parts = (
                self._http.send(_response(answer.status, headers)),
                self._http.send(h11.Data(data=b"" if self._bodiless else answer.body)),
                self._http.send(h11.EndOfMessage()),
            )
        except h11.LocalProtocolError:
            return
        self._writer.write(b"".join(part for part in parts if part))
        async with asyncio.timeout(LINGER_SECONDS):
            await self._writer.drain()

    async def _linger(self) -> None:
        """Close our side, and throw away what still comes: a reset could overtake the answer."""
        try:
            async with asyncio.timeout(LINGER_SECONDS):
                self._writer.write_eof()
                while await self._reader.read(_CHUNK):
                    pass
        except TimeoutError:
            pass


def _response(status: int, headers: list[tuple[str, str]]) -> h11.Response:
    """With the standard phrase: exporters log it as the reason, and nothing else of the answer."""
    return h11.Response(status_code=status, headers=headers, reason=HTTPStatus(status).phrase)
