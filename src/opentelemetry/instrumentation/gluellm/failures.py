"""The one place where failures of the instrumentation are caught, counted and logged.

Exceptions from signal handlers: a signal handler can run at any call or loop (the atomic rule in
``pool/lease.py``), so its exception can surface in any ``try`` block. Such an exception is not a
failure of the instrumentation: the application raises it to end what is running. It is therefore
never swallowed on a request's path; code there that catches exceptions passes them to
`Failures.caught` or `raise_on`, which raise it again.
"""

from __future__ import annotations

import functools
import logging
import signal
from collections import defaultdict, deque
from collections.abc import Iterable
from types import CodeType
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

    For code to which an exception is an expected result, not a failure to count. A signal handler
    raised it if the traceback has a frame of a handler that is set, below the frame that caught it.
    """
    step = error.__traceback__
    if step is None or step.tb_next is None:
        return  # raised in the frame that caught it
    handlers = _codes_of_handlers()
    while (step := step.tb_next) is not None:
        if step.tb_frame.f_code in handlers:
            raise error


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
