"""One thing that is wrong with the data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ...diagnosis.findings import Severity
from ..text import printable

_FEW = 4


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was found."""

    kind: str
    severity: Severity
    seen: str
    means: str
    cure: str

    def as_json(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "severity": self.severity.value,
            "seen": self.seen,
            "means": self.means,
            "cure": self.cure,
        }


def some(values: Sequence[str]) -> str:
    """The first few of the values, and how many more there are."""
    few = ", ".join(printable(value, 60) for value in values[:_FEW])
    rest = len(values) - _FEW
    return f"{few} and {rest} more" if rest > 0 else few
