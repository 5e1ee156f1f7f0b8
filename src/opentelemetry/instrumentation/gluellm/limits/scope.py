"""Scope around any-llm's calls, with the limits for the pools that are built inside."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from ..attribution.calls import CallScope, ModelOf, OnError, provider_key
from ..attribution.context import CallVariable
from ..pool.call import Call
from ..pool.call_site import CallSite
from ..providers import POOL_TIMEOUT
from .arguments import client_is_users, limits_given
from .values import Values

current_limits: CallVariable = ContextVar("gluellm_current_limits", default=None)
"""Limited call of the running code. Not attribution's variable, which metrics report."""

_GIVEN = "_gluellm_limits_given"
"""Attribute of an AnyLLM object: the limits that the user set for it."""
_NONE: frozenset[str] = frozenset()


class LimitedCall(Call):
    """Call, or constructor, in which pools get limits."""

    __slots__ = ("limits", "own_timeout")

    def __init__(self, provider: str, limits: Values, *, own_timeout: bool = False) -> None:
        super().__init__(provider)
        self.limits = limits
        self.own_timeout = own_timeout
        """Whether the user set a timeout, which is then the pool timeout as well."""


class LimitScope(CallScope):
    """Scope that finds the limits of each call: its provider's, less those that the user set."""

    def __init__(self, on_error: OnError, limits_of: Callable[[str], Values]) -> None:
        super().__init__(on_error, variable=current_limits)
        self._limits_of = limits_of

    def call_site(self) -> CallSite | None:
        """Return None: limits need no call site."""
        return None

    def begin(
        self,
        instance: Any,
        operation: str | None,
        model_of: ModelOf,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        call_site: CallSite | None,
    ) -> Call | None:
        if operation is None and self.on:
            self._note(instance, kwargs)
        return super().begin(instance, operation, model_of, args, kwargs, call_site)

    def new_call(
        self,
        instance: Any,
        operation: str | None,
        model: str | None,  # noqa: ARG002
        kwargs: dict[str, Any],
        call_site: CallSite | None,  # noqa: ARG002
    ) -> Call | None:
        provider = provider_key(instance)
        limits = self._limits_of(provider)
        if not limits or client_is_users(provider):
            return None
        given: frozenset[str] = getattr(instance, _GIVEN, _NONE)
        timeout = operation is not None and kwargs.get("timeout") is not None
        return LimitedCall(
            provider,
            {name: value for name, value in limits.items() if name not in given},
            own_timeout=timeout or POOL_TIMEOUT in given,
        )

    def _note(self, instance: Any, arguments: dict[str, Any]) -> None:
        """Note which limits the user set, since some pools are built only at the first call.

        The outermost constructor begins first; its arguments are the user's, so they are kept.
        """
        try:
            if getattr(instance, _GIVEN, None) is None:
                setattr(instance, _GIVEN, limits_given(arguments))
        except Exception as error:
            self.failed("limits.arguments", error)


def limited_call() -> LimitedCall | None:
    """Return the limited call of the running code; None if there is none or it has ended."""
    call = current_limits.get()
    return call if isinstance(call, LimitedCall) and not call.ended else None
