"""Durations from outside: seconds in a setting, nanoseconds inside."""

from __future__ import annotations

_NANOSECONDS = 1_000_000_000
_LONGEST = (2**63 - 1) / _NANOSECONDS
"""What the clock itself can tell, in seconds: about 292 years."""


def nanoseconds(seconds: float) -> int:
    """Whole nanoseconds; of more than 292 years, which means for ever, so many."""
    return int(min(seconds, _LONGEST) * _NANOSECONDS)
