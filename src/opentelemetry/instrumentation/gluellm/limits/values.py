"""Allowed values of each limit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from ..allowed import Rule, number, whole_number
from ..providers import (
    KEEPALIVE_EXPIRY,
    LIMITS,
    MAX_CONNECTIONS,
    MAX_KEEPALIVE_CONNECTIONS,
    POOL_TIMEOUT,
)
from ..text import one_line

MOST_CONNECTIONS = 100_000
"""Largest limit: more than one machine has file descriptors and ports for."""
LONGEST = 86_400.0
"""Largest time, a day in seconds: a larger one is in the wrong unit."""


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit's allowed values."""

    rule: Rule
    unit: str
    advice: str
    """Advice for a value that is not allowed."""


_OWN = "Leave it out to keep the client's own limit"
_CONNECTIONS = whole_number(1, MOST_CONNECTIONS)
_SECONDS = number(
    f"a number of seconds above 0 and up to {LONGEST:.0f}, which is a day",
    lambda value: 0 < value <= LONGEST,
)
RANGES: Mapping[str, Limit] = {
    MAX_CONNECTIONS: Limit(_CONNECTIONS, "connections", _OWN),
    MAX_KEEPALIVE_CONNECTIONS: Limit(_CONNECTIONS, "connections", _OWN),
    KEEPALIVE_EXPIRY: Limit(_SECONDS, "s", f"{_OWN}, or give 0.001 to keep no idle connections"),
    POOL_TIMEOUT: Limit(_SECONDS, "s", f"{_OWN}, or give 0.001 to fail at once in a full pool"),
}
"""Allowed values of each limit."""


@dataclass(frozen=True, slots=True)
class Value:
    """One limit and its source."""

    number: float
    variable: str | None = None
    """Environment variable that set the limit; None for ``configure_pools()`` in code."""
    provider: str | None = None
    """Provider that the limit applies to; None for all."""


Values = Mapping[str, Value]
"""Limits by name."""


def checked(name: str, value: object, provider: str | None) -> Value:
    """Return a limit from code. Raises ValueError, with the range, if it is not allowed."""
    limit = RANGES[name]
    if not limit.rule.accepts(value):
        raise ValueError(
            f"{name}={one_line(repr(value))}: allowed is {limit.rule.allowed}. {limit.advice}"
        )
    return Value(cast("float", value), None, provider)


def from_variable(name: str, variable: str, text: str, provider: str | None) -> Value:
    """Return a limit from the environment. Raises ValueError, with the range, if not allowed."""
    rule = RANGES[name].rule
    try:
        return Value(cast("float", rule.parsed(text)), variable, provider)
    except ValueError:
        raise ValueError(f"{variable}={one_line(repr(text))}: allowed is {rule.allowed}") from None


def origin_of(values: Values) -> str:
    """Return what set these limits, as text: ``configure_pools(max_connections=20)``."""
    calls: dict[str | None, list[str]] = {}
    variables = []
    for name in LIMITS:
        value = values.get(name)
        if value is None:
            continue
        if value.variable is not None:
            variables.append(f"{value.variable}={value.number:g}")
        else:
            calls.setdefault(value.provider, []).append(f"{name}={value.number:g}")
    recorded = []
    for provider, arguments in calls.items():
        whose = [f'provider="{provider}"'] if provider is not None else []
        recorded.append(f"configure_pools({', '.join([*whose, *arguments])})")
    return "; ".join([*recorded, *variables])
