"""One accepted connection: requests are read and answered as the behaviour says."""

from __future__ import annotations

import asyncio
import math
import random
import socket
import struct
from collections.abc import Callable
from typing import Protocol

from . import anthropic_api, openai_api
from .answer import Answer, Stream, Whole, whole
from .behaviour import Behaviour, Counts, ReceivedRequest
from .wire import BadRequestError, Request, chunk, read_request, response_head

_Make = Callable[[Request, int, int], Answer | None]
_MakeError = Callable[[int, str], Answer]
_APIS: dict[str, tuple[_Make, _MakeError]] = {
    "anthropic": (anthropic_api.answer, anthropic_api.error),
    "openai": (openai_api.answer, openai_api.error),
}
_SETTLE = 0.01
"""Seconds between the last byte and a reset, so that the client has read what was sent."""


class Origin(Protocol):
    """What a connection needs of the provider it belongs to."""

    counts: Counts
    idle_timeout: float
    replies: dict[tuple[str, str], object]

    def received(self, request: ReceivedRequest) -> Behaviour: ...


class _ClientLeftError(Exception):
    pass


class _HangUpError(Exception):
    def __init__(self, *, reset: bool) -> None:
        self.reset = reset


class Connection:
    def __init__(
        self,
        origin: Origin,
        number: int,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self._origin = origin
        self._number = number
        self._reader = reader
        self._writer = writer
        self._served = 0
        self.answering = False

    async def serve(self) -> None:
        counts = self._origin.counts
        try:
            while await self._serve_one():
                pass
        except _HangUpError as hang_up:
            counts.resets += 1
            await asyncio.sleep(_SETTLE)
            if hang_up.reset:
                self.reset()
        except (_ClientLeftError, ConnectionError):
            if self.answering:
                counts.abandoned += 1
        except BadRequestError:
            self._writer.write(response_head(400, {"content-length": "0", "connection": "close"}))
        finally:
            self._writer.close()

    def reset(self) -> None:
        """Close at once with a TCP RST: linger 0 makes the kernel send it instead of a FIN."""
        sock = self._writer.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()

    async def _serve_one(self) -> bool:
        """Answer one request; whether the connection stays open for another."""
        self.answering = False
        idle = self._origin.idle_timeout
        try:
            async with asyncio.timeout(None if math.isinf(idle) else idle):
                request = await read_request(self._reader)
        except TimeoutError:
            self._origin.counts.idle_closed += 1
            return False
        if request is None:
            return False
        self.answering = True
        self._served += 1
        counts = self._origin.counts
        counts.requests += 1
        counts.used_connections += self._served == 1
        received = self._received(request)
        counts.by_api[received.api] += 1
        behaviour = self._origin.received(received)
        answer = self._answer(request, received, behaviour)
        close = behaviour.close or request.wants_close
        if isinstance(answer, Stream):
            await self._send_stream(answer, behaviour, close)
        else:
            await self._send_whole(answer, behaviour, close)
        counts.completed += 1
        return not close

    def _received(self, request: Request) -> ReceivedRequest:
        fields = request.fields
        model = fields.get("model")
        return ReceivedRequest(
            method=request.method,
            path=request.path,
            api="anthropic" if "anthropic-version" in request.headers else "openai",
            model=model if isinstance(model, str) else None,
            stream=fields.get("stream") is True,
            connection=self._number,
        )

    def _answer(self, request: Request, received: ReceivedRequest, behaviour: Behaviour) -> Answer:
        make, make_error = _APIS[received.api]
        if behaviour.status >= 400:
            return make_error(behaviour.status, "scripted by the fake provider")
        reply = self._origin.replies.get((request.method, request.path))
        if reply is not None:
            return Whole(reply) if isinstance(reply, bytes) else whole(reply)
        answer = make(request, behaviour.tokens, self._origin.counts.requests)
        return answer or make_error(404, f"no such endpoint: {request.method} {request.path}")

    async def _send_whole(self, answer: Whole, behaviour: Behaviour, close: bool) -> None:
        generating = 0.0
        if behaviour.token_rate and answer.status < 400:
            generating = behaviour.tokens / behaviour.token_rate
        headers = {
            "content-type": "application/json",
            "content-length": str(len(answer.body)),
        }
        if behaviour.retry_after is not None and answer.status >= 400:
            headers["retry-after"] = f"{behaviour.retry_after:g}"
        await self._head(answer.status, headers, behaviour, close, generating)
        cuts = (behaviour.reset_after, behaviour.hang_up_after, behaviour.stall_after)
        if any(cut is not None for cut in cuts):
            await self._write(answer.body[: len(answer.body) // 2])
            await self._disturb(behaviour, math.inf)
        await self._write(answer.body)

    async def _send_stream(self, answer: Stream, behaviour: Behaviour, close: bool) -> None:
        headers = {"content-type": "text/event-stream", "transfer-encoding": "chunked"}
        await self._head(200, headers, behaviour, close, 0.0)
        await self._write(chunk(answer.opening))
        clock: Callable[[], float] = asyncio.get_running_loop().time
        started = clock()
        await self._disturb(behaviour, 0)
        for sent, token in enumerate(answer.tokens, 1):
            if behaviour.token_rate:
                await self._pause(started + sent / behaviour.token_rate - clock())
            await self._write(chunk(token))
            await self._disturb(behaviour, sent)
        await self._write(chunk(answer.closing) + chunk(b""))

    async def _head(
        self,
        status: int,
        headers: dict[str, str],
        behaviour: Behaviour,
        close: bool,
        generating: float,
    ) -> None:
        delay = behaviour.head_delay + generating + random.uniform(0, behaviour.jitter)
        await self._pause(delay)
        if behaviour.reset_before_head:
            raise _HangUpError(reset=True)
        headers["connection"] = "close" if close else "keep-alive"
        self._origin.counts.by_status[status] += 1
        await self._write(response_head(status, headers))

    async def _disturb(self, behaviour: Behaviour, sent: float) -> None:
        """Do what the script says once that many tokens were sent."""
        if behaviour.reset_after is not None and sent >= behaviour.reset_after:
            raise _HangUpError(reset=True)
        if behaviour.hang_up_after is not None and sent >= behaviour.hang_up_after:
            raise _HangUpError(reset=False)
        if behaviour.stall_after is not None and sent >= behaviour.stall_after:
            await self._pause(math.inf)

    async def _pause(self, seconds: float) -> None:
        """Wait, and notice a client that leaves meanwhile.

        A client sends nothing while it waits for an answer, so all there is to read is its end.
        """
        if seconds <= 0:
            return
        try:
            async with asyncio.timeout(None if math.isinf(seconds) else seconds):
                await self._reader.read(1)
        except TimeoutError:
            return
        raise _ClientLeftError

    async def _write(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()
