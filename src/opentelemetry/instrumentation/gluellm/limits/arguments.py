"""Limits that the arguments of ``AnyLLM.create`` set. The user chose these, so they win.

any-llm passes arguments that it doesn't know to the provider's SDK. Taken from the source of
any-llm-sdk 1.40.2 and from the constructors of the SDK versions in ``providers.py``.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from ..providers import (
    KEEPALIVE_EXPIRY,
    LIMITS,
    MAX_CONNECTIONS,
    MAX_KEEPALIVE_CONNECTIONS,
    POOL_TIMEOUT,
)

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
