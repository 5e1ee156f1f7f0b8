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


_FINEST = 24
CLASSES = 20
"""Number of classes by which durations are counted. Each covers twice the time of the one before;
the first one ends at 2**24 ns."""


def class_of(duration: int) -> int:
    """Return the number of the class of a duration in nanoseconds."""
    number = (duration >> _FINEST).bit_length()
    return number if number < CLASSES else CLASSES - 1


def longest_of(number: int) -> float:
    """Return the upper bound of a class, in seconds: 0.017, 0.034, ... 8796."""
    return round((1 << _FINEST + number) / SECOND, 3)
