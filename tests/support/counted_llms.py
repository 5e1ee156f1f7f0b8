"""The fake providers, with counts of their connections: open now, peak and accepted."""

import asyncio
from dataclasses import replace
from typing import Any

from .fake_llms import Answers, FakeLLMs
from .listener import ServerLoop
from .script import Delay, Gate, Reply


class _Slow(Answers):
    """Delays each answer by seconds, or until enough requests have arrived."""

    head_after: Delay = 0.0
    body_after: float = 0.0
    missing: int = 0

    def next(self, path: str) -> Reply:
        self.missing -= 1
        if self.missing == 0:
            assert isinstance(self.head_after, Gate)
            self.head_after.open()
        reply = Answers.next(self, path)
        chunks = tuple((self.body_after, chunk) for _, chunk in reply.chunks)
        return replace(reply, head_after=self.head_after, chunks=chunks)


class CountedLLMs(FakeLLMs):
    """All providers in one server. Read its numbers from any thread."""

    def __init__(self, servers: ServerLoop, **settings: Any) -> None:
        self.open_now = 0
        self.peak = 0
        self.accepted = 0
        super().__init__(servers, **settings)
        self.slow = _Slow()
        self.script = self.answers = self.slow

    def answer_after(self, delay: Delay) -> None:
        """Delay each answer by seconds, or until a gate is opened."""
        self.slow.head_after = delay
        self.slow.body_after = 0.0
        self.slow.missing = 0

    def answer_together(self, count: int, body_after: float = 0.0) -> None:
        """Delay answers until ``count`` requests have arrived, and each body by ``body_after``."""
        self.answer_after(self.gate())
        self.slow.body_after = body_after
        self.slow.missing = count

    async def serve(
        self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.accepted += 1
        self.open_now += 1
        self.peak = max(self.peak, self.open_now)
        try:
            await super().serve(number, reader, writer)
        finally:
            self.open_now -= 1
