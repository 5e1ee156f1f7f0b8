"""Compatibility of replacements with the methods of the installed version.

A replacement on a request's path takes only the arguments that it knows. A method that takes
others, or that changed between coroutine function and plain function, is not replaced.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from inspect import Parameter
from typing import Any

_BY_PLACE = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
_VARIABLE = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)


def has(make: Callable[[], Any], *names: str) -> bool:
    """Whether the object that ``make`` returns has all of the attributes; False if it raises."""
    try:
        made = make()
        return all(hasattr(made, name) for name in names)
    except Exception:
        return False


def has_method(owner: Any, name: str) -> bool:
    """Whether a class has a method of this name."""
    return callable(getattr(owner, name, None))


def has_parameters(owner: Any, method: str, *names: str) -> bool:
    """Whether a method has parameters with these names."""
    try:
        return inspect.signature(getattr(owner, method)).parameters.keys() >= set(names)
    except (AttributeError, TypeError, ValueError):
        return False


def fitted(
    make: Callable[[Any], Any], asynchronous: bool | None, package: str
) -> Callable[[Any], Any]:
    """Return a ``make`` that raises TypeError if its replacement is incompatible.

    ``asynchronous`` is whether the original has to be a coroutine function; None if it may be
    either. Only the ``package``'s own functions are checked for that: a third party's wrapper may
    be a plain function that returns the coroutine.
    """

    def made(original: Any) -> Any:
        replacement = make(original)
        if not fits(original, replacement, asynchronous, package):
            raise TypeError
        return replacement

    return made


def fits(
    original: Any, replacement: Any, asynchronous: bool | None, package: str | None = None
) -> bool:
    """Whether a replacement, not wrapped yet, is compatible with a method."""
    try:
        theirs = list(inspect.signature(original).parameters.values())
        function = inspect.unwrap(original)
    except (TypeError, ValueError):
        return True  # written in C, or an object without a signature: nothing to compare
    kinds = {parameter.kind for parameter in theirs}
    if Parameter.VAR_POSITIONAL in kinds and Parameter.VAR_KEYWORD in kinds:
        return True  # a third party's wrapper, which passes on all arguments
    if (
        asynchronous is not None
        and inspect.isfunction(function)
        and (package is None or _top(function.__module__) == package)
        and inspect.iscoroutinefunction(function) is not asynchronous
    ):
        return False
    ours = list(inspect.signature(replacement, follow_wrapped=False).parameters.values())
    return _takes_the_same(ours[1:], theirs[1:])


def _top(module: str | None) -> str:
    return (module or "").partition(".")[0]


def _takes_the_same(ours: list[Parameter], theirs: list[Parameter]) -> bool:
    """Whether the replacement accepts the calls of the original and passes on no others."""
    kinds = {parameter.kind for parameter in ours}
    any_place, any_name = Parameter.VAR_POSITIONAL in kinds, Parameter.VAR_KEYWORD in kinds
    passed_on = {
        Parameter.POSITIONAL_ONLY: any_place,
        Parameter.POSITIONAL_OR_KEYWORD: any_place and any_name,
        Parameter.VAR_POSITIONAL: any_place,
        Parameter.KEYWORD_ONLY: any_name,
        Parameter.VAR_KEYWORD: any_name,
    }
    known = {_placed(place, parameter): parameter for place, parameter in enumerate(ours)}
    for place, parameter in enumerate(theirs):
        own = known.pop(_placed(place, parameter), None)
        if own is None and not passed_on[parameter.kind]:
            return False
        # Leaving out an argument has to mean the same for both.
        if own is not None and parameter.default not in (Parameter.empty, own.default):
            return False
    return not any(parameter.kind not in _VARIABLE for parameter in known.values())


def _placed(place: int, parameter: Parameter) -> tuple[str, int | None]:
    return parameter.name, place if parameter.kind in _BY_PLACE else None
