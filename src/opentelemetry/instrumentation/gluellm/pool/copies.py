"""Copies of what other threads and finalizers change meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

_T = TypeVar("_T")
_TRIES = 100


def copied(view: Callable[[], Iterable[_T]]) -> tuple[_T, ...]:
    """A copy of a dict's keys or values, without a lock, since a finalizer may change it.

    Up to Python 3.11 the garbage collector can run within the copying, and what it finalizes can
    change the dict: then once more. Raises RuntimeError where that does not end.
    """
    for _ in range(_TRIES):
        try:
            return tuple(view())
        except RuntimeError:
            continue
    return tuple(view())


def nothing() -> None:
    """What a copy of our notes is: who copies or pickles a library's object gets none of ours."""
