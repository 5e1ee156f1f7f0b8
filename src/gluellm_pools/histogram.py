"""Histograms: added up, subtracted, and estimated quantiles."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Histogram:
    """Counts by bucket; ``counts`` has one more entry than ``bounds`` (or both are empty)."""

    bounds: tuple[float, ...] = ()
    counts: tuple[int, ...] = ()
    longest: float | None = None
    """Largest value ever recorded; None if unknown."""
    total: float = 0.0
    """Sum of the values."""

    @property
    def count(self) -> int:
        return sum(self.counts)

    @property
    def mean(self) -> float | None:
        """Exact mean; None if there are no values."""
        return self.total / self.count if self.count else None

    def __add__(self, other: Histogram) -> Histogram:
        """Sum of both. Histograms with different buckets can't be added: the first one is kept."""
        if not self.counts:
            return other
        known = [value for value in (self.longest, other.longest) if value is not None]
        return self._with(other, 1, max(known, default=None))

    def __sub__(self, before: Histogram) -> Histogram:
        """Values recorded after ``before``; all values if the counts were reset in between."""
        grown = self._with(before, -1, self.longest)
        return self if any(number < 0 for number in grown.counts) else grown

    def _with(self, other: Histogram, sign: int, longest: float | None) -> Histogram:
        if self.bounds != other.bounds or len(self.counts) != len(other.counts):
            return self
        counts = tuple(a + sign * b for a, b in zip(self.counts, other.counts, strict=True))
        return Histogram(self.bounds, counts, longest, self.total + sign * other.total)

    def quantile(self, share: float) -> tuple[float, bool] | None:
        """Estimate by linear interpolation inside the bucket, as Prometheus does.

        Returns the value, and whether the true one is larger, as in the bucket without an upper
        bound; None if there are no values. A bucket with an upper bound of 0 or less holds exactly
        that bound here, since durations are not negative.
        """
        count = self.count
        if not count:
            return None
        rank, below, lower = share * count, 0, 0.0
        for upper, number in zip(self.bounds, self.counts, strict=False):
            if number and below + number >= rank:
                if upper <= 0:
                    return upper, False
                value = lower + (upper - lower) * (rank - below) / number
                return value if self.longest is None else min(value, self.longest), False
            below += number
            lower = max(upper, 0.0)
        return lower, True
