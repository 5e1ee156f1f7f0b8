"""Replacements for methods that run once for each object: constructors and closes.

Methods that run for each request have replacements of their own, without these further calls.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from ..failures import Failures

Note = Callable[[Any], None]
"""Takes an object of a library and records what happens to it. May raise."""


def after_init(note: Note, failures: Failures, kind: str) -> Callable[[Any], Any]:
    """Call ``note`` with each new object. If ``note`` fails, count a failure of ``kind``."""

    def make(original: Any) -> Any:
        def __init__(self_: Any, *args: Any, **kwargs: Any) -> None:
            original(self_, *args, **kwargs)
            try:
                note(self_)
            except Exception as error:
                failures.caught(kind, error)

        return __init__

    return make


def before_close(note: Note, failures: Failures, kind: str) -> Callable[[Any], Any]:
    """Call ``note`` with an object that is about to be closed, as in `after_init`."""

    def make(original: Any) -> Any:
        def close(self_: Any) -> Any:
            try:
                note(self_)
            except Exception as error:
                failures.caught(kind, error)
            return original(self_)

        return close

    return make


def before(note: Callable[..., Any], failures: Failures, kind: str) -> Callable[[Any], Any]:
    """Call ``note`` with the arguments of each call, before the original.

    The replacement is compatible with the methods that ``note`` is compatible with.
    """

    def make(original: Any) -> Any:
        def replaced(*args: Any, **kwargs: Any) -> Any:
            try:
                note(*args, **kwargs)
            except Exception as error:
                failures.caught(kind, error)
            return original(*args, **kwargs)

        replaced.__signature__ = inspect.signature(note)  # type: ignore[attr-defined]
        return replaced

    return make
