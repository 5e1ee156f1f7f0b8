"""What was found over the time of a run: each finding once, with when it was seen."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ...diagnosis.findings import Finding, Kind, Severity
from ...diagnosis.text import findings_text

_SEVERITIES = list(Severity)


@dataclass(slots=True)
class Seen:
    """One finding. Times are seconds since the program's start."""

    finding: Finding
    """As it was when it was worst, and of those the last."""
    place: int
    """Among the findings of its look, the most causal of which comes first."""
    first: float
    last: float
    looks: int = 1

    def to_dict(self) -> dict[str, Any]:
        return {
            **self.finding.to_dict(),
            "text": findings_text([self.finding]),
            "first": self.first,
            "last": self.last,
            "looks": self.looks,
        }


class SeenFindings:
    """Gathers the findings of many looks."""

    def __init__(self) -> None:
        self._seen: dict[tuple[Kind, str | None], Seen] = {}

    def add(self, findings: Iterable[Finding], at: float) -> None:
        """Note the findings of a look that was taken ``at`` seconds after the start."""
        for place, finding in enumerate(findings):
            key = (finding.kind, finding.pool)
            seen = self._seen.get(key)
            if seen is None:
                self._seen[key] = Seen(finding, place, at, at)
                continue
            seen.last = at
            seen.looks += 1
            if _rank(finding) <= _rank(seen.finding):
                seen.finding, seen.place = finding, place

    def ordered(self) -> list[Seen]:
        """The most severe first, and of those the most causal."""
        return sorted(
            self._seen.values(),
            key=lambda seen: (_rank(seen.finding), seen.place),
        )


def _rank(finding: Finding) -> int:
    return _SEVERITIES.index(finding.severity)
