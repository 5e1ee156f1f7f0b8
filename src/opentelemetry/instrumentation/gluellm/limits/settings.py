"""Limits: their allowed values, the configured ones, and those that apply to a provider."""

from __future__ import annotations

import difflib
import enum
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import cast

from ..allowed import ValueRule, number, whole_number
from ..providers import (
    GRPC,
    KEEPALIVE_EXPIRY,
    LIMITS,
    MAX_CONNECTIONS,
    MAX_KEEPALIVE_CONNECTIONS,
    POOL_TIMEOUT,
    URLLIB3,
    Library,
    libraries_of,
)
from ..text import one_line

_NEAREST = 3
MOST_CONNECTIONS = 100_000
"""Largest limit: more than one machine has file descriptors and ports for."""
LONGEST = 86_400.0
"""Largest time, a day in seconds: a larger one is in the wrong unit."""


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit's allowed values."""

    rule: ValueRule
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
        raise ValueError(f"{one_line(repr(text))} is not {rule.allowed}") from None


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


class Source(enum.IntEnum):
    """Source of a limit, in order of precedence."""

    CODE = 0
    ENVIRONMENT = 1
    HTTPX_ENVIRONMENT = 2


Scope = tuple[str | None, Source]
"""Provider (None for all) and source of limits."""


@dataclass(frozen=True, slots=True)
class LimitSettings:
    """All configured limits. Immutable: a change returns a new object."""

    scopes: Mapping[Scope, Values] = field(default_factory=dict)

    def with_values(
        self, provider: str | None, source: Source, values: Values, *, whole: bool = False
    ) -> LimitSettings:
        """Return settings with further limits.

        Raises ValueError if limits of a scope contradict each other or have no effect.
        ``whole`` replaces all earlier limits of the scope, without the checks.
        """
        before: Values = {} if whole else self.scopes.get((provider, source), {})
        values = {**before, **values}
        changed = replace(self, scopes={**self.scopes, (provider, source): values})
        if not whole:
            changed._check(provider, values)
        return changed

    def without(self, source: Source) -> LimitSettings:
        """Return settings without the limits of one source."""
        kept = {scope: values for scope, values in self.scopes.items() if scope[1] != source}
        return replace(self, scopes=kept)

    def of(self, provider: str) -> Values:
        """Return the limits for a provider, each with its most specific value."""
        found: dict[str, Value] = {}
        for scope in [(name, source) for name in (provider, None) for source in Source]:
            for name, value in self.scopes.get(scope, {}).items():
                found.setdefault(name, value)
        return found

    def variables(self) -> set[str]:
        """Return the environment variables that set limits."""
        every = (value for values in self.scopes.values() for value in values.values())
        return {value.variable for value in every if value.variable is not None}

    def _check(self, provider: str | None, values: Values) -> None:
        most, idle = values.get(MAX_CONNECTIONS), values.get(MAX_KEEPALIVE_CONNECTIONS)
        if most is not None and idle is not None and idle.number > most.number:
            raise ValueError(
                f"{MAX_KEEPALIVE_CONNECTIONS}={idle.number:g} is more than "
                f"{MAX_CONNECTIONS}={most.number:g}: a pool cannot keep more idle "
                f"connections than it may open. Give at most {most.number:g}. A value that "
                "was set earlier stays in effect until it is set again, or until reset_pools()"
            )
        libraries = () if provider is None else libraries_of(provider)
        for library in libraries:
            lacking = [name for name in LIMITS if name in values and name not in library.limits]
            if lacking and library is GRPC:
                raise ValueError(no_limits(provider, library))
            if lacking:
                raise ValueError(
                    f"provider={provider!r} runs on {library.name}, whose pools have no "
                    f"{' and no '.join(lacking)}, only {', '.join(library.limits)}. Leave it out "
                    "for this provider"
                )
        if provider is None or URLLIB3 not in libraries:
            return
        if most is not None and idle is not None and idle.number != most.number:
            raise ValueError(
                f"{MAX_CONNECTIONS}={most.number:g} and "
                f"{MAX_KEEPALIVE_CONNECTIONS}={idle.number:g} contradict each other for "
                f"provider={provider!r}: it runs on urllib3, where one number bounds both. Give "
                f"{MAX_CONNECTIONS} alone"
            )
        if POOL_TIMEOUT in values and MAX_CONNECTIONS not in self.of(provider):
            raise ValueError(
                f"{POOL_TIMEOUT} has no effect for provider={provider!r} without "
                f"{MAX_CONNECTIONS}: it runs on urllib3, where requests wait for a connection "
                f"only if there is such a limit. Give {MAX_CONNECTIONS} as well"
            )


def no_limits(provider: str | None, library: Library) -> str:
    """Return the message for a provider whose library has no limits."""
    return (
        f"provider={provider!r} runs on {library.name}, which has no pool and none of these "
        f"limits: {library.instead}"
    )


def check_provider(name: str, supported: frozenset[str]) -> None:
    """Raise ValueError, with similar names, for a provider that any-llm doesn't have."""
    if name in supported:
        return
    nearest = difflib.get_close_matches(name.lower(), sorted(supported), _NEAREST)
    hint = (
        f"Did you mean {' or '.join(map(repr, nearest))}?"
        if nearest
        else f"There are {', '.join(sorted(supported))}"
    )
    raise ValueError(f"provider={one_line(repr(name))}: any-llm has no such provider. {hint}")
