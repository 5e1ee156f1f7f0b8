"""The one place where a failure of the instrumentation is caught, counted and logged."""

from __future__ import annotations

import functools
import inspect
import logging
import signal
from collections import deque
from collections.abc import Iterable
from itertools import pairwise
from types import CodeType, FrameType
from typing import Any


class Failures:
    """Counts what was caught. Reached by finalizers, so logging is left to :meth:`unreported`.

    What a signal handler of the application has raised is no failure of ours, wherever it came: it
    is raised on, for it ends what the application wants to have ended.
    """

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self._unreported: deque[tuple[str, str]] = deque(maxlen=16)

    def caught(self, kind: str, error: BaseException) -> None:
        """Count one failure of ``kind``; only the first of each kind is kept to be reported.

        Raises ``error`` itself where it comes from a signal handler.
        """
        raise_on(error)
        seen = self.counts.get(kind, 0)
        self.counts[kind] = seen + 1
        if not seen:
            # The type alone: a message can hold what must not leave, a URL or a header.
            self._unreported.append((kind, type(error).__qualname__))

    def unreported(self) -> Iterable[tuple[str, str]]:
        """Take kind and exception type of the failures that nobody was told of yet."""
        while self._unreported:
            yield self._unreported.popleft()


def raise_on(error: BaseException) -> None:
    """Raise an exception that comes from a signal handler again; any other is left to the caller.

    For where an exception is no failure of ours, but an answer.
    """
    if from_signal_handler(error):
        raise error


def from_signal_handler(error: BaseException) -> bool:
    """Whether an exception that is being handled was raised by a signal handler.

    Python calls a handler between any two instructions, with the signal's number and the frame that
    it interrupts. So a frame below ours is a handler's when its code is that of one that is set, or
    when it was called with just these. Raises nothing itself.
    """
    try:
        return _passed_a_handler(error)
    except Exception:
        return False  # a foreign exception, and what it has as its traceback can be of any make


def _passed_a_handler(error: BaseException) -> bool:
    step = error.__traceback__
    if step is None or step.tb_next is None:
        return False  # raised where it is caught, and so by no handler
    handlers = _codes_of_handlers()
    before = step.tb_frame
    step = step.tb_next
    while step is not None:
        frame = step.tb_frame
        # A handler can have dropped its arguments, or have been taken off by itself; not both.
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
    for function in (handler, getattr(type(handler), "__call__", None)):  # noqa: B004  # for its code
        code = getattr(getattr(function, "__func__", function), "__code__", None)
        if isinstance(code, CodeType):
            return code
    return None


def _was_called_with(frame: FrameType, interrupted: FrameType) -> bool:
    """Whether two arguments that follow each other are a signal's number and that frame."""
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
        if isinstance(rest, tuple):  # else the function has put something else under that name
            return named + rest
    return named


_logger = logging.getLogger("opentelemetry.instrumentation.gluellm")


def warn(message: str, *arguments: Any, level: int = logging.WARNING) -> None:
    """Log a message. A filter, a record factory or a handler of the application may raise in there.

    Raises what a signal handler raises, and nothing else that is an Exception.
    """
    try:
        _logger.log(level, message, *arguments, stacklevel=2)
    except Exception as error:
        raise_on(error)
