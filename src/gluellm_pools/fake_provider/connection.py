"""One accepted connection: what is the same in every version of HTTP."""

from __future__ import annotations

import asyncio
import socket
import struct
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Protocol

from . import anthropic_api, openai_api
from .answer import Answer, Whole, whole
from .answering import Order
from .behaviour import Behaviour, Counts, ReceivedRequest
from .wire import Request

_Make = Callable[[Request, int, int], Answer | None]
_MakeError = Callable[[int, str], Answer]
_APIS: dict[str, tuple[_Make, _MakeError]] = {
    "anthropic": (anthropic_api.answer, anthropic_api.error),
    "openai": (openai_api.answer, openai_api.error),
}


class Origin(Protocol):
    """What a connection needs of the provider it belongs to."""

    counts: Counts
    idle_timeout: float
    max_streams: int
    replies: dict[tuple[str, str], object]

    def received(self, request: ReceivedRequest) -> Behaviour: ...


class Connection(ABC):
    """Requests are read and answered as the behaviour says, until either side closes."""

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

    @abstractmethod
    async def serve(self) -> None:
        """Answer requests; returns when the connection is closed."""

    def reset(self) -> None:
        """Close at once with a TCP RST: linger 0 makes the kernel send it instead of a FIN."""
        sock = self._writer.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()

    def _take(self, request: Request) -> Order:
        """Count a request that arrived whole, and ask what is to be done with it."""
        self._served += 1
        counts = self._origin.counts
        counts.requests += 1
        counts.used_connections += self._served == 1
        received = self._received(request)
        counts.by_api[received.api] += 1
        behaviour = self._origin.received(received)
        answer = self._answer(request, received, behaviour)
        return Order(answer, behaviour, reused=self._served > 1)

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
