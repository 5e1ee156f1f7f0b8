"""The one place where failures of the instrumentation are caught, counted and logged.

Exceptions from signal handlers: Python runs a signal handler between any two instructions, so its
exception can surface in any ``try`` block of the instrumentation. Such an exception is not a
failure of the instrumentation: the application raises it to end what is running. It is therefore
never swallowed on a request's path; code there that catches exceptions passes them to
`Failures.caught` or `raise_on`, which raise it again.
"""

from __future__ import annotations

import functools
import inspect
import logging
import signal
from collections import defaultdict, deque
from collections.abc import Iterable
from itertools import pairwise
from types import CodeType, FrameType
from typing import Any


class Failures:
    """Counters of caught failures, and the failures that have yet to be logged.

    The finalizer rule (``pool/lease.py``) applies, so nothing is logged here: `unreported` returns
    what to log. See "Exceptions from signal handlers" above.
    """

    def __init__(self) -> None:
        self.counts: defaultdict[str, int] = defaultdict(int)
        self._unreported: deque[tuple[str, str]] = deque(maxlen=16)

    def caught(self, kind: str, error: BaseException) -> None:
        """Count a failure of ``kind``, and keep the first of each kind for the log.

        Raises ``error`` if a signal handler raised it.
        """
        raise_on(error)
        first = kind not in self.counts
        self.counts[kind] += 1  # atomic
        if first:
            # Only the type: a message can contain private data, such as a URL or a header.
            self._unreported.append((kind, type(error).__qualname__))

    def unreported(self) -> Iterable[tuple[str, str]]:
        """Remove the failures that have yet to be logged, and yield their kinds and types."""
        while self._unreported:
            yield self._unreported.popleft()


def raise_on(error: BaseException) -> None:
    """Raise ``error`` again if a signal handler raised it; otherwise return.

    For code to which an exception is an expected result, not a failure to count.
    """
    if from_signal_handler(error):
        raise error


def from_signal_handler(error: BaseException) -> bool:
    """Return whether an exception that is being handled was raised by a signal handler.

    Looks for a handler's frame in the traceback, below the frame that caught the exception. A frame
    is a handler's if it runs the code of a handler that is set, or if its arguments are what Python
    passes to handlers: a signal's number and the interrupted frame. Raises no ``Exception`` itself.
    """
    try:
        return _passed_a_handler(error)
    except Exception:
        return False  # the exception's class can be any, and its traceback any object


def _passed_a_handler(error: BaseException) -> bool:
    step = error.__traceback__
    if step is None or step.tb_next is None:
        return False  # raised in the frame that caught it, so not by a handler
    handlers = _codes_of_handlers()
    before = step.tb_frame
    step = step.tb_next
    while step is not None:
        frame = step.tb_frame
        # Two tests, since a handler may delete its arguments or unset itself. One that did both
        # is not recognized.
        if frame.f_code in handlers or _was_called_with(frame, before):
            return True
        before = frame
        step = step.tb_next
    return False


def _codes_of_handlers() -> set[CodeType]:
    found = set()
    for number in signal.valid_signals():
        handler = signal.getsignal(number)
        if callable(handler):
            code = _code_of(handler)
            if code is not None:
                found.add(code)
    return found


def _code_of(handler: Any) -> CodeType | None:
    while isinstance(handler, functools.partial):
        handler = handler.func
    for function in (handler, getattr(type(handler), "__call__", None)):  # noqa: B004  # reads code
        code = getattr(getattr(function, "__func__", function), "__code__", None)
        if isinstance(code, CodeType):
            return code
    return None


def _was_called_with(frame: FrameType, interrupted: FrameType) -> bool:
    """Return whether two consecutive arguments are a signal's number and ``interrupted``."""
    arguments = _arguments(frame)
    return any(
        further is interrupted and isinstance(number, int) and number in signal.valid_signals()
        for number, further in pairwise(arguments)
    )


def _arguments(frame: FrameType) -> tuple[Any, ...]:
    code = frame.f_code
    variables = frame.f_locals
    number = code.co_argcount
    named = tuple(variables.get(name) for name in code.co_varnames[:number])
    if code.co_flags & inspect.CO_VARARGS:
        rest = variables.get(code.co_varnames[number + code.co_kwonlyargcount])
        if isinstance(rest, tuple):  # else the function has assigned something else to that name
            return named + rest
    return named


_logger = logging.getLogger("opentelemetry.instrumentation.gluellm")


def warn(message: str, *arguments: Any, level: int = logging.WARNING) -> None:
    """Log a message on the package's logger.

    Ignores exceptions of the application's logging (a filter, a record factory, a handler), except
    those that a signal handler raised.
    """
    try:
        _logger.log(level, message, *arguments, stacklevel=2)
    except Exception as error:
        raise_on(error)


_warned: set[str] = set()


def warn_once(text: str) -> None:
    """Log a warning, once per process."""
    if text not in _warned:
        _warned.add(text)
        warn("%s", text)
