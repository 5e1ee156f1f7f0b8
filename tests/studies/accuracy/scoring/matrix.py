"""The confusion matrix, and what follows from it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from .causes import Cause
from .playing import STARVED, Result
from .verdicts import NONE, OTHER

REQUIRED = 0.95


class Matrix:
    """Results by hidden cause and verdict."""

    def __init__(self, results: Sequence[Result]) -> None:
        self._results = results
        self._cells = Counter((result.cause, result.verdict) for result in results)

    @property
    def share_right(self) -> float:
        """1 when there are no results."""
        results = self._results
        return sum(r.right for r in results) / len(results) if results else 1.0

    @property
    def false_alarms(self) -> int:
        """Healthy runs in which a cause was named."""
        return sum(result.cause is Cause.HEALTHY and not result.right for result in self._results)

    @property
    def passes(self) -> bool:
        """Whether that is what was asked for."""
        return self.share_right >= REQUIRED and not self.false_alarms

    def __str__(self) -> str:
        used = {result.verdict for result in self._results}
        columns = [*Cause, *(name for name in (OTHER, NONE) if name in used)]
        rows = [cause for cause in Cause if any(r.cause is cause for r in self._results)]
        width = max(len(name) for name in columns)
        lines = ["hidden cause".ljust(width) + "  verdict"]
        # Names don't fit over their columns, so those are numbered as the rows are.
        for number, name in enumerate(columns, 1):
            lines.append(" " * (width + 2) + "     |" * (number - 1) + f"     {name}")
        for cause in rows:
            cells = (self._cells[cause, name] for name in columns)
            line = cause.ljust(width + 2) + "".join(f"{cell or '.':>6}" for cell in cells)
            lines.append(line)
        healthy = sum(result.cause is Cause.HEALTHY for result in self._results)
        right = sum(result.right for result in self._results)
        lines.append("")
        lines.append(
            f"right: {right} of {len(self._results)} ({100 * self.share_right:.1f}%, asked for is "
            f"{100 * REQUIRED:.0f}%); false alarms: {self.false_alarms} in {healthy} healthy runs"
        )
        again = sum(result.tries - 1 for result in self._results)
        if again:
            lines.append(
                f"{again} more were played and don't count, whatever their verdict: the machine "
                f"had no processor for them for {STARVED:g} s or more."
            )
        return "\n".join(lines)
