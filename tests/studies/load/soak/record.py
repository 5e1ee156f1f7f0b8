"""Records what the workers did and how it ended, and finds exceptions and logs of the package."""

from __future__ import annotations

import asyncio
import logging
import random
import sys
import threading
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import opentelemetry.instrumentation.gluellm as package
from studies.causes import causes
from support.failures import on_failure

_HOME: Final = str(Path(package.__file__).parent)
_LONGEST: Final = 3000
_NO_LOOP: Final = ("Event loop is closed", "must be called from async context")
"""RuntimeErrors of clients and streams that are left open: their SDKs close them in a task of the
loop in which the garbage collector happens to run."""
_CLOSED: Final = (
    "Cannot send a request, as the client has been closed.",
    *("Session is closed", "Connection closed."),
)
"""RuntimeErrors of requests whose client is closed while they are sent or read."""


def _files(error: BaseException) -> list[list[str]]:
    """The files in the traceback of an exception, and in those of its causes."""
    stacks = (traceback.walk_tb(one.__traceback__) for one in causes(error))
    return [[frame.f_code.co_filename for frame, _ in stack] for stack in stacks]


def raised_by_package(error: BaseException) -> bool:
    """Whether an exception, or one of its causes, was raised in the package's own code.

    Passing through the package means nothing: every request does.
    """
    return any(files[-1].startswith(_HOME) for files in _files(error) if files)


def passed_package(error: BaseException) -> bool:
    """Whether the package is in the traceback of an exception or of its causes."""
    return any(file.startswith(_HOME) for files in _files(error) for file in files)


def _words(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))[-_LONGEST:]


class Record:
    """Counts, violations, and the current action of each worker."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.actions: set[str] = set()
        """The names of all actions; each has to be done."""
        self.requests, self.done, self.endings = (Counter[str]() for _ in range(3))
        """Counts by library, by action, and by library and type of exception."""
        self.unexpected: list[str] = []
        """Exceptions that no library should end a request with."""
        self.ours: list[str] = []
        """Exceptions, log lines and warnings that come from the package."""
        self.over = threading.Event()
        self._at: dict[str, tuple[float, str]] = {}
        self._lock = threading.Lock()

    def record_failures(self) -> None:
        """Record the failures that the package catches: its log has only their types."""
        on_failure(lambda kind, error: self.ours.append(f"failure in {kind}: {_words(error)}"))

    def source(self, name: str) -> random.Random:
        """The random numbers of one worker."""
        return random.Random(f"{self.seed} {name}")

    def count(self, counter: Counter[str], key: str) -> None:
        """Count one more."""
        with self._lock:
            counter[key] += 1

    def ended(self, where: str, action: str, error: BaseException, *expected: type) -> None:
        """Record that a request ended in an exception."""
        self.count(self.endings, f"{where} {type(error).__qualname__}")
        if raised_by_package(error):
            self.ours.append(f"{where}, {action}: {_words(error)}")
        elif not isinstance(error, expected) and str(error) not in _CLOSED:
            self.unexpected.append(f"{where}, {action}: {_words(error)}")

    def begin(self, worker: str, action: str = "") -> None:
        """Record that a worker begins an action, or that it has done all if none is named."""
        if before := self._at.pop(worker, None):
            self.count(self.done, before[1])
        if action:
            self._at[worker] = time.monotonic(), action

    def slowest(self) -> tuple[float, str]:
        """Seconds and name of the action that has taken longest so far."""
        now, at = time.monotonic(), dict(self._at)
        going_on = ((now - began, f"{worker}: {action}") for worker, (began, action) in at.items())
        return max(going_on, default=(0.0, ""))

    @property
    def missing(self) -> list[str]:
        """Actions that were never done."""
        return sorted(self.actions - self.done.keys())


class Deck:
    """Draws each card once before any card a second time, so that short runs do everything."""

    def __init__(self, record: Record, name: str, cards: Sequence[Any]) -> None:
        self._rng = record.source(name)
        self._cards = list(cards)
        self._left: list[Any] = []
        record.actions |= {card[0] for card in cards}

    def draw(self) -> Any:
        """Draw the next card."""
        self._left = self._left or self._rng.sample(self._cards, len(self._cards))
        return self._left.pop()


class Listening(logging.Handler):
    """Receives the logs, uncaught exceptions, warnings and failures of the process."""

    def __init__(self, record: Record, expected: tuple[type, ...]) -> None:
        """``expected``: exceptions that requests may end with, and that may therefore be logged."""
        super().__init__(logging.DEBUG)
        self._record = record
        self._expected = (*expected, asyncio.CancelledError, GeneratorExit)
        root = logging.getLogger()
        root.addHandler(self)
        root.setLevel(logging.WARNING)
        logging.captureWarnings(False)
        warnings.simplefilter("always")
        warnings.simplefilter("ignore", ResourceWarning)  # of clients that are left on purpose
        warnings.showwarning = self._warned  # type: ignore[assignment]
        sys.unraisablehook = self._unraisable
        threading.excepthook = self._died
        record.record_failures()

    def emit(self, record: logging.LogRecord) -> None:
        """Check a line of a log."""
        text, ours = record.getMessage(), self._record.ours
        error = record.exc_info[1] if record.exc_info else None
        if record.name.startswith(package.__name__):
            if error is not None:
                ours.append(f"the package's log: {text[:_LONGEST]}")
            return
        # The SDK's warnings about instruments have their names.
        of_instrument = record.name.startswith("opentelemetry.") and "gluellm." in text
        if _HOME in text or of_instrument:
            ours.append(f"log of {record.name}: {text[-_LONGEST:]}")
        self._look("log of " + record.name, error)

    def _unraisable(self, hook: sys.UnraisableHookArgs) -> None:
        # The collector closes coroutines and generators in any thread, perhaps while the package's
        # code runs, which is then in the traceback although it did not fail.
        code = getattr(hook.object, "ag_code", getattr(hook.object, "cr_code", None))
        if code is None or code.co_filename.startswith(_HOME):
            self._look("unraisable", hook.exc_value)

    def _died(self, hook: threading.ExceptHookArgs) -> None:
        name = hook.thread.name if hook.thread else ""
        self._look(f"thread {name}", hook.exc_value)
        if hook.exc_value is not None:
            self._record.unexpected.append(f"thread {name} died of {_words(hook.exc_value)}")

    def _warned(
        self, message: Warning | str, category: type[Warning], filename: str, *_: Any, **__: Any
    ) -> None:
        text = str(message)
        # This warning names the file in which the garbage collector ran.
        here = filename.startswith(_HOME) and not text.endswith(" was never awaited")
        if here or _HOME in text:
            self._record.ours.append(f"warning: {filename}: {message}")

    def _look(self, where: str, error: BaseException | None) -> None:
        if error is not None:
            known = isinstance(error, self._expected) or str(error) in _NO_LOOP
            if raised_by_package(error) or (passed_package(error) and not known):
                self._record.ours.append(f"{where}: {_words(error)}")
