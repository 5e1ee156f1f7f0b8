"""What a server does with a request: a script of delays, chunks and failures."""

import asyncio
from dataclasses import dataclass, field
from enum import StrEnum


class Gate:
    """A point of a script that the server passes only once the test opens it, from any thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._event = asyncio.Event()

    def open(self) -> None:
        """Let the server continue."""
        self._loop.call_soon_threadsafe(self._event.set)

    async def passed(self) -> None:
        """Wait, on the server's loop, until the gate is open."""
        await self._event.wait()


Delay = float | Gate
"""Seconds, or a gate that the test opens. A gate that is never opened is a server that hangs."""


async def pause(delay: Delay) -> None:
    """Wait for a delay on the server's loop."""
    if isinstance(delay, Gate):
        await delay.passed()
    elif delay > 0:
        await asyncio.sleep(delay)


class Failure(StrEnum):
    """How a reply breaks off. A reset is a TCP RST, or RST_STREAM on HTTP/2."""

    NONE = "none"
    RESET_BEFORE_HEAD = "reset before the head"
    RESET_IN_BODY = "reset after the last chunk"
    EOF_BEFORE_HEAD = "end of file before the head"
    EOF_IN_BODY = "end of file after the last chunk"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One reply: the head after a delay, then chunks, each after its own, then the end."""

    interim: int | None = None
    """Status of a response that is sent at once, before the final one."""
    head_after: Delay = 0.0
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    chunks: tuple[tuple[Delay, bytes], ...] = ((0.0, b"ok"),)
    end_after: Delay = 0.0
    failure: Failure = Failure.NONE


@dataclass(slots=True)
class Script:
    """The replies of a server by path. The last reply of a path is repeated."""

    _replies: dict[str, list[Reply]] = field(default_factory=dict)

    def set(self, path: str, *replies: Reply) -> None:
        """Answer requests for ``path`` with these replies, in order."""
        self._replies[path] = list(replies)

    def next(self, path: str) -> Reply:
        """The reply to the next request for ``path``."""
        replies = self._replies.get(path)
        if not replies:
            return Reply()
        return replies.pop(0) if len(replies) > 1 else replies[0]
