"""Collect and parse the instrumentation's log records."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

from opentelemetry.instrumentation.gluellm.telemetry.semconv import SCOPE_NAME

_WHOSE = (
    r"(?:provider (?P<provider>[^,]+))?(?:, )?(?:model (?P<model>[^,]+))?(?:, )?"
    r"(?:trace (?P<trace>[0-9a-f]{32}))?(?:, )?"
    r"(?:correlation id (?P<correlation_id>[^,]+))?(?:, )?(?:at (?P<call_site>[^\n]*))?"
)
_LEAK = re.compile(
    r"Connection leak suspected in pool (?P<pool>\S+): the response has been unread for "
    r"(?P<unread>[\d.]+) s, and its connection held for (?P<held>[\d.]+) s "
    rf"\({_WHOSE}\)\. New leaks from this call site: (?P<number>\d+)\. "
    r"Read the stream to its end, or close it\.(?P<stack>.*)",
    re.DOTALL,
)
_OVER = re.compile(
    r"Suspected leak in pool (?P<pool>\S+) is over: (?P<how>.*) after "
    rf"(?P<held>[\d.]+) s \({_WHOSE}\)\."
)


class Reports(logging.Handler):
    """Keep the records of the instrumentation's logger."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.kept: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.kept.append(record)

    @classmethod
    @contextmanager
    def listen(cls) -> Iterator[Reports]:
        """Collect records while the block runs."""
        reports = cls()
        logger = logging.getLogger(SCOPE_NAME)
        level = logger.level
        logger.addHandler(reports)
        logger.setLevel(logging.INFO)
        try:
            yield reports
        finally:
            logger.setLevel(level)
            logger.removeHandler(reports)

    def warnings(self, pattern: str = "") -> list[re.Match[str]]:
        """Return the WARNINGs that match a pattern."""
        texts = [record.getMessage() for record in self.kept if record.levelno == logging.WARNING]
        return [found for text in texts if (found := re.match(pattern, text))]

    def _matching(
        self, pattern: re.Pattern[str], level: int, model: str | None
    ) -> list[SimpleNamespace]:
        found = []
        for record in self.kept:
            matched = pattern.fullmatch(record.getMessage())
            if matched is not None and model in (None, matched["model"]):
                assert record.levelno == level
                found.append(SimpleNamespace(**matched.groupdict()))
        return found

    def leaks(self, model: str | None = None) -> list[SimpleNamespace]:
        """Return the logged leaks, of one model if given."""
        return self._matching(_LEAK, logging.WARNING, model)

    def over(self, model: str | None = None) -> list[SimpleNamespace]:
        """Return the leaks whose end was logged, of one model if given."""
        return self._matching(_OVER, logging.INFO, model)


def call_site(file: str, mark: str, function: Callable[..., object] | str) -> str:
    """Return the call site, as logged, of the line with the comment ``# place: <mark>``."""
    lines = Path(file).read_text(encoding="utf-8").splitlines()
    numbers = [number for number, line in enumerate(lines, 1) if line.endswith(f"# place: {mark}")]
    assert len(numbers) == 1, f"{len(numbers)} lines of {file} are marked {mark}"
    name = function if isinstance(function, str) else function.__qualname__
    return f"{file}:{numbers[0]} in {name}"
