"""Which limits the arguments of ``AnyLLM.create`` set: those are the user's, and they win.

any-llm hands the arguments that it doesn't know to the provider's SDK. Read in any-llm-sdk 1.40.2
and the SDKs' constructors of the versions in ``providers.py``.
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

_MEANING: Mapping[str, frozenset[str]] = {
    "aiohttp_client": _ALL,
    "async_client": _ALL,
    "client": _ALL,
    "connector": _ALL,
    "http_client": _ALL,
    "httpx_async_client": _ALL,
    "httpx_client": _ALL,
    "session": _ALL,
    "transport": _ALL,
    "limits": _OF_LIMITS,
    # httpx takes a plain number for all four timeouts, that of the pool included.
    "timeout": frozenset({POOL_TIMEOUT}),
}
_NESTED = ("http_options", "client_args", "async_client_args")
"""google-genai's, in which some of the above may stand."""


def limits_given(arguments: Mapping[str, Any]) -> frozenset[str]:
    """The limits that are set by the arguments of a client, or that a client among them has."""
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
    """Whether the user has told the provider's SDK how to build its clients.

    huggingface_hub takes no client and no limits, but a function that makes the client.
    """
    if provider != "huggingface":
        return False
    module = sys.modules.get("huggingface_hub.utils._http")
    factory = getattr(module, "_GLOBAL_ASYNC_CLIENT_FACTORY", None)
    return factory is not getattr(module, "default_async_client_factory", None)


def _of_botocore(config: Any) -> frozenset[str]:
    """``max_pool_connections`` of a botocore Config, where the user has named it."""
    named = getattr(config, "_user_provided_options", None)
    return _OF_MAXSIZE if named is None or "max_pool_connections" in named else frozenset()


def _mapping(value: Any) -> Mapping[str, Any]:
    """An options object as what is set in it: a dict, or a pydantic model."""
    if isinstance(value, Mapping):
        return value
    return getattr(value, "__dict__", {})
