"""Environment variables that set limits of pools.

They are separate from ``limits``, so that checking them doesn't import code that changes behaviour.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

ENVIRONMENT_PREFIX: Final = "OTEL_PYTHON_GLUELLM_"

PROVIDER: Final = "provider"
APPLY_HTTPX_ENV: Final = "apply_httpx_env"

LIMIT_VARIABLES: Final = {
    "max_connections": f"{ENVIRONMENT_PREFIX}POOL_MAX_CONNECTIONS",
    "max_keepalive_connections": f"{ENVIRONMENT_PREFIX}POOL_MAX_KEEPALIVE_CONNECTIONS",
    "keepalive_expiry": f"{ENVIRONMENT_PREFIX}POOL_KEEPALIVE_EXPIRY",
    "pool_timeout": f"{ENVIRONMENT_PREFIX}POOL_TIMEOUT",
    PROVIDER: f"{ENVIRONMENT_PREFIX}POOL_PROVIDER",
    APPLY_HTTPX_ENV: f"{ENVIRONMENT_PREFIX}POOL_APPLY_HTTPX_ENV",
}
"""Environment variable of each argument of ``configure_pools()``."""

HTTPX_VARIABLES: Final = {
    "max_connections": "HTTPX_MAX_CONNECTIONS",
    "max_keepalive_connections": "HTTPX_MAX_KEEPALIVE_CONNECTIONS",
}
"""Variables that GlueLLM's guide mentions. No library reads them (verified with httpx 0.28,
httpx2 2.16, openai 3.57, anthropic 0.125, gluellm 1.11); ``configure_pools(apply_httpx_env=True)``
applies them."""

applied: set[str] = set()
"""Variables of ``HTTPX_VARIABLES`` that are currently applied as limits."""


def limits_in(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that set limits, by argument. An empty variable counts as unset."""
    texts = {name: environment.get(key, "").strip() for name, key in LIMIT_VARIABLES.items()}
    return {name: text for name, text in texts.items() if text}


def limits_asked_for(environment: Mapping[str, str]) -> bool:
    """Return whether the environment sets limits."""
    given = limits_in(environment)
    if given.get(APPLY_HTTPX_ENV, "").lower() in ("false", "0"):
        del given[APPLY_HTTPX_ENV]
    return bool(given)
