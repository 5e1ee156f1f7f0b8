"""Rules for the values of settings, from code and from the environment."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ValueRule:
    """Allowed values of a setting."""

    allowed: str
    """Description of the allowed values, for error messages and the configuration reference."""
    accepts: Callable[[object], bool]
    """Check of a value from code: True if it is allowed."""
    parse: Callable[[str], object]
    """Conversion of an environment variable's text to a value. Raises ValueError if it can't."""

    def parsed(self, text: str) -> object:
        """Return the value of an environment variable. Raises ValueError if it is not allowed."""
        value = self.parse(text)
        if not self.accepts(value):
            raise ValueError(text)
        return value


def one_of(*values: str) -> ValueRule:
    """Allow some texts, in any case in the environment."""
    return ValueRule(" or ".join(f'"{value}"' for value in values), values.__contains__, str.lower)


def number(allowed: str, accepts: Callable[[float], bool]) -> ValueRule:
    """Allow finite numbers for which ``accepts`` returns True."""

    def accepts_value(value: object) -> bool:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return False
        return abs(value) <= sys.float_info.max and accepts(value)

    return ValueRule(allowed, accepts_value, float)


def whole_number(low: int, high: int) -> ValueRule:
    """Allow whole numbers of a range, both ends included."""

    def accepts(value: object) -> bool:
        return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high

    return ValueRule(f"a whole number from {low} to {high}", accepts, int)


_WORDS = {"true": True, "1": True, "false": False, "0": False}


def _boolean_of(text: str) -> bool:
    if text.lower() not in _WORDS:
        raise ValueError(text)
    return _WORDS[text.lower()]


BOOLEAN = ValueRule(
    "True or False (true, false, 1 or 0 in the environment)",
    lambda value: isinstance(value, bool),
    _boolean_of,
)
BOOLEAN_OR_NONE = ValueRule(
    "True, False or None (true, false, 1 or 0 in the environment)",
    lambda value: value is None or isinstance(value, bool),
    _boolean_of,
)
