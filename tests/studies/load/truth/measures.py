"""What a run counts and measures on its way."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from support.figures import Figure


class MismatchError(AssertionError):
    """The metrics reported something else than the truth, or something never came to its end."""


@dataclass(slots=True)
class Measures:
    """Counts by what was compared or done, and the largest deviation of each comparison."""

    compared: Counter[str] = field(default_factory=Counter)
    late: Counter[str] = field(default_factory=Counter)
    """Comparisons that held only some milliseconds later: a thread had yet to get there."""
    largest: dict[str, float] = field(default_factory=dict)
    requests: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    rows: Counter[str] = field(default_factory=Counter)
    known: Counter[str] = field(default_factory=Counter)
    """Differences that the documentation tells of, and that were allowed for."""

    def deviate(self, what: str, amount: float) -> None:
        """Note a deviation, which is shown if it is the largest."""
        self.largest[what] = max(self.largest.get(what, 0), amount)

    def as_figures(self) -> dict[str, Figure]:
        """All of it in words and numbers."""
        figures: dict[str, Figure] = {"requests": sum(self.requests.values())}
        for what in ("requests", "compared", "largest", "late", "faults", "rows", "known"):
            counts = getattr(self, what)
            figures |= {f"{what}: {name}": n for name, n in sorted(counts.items())}
        return figures
