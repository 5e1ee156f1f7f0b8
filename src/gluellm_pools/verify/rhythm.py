"""How many exporters write into one series, judged from when its samples were taken.

An exporter sends once per interval. Two that share a series begin at different moments, so that the
distances between samples differ and those between every second sample do not.
"""

from __future__ import annotations

from collections.abc import Sequence

_MOST = 16
_ROUNDS = 3
_EVEN, _UNEVEN = 0.1, 0.3
"""Spread of the distances, as a share of their median."""


def writers(times: Sequence[float]) -> int:
    """The number of exporters; 1 where the rhythm tells of no more, or of nothing."""
    if _spread(times, 1) < _UNEVEN:
        return 1
    for number in range(2, _MOST + 1):
        if len(times) < (_ROUNDS + 1) * number:
            break
        if _spread(times, number) < _EVEN:
            return number
    return 1


def steady(times: Sequence[float]) -> bool:
    """Whether the samples come evenly, as from one exporter."""
    return len(times) > _ROUNDS and _spread(times, 1) < _UNEVEN


def interval(times: Sequence[float], number: int = 1) -> float | None:
    """Seconds between two samples of one exporter, where ``number`` of them write."""
    distances = _distances(times, number)
    return distances[len(distances) // 2] if distances else None


def _distances(times: Sequence[float], number: int) -> list[float]:
    return sorted(b - a for a, b in zip(times, times[number:], strict=False))


def _spread(times: Sequence[float], number: int) -> float:
    # The outermost tenths are left out: an export that is retried, and the one at a program's end.
    distances = _distances(times, number)
    if not distances:
        return 0.0
    cut = len(distances) // 10
    kept = distances[cut : len(distances) - cut]
    middle = kept[len(kept) // 2]
    return (kept[-1] - kept[0]) / middle if middle > 0 else 0.0
