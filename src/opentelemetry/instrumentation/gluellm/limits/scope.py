"""What is put around any-llm's calls: the limits for the pools that are built in them."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from ..attribution.calls import CallScope, ModelOf, OnError, provider_key
from ..attribution.context import CallVariable
from ..pool.call_site import CallSite
from ..pool.lease import Call
from ..providers import POOL_TIMEOUT
from .arguments import client_is_users, limits_given
from .values import Values

current_limits: CallVariable = ContextVar("gluellm_current_limits", default=None)
"""Apart from attribution's variable, whose values are what metrics say."""

_GIVEN = "_gluellm_limits_given"
"""On an AnyLLM object: the limits that its maker set."""
_NONE: frozenset[str] = frozenset()


class LimitedCall(Call):
    """A call, or a constructor, in which pools get limits."""

    __slots__ = ("limits", "own_timeout")

    def __init__(self, provider: str, limits: Values, *, own_timeout: bool = False) -> None:
        super().__init__(provider)
        self.limits = limits
        self.own_timeout = own_timeout
        """Whether the call was given a timeout, which then is its pool timeout too."""


class LimitScope(CallScope):
    """Finds the limits of each call: those that hold for its provider, less what the user set."""

    def __init__(self, on_error: OnError, limits_of: Callable[[str], Values]) -> None:
        super().__init__(on_error, variable=current_limits)
        self._limits_of = limits_of

    def call_site(self) -> CallSite | None:
        """Not looked for."""
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
        """Keep which limits the user set: some pools are built at the first call only.

        The outermost constructor comes first, and its arguments are the user's.
        """
        try:
            if getattr(instance, _GIVEN, None) is None:
                setattr(instance, _GIVEN, limits_given(arguments))
        except Exception as error:
            self.failed("limits.arguments", error)


def limited() -> LimitedCall | None:
    """The limited call that the running code belongs to, while it lasts."""
    call = current_limits.get()
    return call if isinstance(call, LimitedCall) and not call.ended else None
