"""Allowed values of each limit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..environment import APPLY_HTTPX_ENV, LIMIT_VARIABLES, PROVIDER
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
class Range:
    """Numbers that a limit may have."""

    whole: bool
    unit: str
    instead: str
    """Advice for a value that the range excludes."""

    @property
    def allowed(self) -> str:
        """Allowed numbers, in words."""
        if self.whole:
            return f"a whole number from 1 to {MOST_CONNECTIONS}"
        return f"a number of seconds above 0 and up to {LONGEST:.0f}, which is a day"

    def accepts(self, value: object) -> bool:
        """Return whether the value is in the range; NaN never is."""
        if isinstance(value, bool):
            return False
        if self.whole:
            return isinstance(value, int) and 1 <= value <= MOST_CONNECTIONS
        return isinstance(value, (int, float)) and 0 < value <= LONGEST

    def parse(self, text: str) -> float:
        """Return the number in a text. Raises ValueError if there is none."""
        return int(text) if self.whole else float(text)


_OWN = "Leave it out for the limit that the client has by itself"
RANGES: Mapping[str, Range] = {
    MAX_CONNECTIONS: Range(True, "connections", _OWN),
    MAX_KEEPALIVE_CONNECTIONS: Range(True, "connections", _OWN),
    KEEPALIVE_EXPIRY: Range(False, "s", f"{_OWN}, and give 0.001 to keep none"),
    POOL_TIMEOUT: Range(False, "s", f"{_OWN}, and give 0.001 to fail at once in a full pool"),
}
"""Range of each limit."""


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


def checked(name: str, number: object, provider: str | None) -> Value:
    """Return a limit from code. Raises ValueError, with the range, if it is not allowed."""
    allowed = RANGES[name]
    if not allowed.accepts(number):
        raise ValueError(
            f"{name}={one_line(repr(number))}: allowed is {allowed.allowed}. {allowed.instead}"
        )
    assert isinstance(number, (int, float))
    return Value(number, None, provider)


def parsed(name: str, variable: str, text: str, provider: str | None) -> Value:
    """Return a limit from the environment. Raises ValueError, with the range, if not allowed."""
    allowed = RANGES[name]
    try:
        number = allowed.parse(text)
    except ValueError:
        number = 0
    if not allowed.accepts(number):
        raise ValueError(f"{variable}={one_line(repr(text))}: allowed is {allowed.allowed}")
    return Value(number, variable, provider)


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


@dataclass(frozen=True, slots=True)
class Argument:
    """Argument of ``configure_pools()``, for the configuration reference."""

    name: str
    variable: str
    unit: str
    allowed: str


def _arguments() -> tuple[Argument, ...]:
    found = [
        Argument(name, LIMIT_VARIABLES[name], RANGES[name].unit, RANGES[name].allowed)
        for name in LIMITS
    ]
    found.append(Argument(PROVIDER, LIMIT_VARIABLES[PROVIDER], "", "one of any-llm's providers"))
    found.append(
        Argument(
            APPLY_HTTPX_ENV,
            LIMIT_VARIABLES[APPLY_HTTPX_ENV],
            "",
            "True or False (true, false, 1 or 0 in the environment)",
        )
    )
    return tuple(found)


ARGUMENTS = _arguments()
"""All arguments, in the order of the signature."""
