"""The fake providers, with an eye on connections: how many are open, and how many ever were."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from .fake_llms import Answers, FakeLLMs
from .listener import ServerLoop
from .script import Delay, Reply


class _Slow(Answers):
    """Gives each answer after a while."""

    head_after: Delay = 0.0

    def next(self, path: str) -> Reply:
        return replace(Answers.next(self, path), head_after=self.head_after)


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
        """Let each request wait, for seconds or until a gate is opened, before its answer."""
        self.slow.head_after = delay

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
