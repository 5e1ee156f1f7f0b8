"""What a run of the model has been through, in figures."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from support.figures import Figures

if TYPE_CHECKING:
    from .steps import Life


@dataclass(slots=True)
class Counts:
    """Counted over all examples of one machine or of several."""

    examples: int = 0
    spoilt: int = 0
    """Examples that were left since the library made a request fail by itself."""
    invariants: int = 0
    """How often everything was compared with the model."""
    steps: Counter[str] = field(default_factory=Counter)
    states: set[Any] = field(default_factory=set)
    phases: Counter[str] = field(default_factory=Counter)

    def saw(self, life: Life) -> None:
        """The state that an example is in now.

        That is how many requests there are by phase, how many have ended by outcome (0, 1, or
        more), what each pool's connections are, and whether the instrumentation is on.
        """
        model = life.model
        under_way = Counter((request.phase, request.seen) for request in model.under_way())
        self.phases.update(request.phase or "" for request in model.under_way())
        ended = Counter(
            outcome for r in model.requests if not r.is_under_way for outcome in r.outcomes
        )
        pools = sorted(
            (pool.maximum, pool.tracked, pool.is_closed, *sorted(pool.states().items()))
            for pool in life.world.pools
        )
        self.states.add(
            (
                frozenset(under_way.items()),
                frozenset((outcome, min(count, 2)) for outcome, count in ended.items()),
                tuple(map(str, pools)),
                model.instrumented,
            )
        )

    def add(self, other: Counts) -> None:
        """Count what another has counted; the states of two machines are different ones."""
        self.examples += other.examples
        self.spoilt += other.spoilt
        self.invariants += other.invariants
        self.steps += other.steps
        self.phases += other.phases
        self.states |= {(id(other), state) for state in other.states}

    def tell(self, figures: Figures, of: str = "") -> None:
        """Put them into figures, those of one machine under its name."""
        prefix = f"{of}: " if of else ""
        figures.values[f"{prefix}examples"] = self.examples
        if self.spoilt:
            figures.values[f"{prefix}examples left, spoilt by the library's own race"] = self.spoilt
        figures.values[f"{prefix}steps"] = self.steps.total()
        figures.values[f"{prefix}distinct states"] = len(self.states)
        figures.values[f"{prefix}times that everything was compared"] = self.invariants
