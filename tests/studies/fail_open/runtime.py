"""Changes of a method or its class at run time, without changed source."""

import functools
import importlib
import inspect
from collections.abc import Callable
from typing import Any

from .releases import NotApplicable


class _Awaitable:
    def __init__(self, made: Any) -> None:
        self._made = made

    def __await__(self) -> Any:
        return self._made.__await__()


class _Callable:
    """A method that is an object, without a name and a signature of its own."""

    def __init__(self, function: Any) -> None:
        self._function = function

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._function(*args, **kwargs)

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else functools.partial(self._function, instance)


def _takes_anything(original: Any) -> Any:
    return lambda *args, **kwargs: original(*args, **kwargs)


def _without_signature(original: Any) -> Any:
    changed = _takes_anything(original)
    changed.__signature__ = "nonsense"
    return changed


def _raising(error: type[BaseException]) -> Callable[[Any], Any]:
    def make(original: Any) -> Any:
        @functools.wraps(original)
        def changed(*_: Any, **__: Any) -> Any:
            raise error("anew")

        @functools.wraps(original)
        async def changed_async(*_: Any, **__: Any) -> Any:
            raise error("anew")

        return changed_async if inspect.iscoroutinefunction(original) else changed

    return make


def _awaitable(original: Any) -> Any:
    if not inspect.iscoroutinefunction(original):
        raise NotApplicable

    def changed(*args: Any, **kwargs: Any) -> Any:
        return _Awaitable(original(*args, **kwargs))

    return changed


METHODS: dict[str, Callable[[Any], Any]] = {
    "is a callable object": _Callable,
    "takes anything": _takes_anything,
    "has no signature": _without_signature,
    "raises each time": _raising(RuntimeError),
    "gives an awaitable of another kind": _awaitable,
}
REPLACED = "replaced at run time"
KINDS = (*METHODS, REPLACED)


def owner_of(module: str, owner: str) -> Any:
    """A class by its name in a module."""
    return functools.reduce(getattr, owner.split("."), importlib.import_module(module))


def change(module: str, owner: str, name: str, how: str) -> None:
    """Change a method before the package replaces it."""
    if how == REPLACED:
        return
    found = owner_of(module, owner)
    if isinstance(inspect.getattr_static(found, name), (classmethod, staticmethod)):
        raise NotApplicable
    setattr(found, name, METHODS[how](getattr(found, name)))


def replace(module: str, owner: str, name: str) -> None:
    """Replace the present method, as other code does that never restores it."""
    found = owner_of(module, owner)
    # Like an application that has kept the original.
    present = getattr(found, name)
    original = inspect.unwrap(present)

    def changed(*args: Any, **kwargs: Any) -> Any:
        return original(*args, **kwargs)

    async def changed_async(*args: Any, **kwargs: Any) -> Any:
        return await original(*args, **kwargs)

    setattr(found, name, changed_async if inspect.iscoroutinefunction(original) else changed)
