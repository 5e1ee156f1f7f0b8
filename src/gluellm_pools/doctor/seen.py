"""What was found over the time of a run: each finding once, with when it was seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from opentelemetry.instrumentation.gluellm.diagnosis.findings import Finding, Kind, Severity
from opentelemetry.instrumentation.gluellm.diagnosis.report import Report
from opentelemetry.instrumentation.gluellm.diagnosis.text import findings_text

_SEVERITIES = list(Severity)
_EXPLAIN = frozenset(
    {
        Kind.LEAK,
        Kind.SLOW_CONSUMER,
        Kind.SLOW_PROVIDER,
        Kind.POOL_TOO_SMALL,
        Kind.HTTP2_STUCK,
    }
)
"""Causes for which a pool is full."""


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
    busy_loops: tuple[str, ...] = ()
    """Of a blocked event loop: where it was when that was first seen."""

    def to_dict(self) -> dict[str, Any]:
        lines = [findings_text([self.finding]), *(f"  {line}" for line in self.busy_loops)]
        return {
            **self.finding.to_dict(),
            "text": "\n".join(lines),
            "first": self.first,
            "last": self.last,
            "looks": self.looks,
        }


class SeenFindings:
    """Gathers the findings of many looks."""

    def __init__(self) -> None:
        self._seen: dict[tuple[Kind, str | None], Seen] = {}

    def add(self, report: Report, at: float) -> None:
        """Note the findings of a look that was taken ``at`` seconds after the start."""
        for place, finding in enumerate(report.findings):
            key = (finding.kind, finding.pool)
            seen = self._seen.get(key)
            if seen is None:
                seen = self._seen[key] = Seen(finding, place, at, at)
            else:
                seen.last = at
                seen.looks += 1
                if _rank(finding) <= _rank(seen.finding):
                    seen.finding, seen.place = finding, place
            if finding.kind is Kind.BLOCKED_EVENT_LOOP and not seen.busy_loops:
                seen.busy_loops = report.busy_loops

    def ordered(self) -> list[Seen]:
        """The most severe first, and of those the most causal.

        That a pool was full is left out where something was found that explains it.
        """
        explained = {
            seen.finding.pool
            for seen in self._seen.values()
            if seen.finding.kind in _EXPLAIN and seen.finding.severity is not Severity.INFO
        }
        return sorted(
            (
                seen
                for seen in self._seen.values()
                if seen.finding.kind is not Kind.POOL_SATURATED
                or seen.finding.pool not in explained
            ),
            key=lambda seen: (_rank(seen.finding), seen.place),
        )


def _rank(finding: Finding) -> int:
    return _SEVERITIES.index(finding.severity)
