"""Conversion of durations: settings are in seconds, the pool layer counts nanoseconds."""

from __future__ import annotations

_NANOSECONDS = 1_000_000_000
_LONGEST = (2**63 - 1) / _NANOSECONDS
"""Longest duration that the clock can measure, in seconds: about 292 years."""


def nanoseconds(seconds: float) -> int:
    """Convert seconds to whole nanoseconds, at most 292 years: longer durations mean forever."""
    return int(min(seconds, _LONGEST) * _NANOSECONDS)
