"""Copies of what other threads and finalizers change meanwhile."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import TypeVar

_T = TypeVar("_T")
_TRIES = 100
_TRIES_OF_A_QUEUE = 3
"""It can be long, and then each try takes a while."""


def copied(view: Callable[[], Iterable[_T]]) -> tuple[_T, ...]:
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


def copied_queue(queue: deque[_T]) -> tuple[_T, ...]:
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
