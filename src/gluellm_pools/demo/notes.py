"""What is logged while the live view owns the terminal."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, deque

from opentelemetry.instrumentation.gluellm.telemetry.semconv import SCOPE_NAME

from ..text import printable

_LONGEST = 200
_MOST = 20
_LONGEST_OWN = 2000
_POLL = 0.05


class Notes(logging.Handler):
    """Keeps warnings of other libraries, to be told at the end; each distinct one once."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.seen: Counter[str] = Counter()

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = f"{record.levelname} {record.name}: {record.getMessage()}"[:_LONGEST]
        except Exception:  # a record whose arguments don't fit its message
            line = f"{record.levelname} {record.name}: {record.msg!r}"[:_LONGEST]
        if line in self.seen or len(self.seen) < _MOST:
            self.seen[line] += 1

    def lines(self) -> list[str]:
        return [f"{count} x {line}" if count > 1 else line for line, count in self.seen.items()]


class PoolLog(logging.Handler):
    """Keeps what the instrumentation itself logs, to be told as it comes.

    It is logged by threads of its own, which must not print into the view.
    """

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self._lines: deque[tuple[int, str]] = deque(maxlen=_MOST)
        self._levels: set[int] = set()

    def attach(self) -> None:
        """Take over the instrumentation's logger."""
        logger = logging.getLogger(SCOPE_NAME)
        logger.setLevel(logging.INFO)
        logger.propagate = False
        logger.addHandler(self)

    def detach(self) -> None:
        logger = logging.getLogger(SCOPE_NAME)
        logger.removeHandler(self)
        logger.propagate = True
        logger.setLevel(logging.NOTSET)

    def emit(self, record: logging.LogRecord) -> None:
        self._lines.append((record.levelno, printable(record.getMessage(), _LONGEST_OWN)))
        self._levels.add(record.levelno)

    def take(self) -> list[tuple[int, str]]:
        """Level and text of what came since the last time."""
        taken = []
        while self._lines:
            taken.append(self._lines.popleft())
        return taken

    def begin(self) -> None:
        """Forget what levels came."""
        self._levels.clear()

    async def until(self, level: int, seconds: float) -> None:
        """Wait until something of this level came since `begin`, for so long at most."""
        loop = asyncio.get_running_loop()
        ends = loop.time() + seconds
        while level not in self._levels and loop.time() < ends:  # noqa: ASYNC110
            await asyncio.sleep(_POLL)
