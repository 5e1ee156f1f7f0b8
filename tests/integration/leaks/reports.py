"""What the instrumentation's log says, record by record, taken apart."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from opentelemetry.instrumentation.gluellm.telemetry.semconv import SCOPE_NAME
from support.waiting import PATIENCE, wait_until

_LEAK = re.compile(
    r"Connection leak suspected in pool (?P<pool>\S+): nobody has read the response for "
    r"(?P<unread>[\d.]+) s, and its connection has been held for (?P<held>[\d.]+) s "
    r"\((?P<whose>[^\n]*)\)\. Leaks from this place since it was last told: (?P<number>\d+)\. "
    r"Read the stream to its end, or close it\.(?P<stack>.*)",
    re.DOTALL,
)
_OVER = re.compile(
    r"A connection of pool (?P<pool>\S+) that was held unread (?P<how>.*), after "
    r"(?P<held>[\d.]+) s: (?P<whose>[^\n]*)\."
)
_WHOSE = re.compile(
    r"(?:provider (?P<provider>[^,]+))?(?:, )?(?:model (?P<model>[^,]+))?(?:, )?"
    r"(?:trace (?P<trace>[0-9a-f]{32}))?(?:, )?"
    r"(?:correlation id (?P<correlation_id>[^,]+))?(?:, )?(?:at (?P<place>.*))?"
)


@dataclass(frozen=True)
class Whose:
    """Whose request a record is about; None is what it does not say."""

    provider: str | None
    model: str | None
    trace: str | None
    correlation_id: str | None
    place: str | None

    @classmethod
    def parse(cls, text: str) -> Whose:
        """Read ``provider openai, model m, ..., at file:line in function``."""
        found = _WHOSE.fullmatch(text)
        assert found is not None, text
        return cls(**found.groupdict())


@dataclass(frozen=True)
class Leak:
    """A WARNING of a suspected leak. Times are seconds; ``at`` is of the log record."""

    pool: str
    unread: float
    held: float
    whose: Whose
    number: int
    stack: tuple[str, ...]
    at: float


@dataclass(frozen=True)
class Over:
    """An INFO: it was no leak, or is none any more."""

    pool: str
    how: str
    held: float
    whose: Whose


class Reports(logging.Handler):
    """Keeps the records of the instrumentation's logger."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.kept: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.kept.append(record)

    @classmethod
    @contextmanager
    def listen(cls) -> Iterator[Reports]:
        """Listen to the logger while the block runs."""
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

    def warnings(self, beginning: str = "") -> list[str]:
        """The WARNINGs that begin like this."""
        texts = [record.getMessage() for record in self.kept if record.levelno == logging.WARNING]
        return [text for text in texts if text.startswith(beginning)]

    def leaks(self, model: str | None = None) -> list[Leak]:
        """The leaks that were told, of one model if given."""
        found = []
        for record in self.kept:
            matched = _LEAK.fullmatch(record.getMessage())
            if matched is None:
                continue
            assert record.levelno == logging.WARNING
            leak = Leak(
                pool=matched["pool"],
                unread=float(matched["unread"]),
                held=float(matched["held"]),
                whose=Whose.parse(matched["whose"]),
                number=int(matched["number"]),
                stack=tuple(line.strip() for line in matched["stack"].splitlines() if line),
                at=record.created,
            )
            if model in (None, leak.whose.model):
                found.append(leak)
        return found

    def over(self, model: str | None = None) -> list[Over]:
        """The leaks that were told to be over, of one model if given."""
        found = []
        for record in self.kept:
            matched = _OVER.fullmatch(record.getMessage())
            if matched is None:
                continue
            assert record.levelno == logging.INFO
            over = Over(
                pool=matched["pool"],
                how=matched["how"],
                held=float(matched["held"]),
                whose=Whose.parse(matched["whose"]),
            )
            if model in (None, over.whose.model):
                found.append(over)
        return found

    def leak(self, model: str | None = None) -> Leak:
        """Wait for a leak to be told."""
        return wait_until(lambda: self.leaks(model), f"a leak of {model}", PATIENCE)[0]

    def wait(self, beginning: str) -> str:
        """Wait for a WARNING that begins like this."""
        return wait_until(lambda: self.warnings(beginning), f"a warning {beginning!r}")[0]


TOLD_FOR_TASKS = sys.version_info >= (3, 12)
"""Before, the place is found when the coroutine first runs: in a task, and on the loop of any-llm's
sync API, there is no frame of the application then."""


def place(file: str, mark: str, function: Callable[..., object] | str) -> str:
    """How a line is told that has the comment ``# place: <mark>``."""
    lines = Path(file).read_text(encoding="utf-8").splitlines()
    numbers = [number for number, line in enumerate(lines, 1) if line.endswith(f"# place: {mark}")]
    assert len(numbers) == 1, f"{len(numbers)} lines of {file} are marked {mark}"
    name = function if isinstance(function, str) else function.__qualname__
    return f"{file}:{numbers[0]} in {name}"
