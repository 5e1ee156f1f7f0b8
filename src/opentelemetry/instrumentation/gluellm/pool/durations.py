"""Conversion of durations: seconds in settings and metrics, nanoseconds in the pool layer."""

from __future__ import annotations

SECOND = 1_000_000_000
"""Nanoseconds in a second. Code that runs for every request divides by it without a call."""
_LONGEST = (2**63 - 1) / SECOND
"""Longest duration that the clock can measure, in seconds: about 292 years."""


def nanoseconds(seconds: float) -> int:
    """Convert seconds to whole nanoseconds, at most 292 years: longer durations mean forever."""
    return int(min(seconds, _LONGEST) * SECOND)


def in_seconds(duration: int) -> float:
    """Convert nanoseconds to seconds."""
    return duration / SECOND
