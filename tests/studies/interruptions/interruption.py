"""Signals that arrive at each place in our code at which Python would run a handler.

Between two instructions Python looks for signals in three places only: where a function begins,
after a call, and where a loop jumps back. ``sys.monitoring`` reports each of them, so a signal can
be sent at the first, the second, the third of these within our package. Jumps are left out: what a
callback of ``sys.monitoring`` raises there passes by an ``except`` around the loop (in CPython 3.12
and 3.13), which what a signal handler raises does not.
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
    """Sends the signal at one place of our code, counted from the block's beginning.

    Only in the main thread, and not where the handler itself passes through our code. The garbage
    collector rests meanwhile: what is raised in a finalizer ends there, whoever's it is.
    """

    def __init__(self, number: int) -> None:
        self._number = number
        self._passed = 0
        self._on = False
        self.place = ""
        """Where it was sent; empty where the block has fewer places."""

    def __enter__(self) -> Self:
        gc.disable()
        self._on = True
        return self

    def __exit__(self, *_: object) -> None:
        self._on = False
        gc.enable()

    def passes(self, code: CodeType, what: str) -> None:
        """The interpreter is at such a place."""
        if not self._on or self.place or threading.current_thread() is not threading.main_thread():
            return
        self._passed += 1
        if self._passed == self._number:
            self.place = f"{code.co_filename[len(_OURS) :]}: {code.co_qualname} {what}"
            signal.raise_signal(SIGNAL)


def everywhere(
    handler: Handler, *, first: int = 1, step: int = 1, least: int = 5
) -> Iterator[Interruption]:
    """Interruptions at the first place, the second and so on, as long as there was one.

    Whoever takes one from here enters it as a context. What runs in there has to be as long each
    time: work that grows with the number of interruptions is never through. ``step`` leaves
    places out, where a block has many; ``first`` is the place to begin with. Raises AssertionError
    if there are at most ``least`` interruptions.
    """
    monitoring: Any = vars(sys)["monitoring"]  # not there in the oldest Python
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
        monitoring.register_callback(_TOOL, events.CALL, _nothing)  # its return is told only so
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
    """Work, and return whether the handler's exception has reached the caller."""
    try:
        with interruption:
            work()
    except error:
        return True
    return False


def assert_reached(
    interruption: Interruption, error: type[BaseException], work: Callable[[], object]
) -> None:
    """Work. The handler's exception reaches the caller, if the handler ran."""
    met = reached(interruption, error, work)
    assert met == bool(interruption.place), f"swallowed: {interruption.place}"


def _nothing(*_: Any) -> None:
    return None


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
