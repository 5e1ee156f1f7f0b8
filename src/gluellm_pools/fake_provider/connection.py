"""One accepted connection, and how a behaviour is carried out on it in any version of HTTP."""

from __future__ import annotations

import asyncio
import math
import random
import socket
import struct
from dataclasses import dataclass
from typing import Protocol

from .behaviour import Behaviour, Counts
from .messages import Answer, ApiRequest, Stream, Whole
from .origin import Origin

SETTLE = 0.01
"""Seconds between the last byte and a reset, so that the client has read what was sent."""
READ_BYTES = 65_536
_PING = b": ping\n\n"
"""A comment of server-sent events, as providers send to keep a connection open."""


class CutError(Exception):
    """The behaviour breaks the answer off here, with a reset (TCP RST)."""


class HangUpError(CutError):
    """The behaviour breaks the answer off here, with an orderly close (TCP FIN) on HTTP/1.1."""


class Wire(Protocol):
    """Sends one answer."""

    async def head(self, status: int, headers: dict[str, str], length: int | None) -> None:
        """Send the head. Without a length the body ends where `write` ends it."""

    async def write(self, data: bytes, *, end: bool = False) -> None:
        """Send a part of the body; ``end`` marks the last one."""

    async def pause(self, seconds: float) -> None:
        """Wait, without end if infinite. Does not return if the client leaves meanwhile."""


@dataclass(eq=False)
class Connection:
    """Reads and answers requests until either side closes."""

    _origin: Origin
    _number: int
    _reader: asyncio.StreamReader
    _writer: asyncio.StreamWriter
    _served: int = 0

    async def serve(self) -> None:
        """Answer requests; returns when the connection is closed."""
        raise NotImplementedError

    @property
    def _counts(self) -> Counts:
        return self._origin.counts

    def reset(self) -> None:
        """Close at once with a TCP RST: linger 0 makes the kernel send it instead of a FIN."""
        sock = self._writer.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()

    def _order(self, request: ApiRequest) -> tuple[Answer, Behaviour]:
        self._served += 1
        return self._origin.order(request, self._number, reused=self._served > 1)


async def respond(answer: Answer, behaviour: Behaviour, wire: Wire, counts: Counts) -> None:
    """Send the answer and count it. Raises `CutError` where the behaviour breaks off."""
    if isinstance(answer, Stream):
        await _send_stream(answer, behaviour, wire, counts)
    else:
        await _send_whole(answer, behaviour, wire, counts)
    counts.completed += 1


async def _send_whole(answer: Whole, behaviour: Behaviour, wire: Wire, counts: Counts) -> None:
    delay = behaviour.head_delay
    if behaviour.token_rate and answer.status < 400:
        delay += behaviour.tokens / behaviour.token_rate
    await _until_head(delay, behaviour, wire)
    headers = {"content-type": "application/json"}
    if behaviour.retry_after is not None and answer.status >= 400:
        headers["retry-after"] = f"{behaviour.retry_after:g}"
    counts.by_status[answer.status] += 1
    await wire.head(answer.status, headers, len(answer.body))
    cuts = (behaviour.reset_after, behaviour.hang_up_after, behaviour.stall_after)
    if any(cut is not None for cut in cuts):
        await wire.write(answer.body[: len(answer.body) // 2])
        await _disturb(behaviour, wire, math.inf)
    await wire.write(answer.body, end=True)


async def _send_stream(answer: Stream, behaviour: Behaviour, wire: Wire, counts: Counts) -> None:
    await _until_head(behaviour.head_delay, behaviour, wire)
    counts.by_status[200] += 1
    await wire.head(200, {"content-type": "text/event-stream"}, None)
    await wire.write(answer.opening)
    clock = asyncio.get_running_loop().time
    started = clock()
    await _disturb(behaviour, wire, 0)
    for sent, token in enumerate(answer.tokens, 1):
        if behaviour.token_rate:
            await wire.pause(started + sent / behaviour.token_rate - clock())
        await wire.write(token)
        await _disturb(behaviour, wire, sent)
    await wire.write(answer.closing, end=True)


async def _until_head(delay: float, behaviour: Behaviour, wire: Wire) -> None:
    await wire.pause(delay + random.uniform(0, behaviour.jitter))
    if behaviour.reset_before_head:
        raise CutError


async def _disturb(behaviour: Behaviour, wire: Wire, sent: float) -> None:
    """Carry out what the behaviour does once that many tokens were sent."""
    if behaviour.reset_after is not None and sent >= behaviour.reset_after:
        raise CutError
    if behaviour.hang_up_after is not None and sent >= behaviour.hang_up_after:
        raise HangUpError
    if behaviour.stall_after is not None and sent >= behaviour.stall_after:
        while behaviour.ping_every and math.isfinite(sent):
            await wire.pause(behaviour.ping_every)
            await wire.write(_PING)
        await wire.pause(math.inf)
