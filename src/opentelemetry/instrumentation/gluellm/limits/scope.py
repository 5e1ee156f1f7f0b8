"""Scope around any-llm's calls, with the limits for the pools that are built inside.

Limits that the arguments of ``AnyLLM.create`` set win, since the user chose these. any-llm passes
arguments that it doesn't know to the provider's SDK. They are taken from the source of any-llm-sdk
1.40.2 and from the constructors of the SDK versions in ``providers.py``.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from ..attribution.calls import CallScope, OnError, provider_key
from ..attribution.context import CallVariable
from ..pool.call import Call
from ..pool.call_site import CallSite
from ..providers import (
    KEEPALIVE_EXPIRY,
    LIMITS,
    MAX_CONNECTIONS,
    MAX_KEEPALIVE_CONNECTIONS,
    POOL_TIMEOUT,
)
from .settings import Values

current_limits: CallVariable = ContextVar("gluellm_current_limits", default=None)
"""Limited call of the running code. Not attribution's variable, which metrics report."""

_GIVEN = "_gluellm_limits_given"
"""Attribute of an AnyLLM object: the limits that the user set for it."""
_NONE: frozenset[str] = frozenset()
_ALL = frozenset(LIMITS)
_OF_LIMITS = frozenset({MAX_CONNECTIONS, MAX_KEEPALIVE_CONNECTIONS, KEEPALIVE_EXPIRY})
_OF_MAXSIZE = frozenset({MAX_CONNECTIONS, MAX_KEEPALIVE_CONNECTIONS})

_CLIENTS = (
    "aiohttp_client async_client client connector http_client httpx_async_client httpx_client "
    "session transport"
)
_MEANING: Mapping[str, frozenset[str]] = {
    **dict.fromkeys(_CLIENTS.split(), _ALL),
    "limits": _OF_LIMITS,
    # httpx applies a plain number to all four timeouts, including the pool timeout.
    "timeout": frozenset({POOL_TIMEOUT}),
}
_NESTED = ("http_options", "client_args", "async_client_args")
"""Arguments of google-genai that can contain some of the above."""


@dataclass(slots=True, eq=False, kw_only=True)
class LimitedCall(Call):
    """Call, or constructor, in which pools get limits."""

    limits: Values
    own_timeout: bool = False
    """Whether the user set a timeout, which is then the pool timeout as well."""


class LimitScope(CallScope):
    """Scope that finds the limits of each call: its provider's, less those that the user set."""

    def __init__(self, on_error: OnError, limits_of: Callable[[str], Values]) -> None:
        super().__init__(on_error, variable=current_limits)
        self._limits_of = limits_of

    def call_site(self) -> CallSite | None:
        """Return None: limits need no call site."""
        return None

    def new_call(
        self,
        instance: Any,
        operation: str | None,
        model: str | None,  # noqa: ARG002
        kwargs: dict[str, Any],
        call_site: CallSite | None,  # noqa: ARG002
    ) -> Call | None:
        # Some pools are built only at the first call. The outermost constructor begins first; its
        # arguments are the user's, so they are kept.
        if operation is None and getattr(instance, _GIVEN, None) is None:
            setattr(instance, _GIVEN, limits_given(kwargs))
        provider = provider_key(instance)
        limits = self._limits_of(provider)
        if not limits or client_is_users(provider):
            return None
        given: frozenset[str] = getattr(instance, _GIVEN, _NONE)
        timeout = operation is not None and kwargs.get("timeout") is not None
        return LimitedCall(
            provider,
            limits={name: value for name, value in limits.items() if name not in given},
            own_timeout=timeout or POOL_TIMEOUT in given,
        )


def limited_call() -> LimitedCall | None:
    """Return the limited call of the running code; None if there is none or it has ended."""
    call = current_limits.get()
    return call if isinstance(call, LimitedCall) and not call.ended else None


def limits_given(arguments: Mapping[str, Any]) -> frozenset[str]:
    """Return the limits that arguments set, themselves or by a client among them."""
    given: set[str] = set()
    for name, value in arguments.items():
        if value is None:
            continue
        if name == "config":
            given |= _of_botocore(value)
        elif name in _NESTED:
            given |= limits_given(_mapping(value))
        else:
            given |= _MEANING.get(name, frozenset())
    return frozenset(given)


def client_is_users(provider: str) -> bool:
    """Return whether the user has set how the provider's SDK builds its clients.

    Applies to huggingface_hub: it accepts a function that builds the client, but neither a client
    nor limits.
    """
    if provider != "huggingface":
        return False
    module = sys.modules.get("huggingface_hub.utils._http")
    factory = getattr(module, "_GLOBAL_ASYNC_CLIENT_FACTORY", None)
    return factory is not getattr(module, "default_async_client_factory", None)


def _of_botocore(config: Any) -> frozenset[str]:
    """Return the limits of a botocore Config if the user set ``max_pool_connections``.

    Assumes so if botocore does not show which options the user set.
    """
    named = getattr(config, "_user_provided_options", None)
    return _OF_MAXSIZE if named is None or "max_pool_connections" in named else frozenset()


def _mapping(value: Any) -> Mapping[str, Any]:
    """Return the options that are set in a dict or a pydantic model."""
    if isinstance(value, Mapping):
        return value
    return getattr(value, "__dict__", {})
