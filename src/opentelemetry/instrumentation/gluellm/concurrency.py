"""Copies of what other threads change, locks that a signal handler cannot leave held, threads."""

from __future__ import annotations

import importlib
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from .failures import raise_on


def daemon_thread(run: Callable[[], None], *, name: str) -> threading.Thread:
    """A thread that is yet to be started.

    Raises RuntimeError in a sub-interpreter. An isolated one has no daemons, and any other aborts
    the whole process where it ends and one is left: up to Python 3.12 before anybody could end it.
    """
    if not _in_main_interpreter():
        raise RuntimeError("no daemon threads in a sub-interpreter")
    return threading.Thread(target=run, name=name, daemon=True)


# By version, not by trying both: to look for one that isn't there reads every folder of sys.path.
_INTERPRETERS = "_interpreters" if sys.version_info >= (3, 13) else "_xxsubinterpreters"


def _in_main_interpreter() -> bool:
    try:
        interpreters = importlib.import_module(_INTERPRETERS)
        return bool(interpreters.get_current() == interpreters.get_main())
    except Exception as error:  # it is private: there may be none, or of another make
        raise_on(error)
    return True  # this Python has no others


_T = TypeVar("_T")
_TRIES = 100
_TRIES_OF_A_QUEUE = 3
"""It can be long, and then each try takes a while."""


def snapshot_of(view: Callable[[], Iterable[_T]]) -> tuple[_T, ...]:
    """A copy of a dict's keys or values, without a lock, since a finalizer may change it.

    Up to Python 3.11 the garbage collector can run within the copying, and what it finalizes can
    change the dict: then once more. Raises RuntimeError where that does not end.
    """
    for _ in range(_TRIES):
        try:
            # Made by way of a list, which tuple() is not: without the interpreter lock only that
            # takes one step of a dict, and no other thread gets in between.
            return (*view(),)
        except RuntimeError:
            continue
    return (*view(),)


def snapshot_of_queue(queue: deque[_T]) -> tuple[_T, ...]:
    """A copy of a deque. What is taken from its front meanwhile may be missing, and one behind it.

    Without the interpreter lock no copy of a deque is made in one step, and while other threads
    append without a pause a long one is never made at all. So it is read one by one then.
    """
    for _ in range(_TRIES_OF_A_QUEUE):
        try:
            return tuple(queue)
        except RuntimeError:
            continue
    found: list[_T] = []
    for index in range(len(queue)):
        try:
            found.append(queue[index])
        except IndexError:
            break
    return tuple(found)


def nothing() -> None:
    """What a copy of our notes is: who copies or pickles a library's object gets none of ours."""


def acquire(lock: Any, held: list[bool], timeout: float = -1, *, blocking: bool = True) -> bool:
    """Acquire a lock, waiting for ``timeout`` seconds at most, and say whether that was so.

    ``held`` has it as well, and is what the caller's ``finally`` goes by, within which this is
    called: a handler that raises right after the lock is acquired takes the return value away.
    The release stands there, for another function could be interrupted before it releases.
    """
    # Acquired and noted within one call of C, which nothing can part.
    held.extend(map(lock.acquire, (blocking,), (timeout,)))
    return held[0]
