"""Log records, kept while the live view owns the terminal."""

from __future__ import annotations

import logging
from collections import Counter, deque

from opentelemetry.instrumentation.gluellm.telemetry.semconv import FINDING_KIND, SCOPE_NAME

from ..view import Subject, logged_evidence, logged_subject

_MOST = 20


class Logs(logging.Handler):
    """Keeps warnings of the instrumentation apart from those of other libraries."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.leaks = 0
        """Leak warnings of the act."""
        self.evidence: dict[tuple[Subject, str], str] = {}
        """Evidence of findings by subject and kind."""
        self._lines: deque[str] = deque(maxlen=_MOST)
        self._others: Counter[str] = Counter()

    def emit(self, record: logging.LogRecord) -> None:
        text, attributes = record.getMessage(), vars(record)
        if FINDING_KIND in attributes:
            self.evidence[logged_subject(attributes), attributes[FINDING_KIND]] = logged_evidence(
                text
            )
        elif record.name.startswith(SCOPE_NAME):
            self.leaks += "leak" in text
        else:
            self._others[f"{record.levelname} {record.name}: {text}"] += 1
            return
        self._lines.append(f"{record.levelname} {text}")

    def take(self) -> list[str]:
        """Return the instrumentation's messages since the last call."""
        return [self._lines.popleft() for _ in range(len(self._lines))]

    def others(self) -> list[str]:
        """Return each warning of another library once, with its count."""
        lines = self._others.most_common(_MOST)
        return [f"{n} x {line}" if n > 1 else line for line, n in lines]
