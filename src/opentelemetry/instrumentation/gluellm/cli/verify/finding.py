"""One thing that is wrong with the data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ...diagnosis.findings import Severity


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
