"""Whether the package had to do with an exception, a line of a log or a warning."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import traceback
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import opentelemetry.instrumentation.gluellm as package

if TYPE_CHECKING:
    from .record import Record

_HOME: Final = str(Path(package.__file__).parent)
_OUR_LOGGER: Final = package.__name__
_LONGEST: Final = 3000
_NO_LOOP: Final = ("Event loop is closed", "must be called from async context")
"""RuntimeErrors of clients and streams that are left open: their SDKs close them in a task of
whichever loop the garbage collector happens to run in."""


def _files(error: BaseException) -> Iterator[list[str]]:
    """The files that it passed, and those of each exception that it came from."""
    seen: set[int] = set()
    errors: list[BaseException | None] = [error]
    while errors:
        if (one := errors.pop()) is not None and id(one) not in seen:
            seen.add(id(one))
            yield [frame.f_code.co_filename for frame, _ in traceback.walk_tb(one.__traceback__)]
            errors += [one.__cause__, one.__context__, *getattr(one, "exceptions", ())]


def raised_by_us(error: BaseException) -> bool:
    """Whether it, or one that it came from, was raised in the package's own code.

    That it passed through is no sign of anything: every request does.
    """
    return any(files[-1].startswith(_HOME) for files in _files(error) if files)


def passed_us(error: BaseException) -> bool:
    """Whether the package is anywhere in it."""
    return any(file.startswith(_HOME) for files in _files(error) for file in files)


def words(error: BaseException) -> str:
    """The exception in words, its end first to go."""
    return "".join(traceback.format_exception(error))[-_LONGEST:]


class Listening(logging.Handler):
    """Hears every logger, hook and warning of the process."""

    def __init__(self, record: Record, expected: tuple[type, ...]) -> None:
        """``expected`` is what requests may end in, and so what may be reported of them."""
        super().__init__(logging.DEBUG)
        self._record = record
        self._expected = (*expected, asyncio.CancelledError, GeneratorExit)

    def everywhere(self) -> None:
        """Begin."""
        root = logging.getLogger()
        root.addHandler(self)
        root.setLevel(logging.WARNING)
        logging.captureWarnings(False)
        warnings.simplefilter("always")
        warnings.simplefilter("ignore", ResourceWarning)  # of clients that are left on purpose
        warnings.showwarning = self._warned  # type: ignore[assignment]
        sys.unraisablehook = lambda hook: self._hooked("unraisable", hook.exc_value, hook.err_msg)
        threading.excepthook = self._died

    def _hear(self, kind: str) -> None:
        self._record.count(self._record.heard, kind)

    def emit(self, record: logging.LogRecord) -> None:
        """A line of a log."""
        text = record.getMessage()
        error = record.exc_info[1] if record.exc_info else None
        if record.name.startswith(_OUR_LOGGER):
            kind = str(record.msg).partition("\n")[0][:70]
            self._hear(f"logged by the package: {kind}")
            if error is not None or "the instrumentation failed" in text:
                self._record.blame("the package's log", text[:_LONGEST])
            return
        self._hear(f"logged by {record.name}: {text[:110]}".partition("\n")[0])
        # The SDK complains of instruments by their names.
        of_instrument = record.name.startswith("opentelemetry.") and "gluellm." in text
        if _HOME in text or of_instrument:
            self._record.blame(f"log of {record.name}", text[-_LONGEST:])
        self._look("log of " + record.name, error)

    def _hooked(self, where: str, error: BaseException | None, message: str | None) -> None:
        kind = f"{type(error).__name__} {error} {message or ''}"
        self._hear(f"{where.partition(' ')[0]}: {kind[:90]}")
        self._look(where, error)

    def _died(self, hook: threading.ExceptHookArgs) -> None:
        name = hook.thread.name if hook.thread else ""
        self._hooked(f"thread {name}", hook.exc_value, None)
        if hook.exc_value is not None:
            self._record.unexpected.append(f"thread {name} died of {words(hook.exc_value)}")

    def _warned(
        self, message: Warning | str, category: type[Warning], filename: str, *_: Any, **__: Any
    ) -> None:
        self._hear(f"warning: {category.__name__} {str(message)[:70]}")
        if filename.startswith(_HOME) or _HOME in str(message):
            self._record.blame("warning", f"{filename}: {message}")

    def _look(self, where: str, error: BaseException | None) -> None:
        if error is None:
            return
        known = isinstance(error, self._expected) or str(error) in _NO_LOOP
        if raised_by_us(error) or (passed_us(error) and not known):
            self._record.blame(where, words(error))
