"""Which functions a replacement may wrap."""

import functools
from collections.abc import Callable
from typing import Any

import pytest

from opentelemetry.instrumentation.gluellm.adapters.signatures import fitted


async def original(self: Any, request: Any) -> Any: ...


original.__module__ = "library.inside"


def plain(self: Any, request: Any) -> Any:
    """A third party's wrapper, which returns the coroutine."""
    return original(self, request)


def without_coroutine(self: Any, request: Any) -> Any: ...


without_coroutine.__module__ = "library.inside"


def make_replacement(_: Any) -> Callable[..., Any]:
    async def replacement(self_: Any, request: Any) -> Any: ...

    return replacement


@pytest.mark.parametrize("method", [original, plain, functools.wraps(original)(plain)])
def test_wrapper_of_a_coroutine_function_may_be_a_plain_function(method):
    """The wrapper may or may not refer to the function that it wraps."""
    assert callable(fitted(make_replacement, True, "library")(method))


def test_librarys_own_function_that_is_no_coroutine_function_is_left_alone():
    """Another version of the library may have changed it."""
    with pytest.raises(TypeError):
        fitted(make_replacement, True, "library")(without_coroutine)
