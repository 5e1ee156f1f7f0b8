"""What the workers did and how it ended; and which exceptions and log lines are the package's."""

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
from opentelemetry.instrumentation.gluellm.failures import Failures

_HOME: Final = str(Path(package.__file__).parent)
_LONGEST: Final = 3000
_NO_LOOP: Final = ("Event loop is closed", "must be called from async context")
"""RuntimeErrors of clients and streams that are left open: their SDKs close them in a task of
whichever loop the garbage collector happens to run in."""
_CLOSED: Final = (
    "Cannot send a request, as the client has been closed.",
    *("Session is closed", "Connection closed."),
)
"""RuntimeErrors of requests whose client is closed while they are sent or read."""


def _files(error: BaseException) -> list[list[str]]:
    """The files that it passed, and those of each exception that it came from."""
    seen: dict[int, list[str]] = {}
    errors: list[BaseException | None] = [error]
    while errors:
        if (one := errors.pop()) is not None and id(one) not in seen:
            frames = traceback.walk_tb(one.__traceback__)
            seen[id(one)] = [frame.f_code.co_filename for frame, _ in frames]
            errors += [one.__cause__, one.__context__, *getattr(one, "exceptions", ())]
    return list(seen.values())


def raised_by_us(error: BaseException) -> bool:
    """Whether it, or one that it came from, was raised in the package's own code.

    That it passed through is no sign of anything: every request does.
    """
    return any(files[-1].startswith(_HOME) for files in _files(error) if files)


def passed_us(error: BaseException) -> bool:
    """Whether the package is anywhere in it."""
    return any(file.startswith(_HOME) for files in _files(error) for file in files)


def _words(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))[-_LONGEST:]


class Record:
    """Counts, what must not have happened, and when each worker last began something."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.deeds: set[str] = set()
        """The names of all deeds; each has to be done."""
        self.requests, self.done, self.endings = (Counter[str]() for _ in range(3))
        """Counts by library, by deed, and by library and type of exception."""
        self.unexpected: list[str] = []
        """Exceptions that no library should end a request with."""
        self.ours: list[str] = []
        """Exceptions, log lines and warnings that come from the package."""
        self.over = threading.Event()
        self._at: dict[str, tuple[float, str]] = {}
        self._lock = threading.Lock()

    def hear_failures(self) -> None:
        """Record what the package catches of its own failures: its log has only their types."""
        caught, ours = Failures.caught, self.ours

        def heard(self: Failures, kind: str, error: BaseException) -> None:
            caught(self, kind, error)
            ours.append(f"failure in {kind}: {_words(error)}")

        Failures.caught = heard  # type: ignore[method-assign]

    def source(self, name: str) -> random.Random:
        """The draws of one worker."""
        return random.Random(f"{self.seed} {name}")

    def count(self, counter: Counter[str], key: str) -> None:
        """Count one more."""
        with self._lock:
            counter[key] += 1

    def ended(self, where: str, deed: str, error: BaseException, *expected: type) -> None:
        """A request ended in an exception."""
        self.count(self.endings, f"{where} {type(error).__qualname__}")
        if raised_by_us(error):
            self.ours.append(f"{where}, {deed}: {_words(error)}")
        elif not isinstance(error, expected) and str(error) not in _CLOSED:
            self.unexpected.append(f"{where}, {deed}: {_words(error)}")

    def begin(self, worker: str, deed: str = "") -> None:
        """A worker begins a deed, or is done with all if none is named."""
        if before := self._at.pop(worker, None):
            self.count(self.done, before[1])
        if deed:
            self._at[worker] = time.monotonic(), deed

    def slowest(self) -> tuple[float, str]:
        """Seconds of the longest deed that goes on, and which it is."""
        now, at = time.monotonic(), dict(self._at)
        going_on = ((now - began, f"{worker}: {deed}") for worker, (began, deed) in at.items())
        return max(going_on, default=(0.0, ""))

    @property
    def missing(self) -> list[str]:
        """Deeds that were never done."""
        return sorted(self.deeds - self.done.keys())


class Deck:
    """Draws everything once before anything a second time, so that short runs have had it all."""

    def __init__(self, record: Record, name: str, cards: Sequence[Any]) -> None:
        self._rng = record.source(name)
        self._cards = list(cards)
        self._left: list[Any] = []
        record.deeds |= {card[0] for card in cards}

    def draw(self) -> Any:
        """The next one."""
        self._left = self._left or self._rng.sample(self._cards, len(self._cards))
        return self._left.pop()


class Listening(logging.Handler):
    """Hears every logger, hook, warning and failure of the package in the process."""

    def __init__(self, record: Record, expected: tuple[type, ...]) -> None:
        """``expected`` is what requests may end in, and so what may be reported of them."""
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
        record.hear_failures()

    def emit(self, record: logging.LogRecord) -> None:
        """A line of a log."""
        text, ours = record.getMessage(), self._record.ours
        error = record.exc_info[1] if record.exc_info else None
        if record.name.startswith(package.__name__):
            if error is not None:
                ours.append(f"the package's log: {text[:_LONGEST]}")
            return
        # The SDK complains of instruments by their names.
        of_instrument = record.name.startswith("opentelemetry.") and "gluellm." in text
        if _HOME in text or of_instrument:
            ours.append(f"log of {record.name}: {text[-_LONGEST:]}")
        self._look("log of " + record.name, error)

    def _unraisable(self, hook: sys.UnraisableHookArgs) -> None:
        # The collector closes coroutines and generators in any thread, perhaps in the package's
        # code. Then the traceback has that code, though it did not fail.
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
        # This one names the file in which the collector ran.
        here = filename.startswith(_HOME) and not text.endswith(" was never awaited")
        if here or _HOME in text:
            self._record.ours.append(f"warning: {filename}: {message}")

    def _look(self, where: str, error: BaseException | None) -> None:
        if error is not None:
            known = isinstance(error, self._expected) or str(error) in _NO_LOOP
            if raised_by_us(error) or (passed_us(error) and not known):
                self._record.ours.append(f"{where}: {_words(error)}")
