"""Warnings of other libraries while the live view owns the terminal."""

from __future__ import annotations

import logging
from collections import Counter

_LONGEST = 200
_MOST = 20


class Notes(logging.Handler):
    """Keeps warnings instead of printing them into the view; each distinct one once."""

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
