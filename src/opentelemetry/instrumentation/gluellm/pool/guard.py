"""The one place where a failure of ours is caught and counted; a user's request never sees it."""

from __future__ import annotations

import inspect
from collections import deque
from collections.abc import Callable, Iterable
from types import FrameType
from typing import Any

from .observer import PoolObserver

_EVENTS = tuple(name for name in vars(PoolObserver) if not name.startswith("_"))


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

    Python calls one between two instructions, with the frame that it interrupts as an argument; no
    other call has the frame of its caller, unless somebody hands it on. Raises nothing itself.
    """
    try:
        return _has_frame_of_caller(error)
    except Exception:
        return False  # a foreign exception, and what it has as its traceback can be of any make


def _has_frame_of_caller(error: BaseException) -> bool:
    step = error.__traceback__
    before: FrameType | None = None
    while step is not None:
        frame = step.tb_frame
        if before is not None and any(value is before for value in _arguments(frame)):
            return True
        before = frame
        step = step.tb_next
    return False


def _arguments(frame: FrameType) -> tuple[Any, ...]:
    code = frame.f_code
    variables = frame.f_locals
    number = code.co_argcount
    if code.co_flags & inspect.CO_VARARGS:
        rest = variables.get(code.co_varnames[number + code.co_kwonlyargcount])
        if isinstance(rest, tuple):  # else the function has put something else under that name
            return (*(variables.get(name) for name in code.co_varnames[:number]), *rest)
    return tuple(variables.get(name) for name in code.co_varnames[:number])


class Guard(PoolObserver):
    """Passes events on to observers and catches what they raise.

    For each event only the observers that override the method are called, so an event that nobody
    listens to costs one call.
    """

    def __init__(self, observers: Iterable[PoolObserver], failures: Failures) -> None:
        self.failures = failures
        observers = tuple(observers)
        for event in _EVENTS:
            listeners = [
                getattr(observer, event)
                for observer in observers
                if getattr(type(observer), event) is not getattr(PoolObserver, event)
            ]
            setattr(self, event, _relay(event, listeners, failures))


def _relay(
    event: str, listeners: list[Callable[..., None]], failures: Failures
) -> Callable[..., None]:
    if not listeners:
        return _nobody_listens
    if len(listeners) == 1:
        return _guarded(event, listeners[0], failures)

    tellers = [_relay(event, [listener], failures) for listener in listeners]

    def tell_all(*args: Any) -> None:
        for tell in tellers:
            tell(*args)

    return tell_all


def _guarded(event: str, listener: Callable[..., None], failures: Failures) -> Callable[..., None]:
    # By arity, since an event can be on the path of a request, where *args would cost a call more.
    def tell(subject: Any) -> None:
        try:
            listener(subject)
        except Exception as error:
            failures.caught(f"observer.{event}", error)

    def tell_two(subject: Any, further: Any) -> None:
        try:
            listener(subject, further)
        except Exception as error:
            failures.caught(f"observer.{event}", error)

    def tell_none() -> None:
        try:
            listener()
        except Exception as error:
            failures.caught(f"observer.{event}", error)

    def tell_more(subject: Any, *further: Any) -> None:
        try:
            listener(subject, *further)
        except Exception as error:
            failures.caught(f"observer.{event}", error)

    arguments = vars(PoolObserver)[event].__code__.co_argcount - 1
    return (tell_none, tell, tell_two, tell_more)[min(arguments, 3)]


def _nobody_listens(*args: Any) -> None:
    pass
