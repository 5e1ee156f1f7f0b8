"""Carry the call into executor threads, for providers whose SDK blocks.

any-llm runs a method of such a provider with ``run_in_executor``, which doesn't copy the context.
But the method is looked up in the calling thread (``functools.partial(self._completion, ...)``), so
the look-up returns a function that carries the call.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import MethodType
from typing import Any

from ..pool.call import Call
from .calls import CallScope
from .context import CallVariable
from .streams import current


class Carried:
    """A method that runs in the call in which it was looked up, in any thread."""

    def __init__(self, function: Callable[..., Any], scope: CallScope) -> None:
        self._function = function
        self._scope = scope

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is None:
            return self
        method = MethodType(self._function, instance)
        scope = self._scope
        call = scope.variable.get() if scope.on else None
        if call is None or call.ended:
            return method
        return functools.partial(_carry, scope.variable, call, method)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function through the class, with the instance as first argument."""
        return self._function(*args, **kwargs)


def _carry(
    variable: CallVariable, call: Call, method: Callable[..., Any], /, *args: Any, **kwargs: Any
) -> Any:
    with current(variable, call):
        return method(*args, **kwargs)
