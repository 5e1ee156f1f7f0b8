"""Histograms as the view needs them: added up, subtracted, and asked for quantiles."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Quantile:
    """An estimate, in the histogram's unit."""

    value: float
    beyond: bool = False
    """The true value is somewhere above: it lies in the bucket without an upper bound."""


@dataclass(frozen=True, slots=True)
class Histogram:
    """Counts by bucket; ``counts`` has one more entry than ``bounds`` (or both are empty)."""

    bounds: tuple[float, ...] = ()
    counts: tuple[int, ...] = ()
    longest: float | None = None
    """The largest value ever recorded, where it is known."""

    @property
    def count(self) -> int:
        return sum(self.counts)

    def plus(self, other: Histogram) -> Histogram:
        """Both together. With different buckets the first one wins: they can't be added up."""
        if not self.counts:
            return other
        if not self._fits(other):
            return self
        counts = tuple(a + b for a, b in zip(self.counts, other.counts, strict=True))
        known = [value for value in (self.longest, other.longest) if value is not None]
        return Histogram(self.bounds, counts, max(known, default=None))

    def since(self, before: Histogram) -> Histogram:
        """What was recorded after ``before``; all of it when the counts were reset meanwhile."""
        if not self._fits(before):
            return self
        counts = tuple(a - b for a, b in zip(self.counts, before.counts, strict=True))
        if any(number < 0 for number in counts):
            return self
        return Histogram(self.bounds, counts, self.longest)

    def _fits(self, other: Histogram) -> bool:
        # A histogram of a single bucket has no bounds, and neither has one that came without any.
        return self.bounds == other.bounds and len(self.counts) == len(other.counts)

    def quantile(self, share: float) -> Quantile | None:
        """Estimated by linear interpolation inside its bucket, as Prometheus does.

        None without any value. A bucket whose upper bound is 0 or less holds exactly that bound
        here: no duration is negative.
        """
        count = self.count
        if not count:
            return None
        rank, below, lower = share * count, 0, 0.0
        for upper, number in zip(self.bounds, self.counts, strict=False):
            if number and below + number >= rank:
                if upper <= 0:
                    return Quantile(upper)
                value = lower + (upper - lower) * (rank - below) / number
                return Quantile(value if self.longest is None else min(value, self.longest))
            below += number
            lower = max(upper, 0.0)
        return Quantile(lower, beyond=True)
