"""A budget beside what was measured, and whether it is met."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .sources import UnavailableError

PERCENT = "{:.1f} %"
MICROSECONDS = "{:.2f} µs"
MILLISECONDS = "{:.2f} ms"
NUMBER = "{:.0f}"


@dataclass(frozen=True, slots=True)
class Row:
    """One budget beside what was measured."""

    what: str
    budget: str
    measured: str
    met: bool | None
    """None where it could not be measured."""
    detail: str = ""
    gates: bool = False
    """Whether ``--check`` fails when it is not met: counts repeat, times don't."""


@dataclass(frozen=True, slots=True)
class Budget:
    """What may be spent, and how to find what is."""

    what: str
    most: float
    unit: str
    """A format for the number."""
    values: Callable[[], dict[str, float]]
    """By combination, or one under the empty name."""
    detail: Callable[[], str] = lambda: ""
    gates: bool = False

    def row(self) -> Row:
        """Measure."""
        budget = f"<= {self.unit.format(self.most)}"
        try:
            values = self.values()
            detail = self.detail()
        except UnavailableError as reason:
            return Row(self.what, budget, "not measured", None, str(reason), self.gates)
        worst = max(values.values())
        others = "; ".join(
            f"{name} {self.unit.format(value)}" for name, value in values.items() if name
        )
        return Row(
            self.what,
            budget,
            self.unit.format(worst),
            worst <= self.most,
            ". ".join(part for part in (others, detail) if part),
            self.gates,
        )
