"""Measures how long Prometheus takes to evaluate the rules, to compare with their interval.

The store has data of the near future, so Prometheus evaluates rules and then refuses to store the
results: the times include all but that.
"""

import statistics
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from support.waiting import wait_until

from .store import BlockStore

_EVALUATIONS: Final = 3
_PATIENCE: Final = 600.0
_REFUSED: Final = "out of order sample"


@dataclass(frozen=True, slots=True)
class Group:
    """A group of rules."""

    name: str
    interval: float
    """Seconds between two evaluations."""
    seconds: float
    """The median of some evaluations of all of its rules."""
    slowest: str
    """The rule that took longest in the last one, and how long."""
    errors: Sequence[str]

    @property
    def keeps_up(self) -> bool:
        """Whether at least half of the interval is to spare."""
        return self.seconds <= self.interval / 2


def evaluated(store: BlockStore, rules: Iterable[Path]) -> list[Group]:
    """Evaluate the rules over current data. Raises AssertionError if that takes long."""
    store.take_rules(*rules)
    # By group, the durations of its evaluations by when they began.
    seen: dict[str, dict[str, float]] = {}

    def evaluated_often() -> list[Group]:
        time.sleep(1)
        groups = store.ask("/api/v1/rules", {})["groups"]
        for group in groups:
            if not group["lastEvaluation"].startswith("0001"):
                of_group = seen.setdefault(group["name"], {})
                of_group[group["lastEvaluation"]] = group["evaluationTime"]
        often = all(len(seen.get(group["name"], ())) >= _EVALUATIONS for group in groups)
        return [_group(g, list(seen[g["name"]].values())) for g in groups] if often else []

    with store:
        return wait_until(evaluated_often, "each rule is evaluated several times", _PATIENCE)


def _group(group: dict[str, Any], times: list[float]) -> Group:
    slowest = max(group["rules"], key=lambda rule: rule["evaluationTime"])
    return Group(
        group["name"],
        group["interval"],
        statistics.median(times),
        f"{slowest['name']}, {slowest['evaluationTime']:.2f} s",
        [
            f"{rule['name']}: {error}"
            for rule in group["rules"]
            if (error := rule.get("lastError")) and error != _REFUSED
        ],
    )
