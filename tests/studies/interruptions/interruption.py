"""Sends signals at each point of the package's code where Python runs signal handlers.

Python checks for signals at three kinds of points only: where a function begins, after a call, and
where a loop jumps back. ``sys.monitoring`` reports each of them, so a signal can be sent at the
first point within the package, the second, and so on. Jumps are left out: an exception that a
callback of ``sys.monitoring`` raises there bypasses an ``except`` around the loop (in CPython 3.12
and 3.13), unlike one that a signal handler raises.
"""

import gc
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType, FrameType, FunctionType
from typing import Any, Self

import opentelemetry.instrumentation.gluellm as package

_OURS = str(Path(package.__file__).parent)
_TOOL = 4  # 0 to 3 and 5 have uses that the documentation names
SIGNAL = signal.SIGUSR1

Handler = Callable[[int, FrameType | None], None]


class Interruption:
    """Sends the signal at one point of the package's code, counted from the block's beginning.

    Points in other threads, and in the handler itself, don't count. The garbage collector is off,
    because an exception in a finalizer never reaches the program.
    """

    def __init__(self, number: int) -> None:
        self._number = number
        self._passed = 0
        self._on = False
        self.place = ""
        """Where the signal was sent; empty if the block has fewer points."""

    def __enter__(self) -> Self:
        gc.disable()
        self._on = True
        return self

    def __exit__(self, *_: object) -> None:
        self._on = False
        gc.enable()

    def passes(self, code: CodeType, what: str) -> None:
        """Count a point that the interpreter has reached, and send the signal at the chosen one."""
        if not self._on or self.place or threading.current_thread() is not threading.main_thread():
            return
        self._passed += 1
        if self._passed == self._number:
            self.place = f"{code.co_filename[len(_OURS) :]}: {code.co_qualname} {what}"
            signal.raise_signal(SIGNAL)


def everywhere(
    handler: Handler, *, first: int = 1, step: int = 1, least: int = 5
) -> Iterator[Interruption]:
    """Interruptions at the first point, the second and so on, until the block has no more points.

    The caller enters each one as a context manager. The block must take equally long each time:
    work that grows with the number of interruptions never ends. ``step`` skips points of a long
    block; ``first`` is the point to begin with. Raises AssertionError if there are fewer than
    ``least`` interruptions.
    """
    monitoring: Any = vars(sys)["monitoring"]  # missing in Python 3.11
    events = monitoring.events
    current = Interruption(0)

    def begins(code: CodeType, _offset: int) -> None:
        current.passes(code, "begins")

    def returned(code: CodeType, _offset: int, function: object, _argument: object) -> None:
        current.passes(code, f"after {getattr(function, '__name__', function)}")

    before = signal.signal(SIGNAL, handler)
    monitoring.use_tool_id(_TOOL, "interruption")
    ours = _our_code()
    try:
        monitoring.register_callback(_TOOL, events.PY_START, begins)
        # Required for C_RETURN.
        monitoring.register_callback(_TOOL, events.CALL, lambda *_: None)
        monitoring.register_callback(_TOOL, events.C_RETURN, returned)
        for code in ours:
            monitoring.set_local_events(_TOOL, code, events.PY_START | events.CALL)
        number = first
        while True:
            current = Interruption(number)
            yield current
            if not current.place:
                assert (number - first) // step >= least
                return
            number += step
    finally:
        for code in ours:
            monitoring.set_local_events(_TOOL, code, 0)
        monitoring.free_tool_id(_TOOL)
        signal.signal(SIGNAL, before)


def raising(error: type[BaseException]) -> Handler:
    """A handler that raises."""

    def handle(_number: int, _frame: FrameType | None) -> None:
        raise error

    return handle


def reached(
    interruption: Interruption, error: type[BaseException], work: Callable[[], object]
) -> bool:
    """Run ``work``, and return whether the handler's exception reached the caller."""
    try:
        with interruption:
            work()
    except error:
        return True
    return False


def assert_reached(
    interruption: Interruption, error: type[BaseException], work: Callable[[], object]
) -> None:
    """Run ``work``; if the handler ran, its exception has to reach the caller."""
    met = reached(interruption, error, work)
    assert met == bool(interruption.place), f"swallowed: {interruption.place}"


def _our_code() -> set[CodeType]:
    found: set[CodeType] = set()
    gc.unfreeze()  # get_objects() leaves out what tests/conftest.py has frozen
    todo = [
        function.__code__
        for function in gc.get_objects()
        if isinstance(function, FunctionType) and function.__code__.co_filename.startswith(_OURS)
    ]
    while todo:
        code = todo.pop()
        if code not in found:
            found.add(code)
            todo += [inner for inner in code.co_consts if isinstance(inner, CodeType)]
    gc.collect()
    gc.freeze()
    return found
