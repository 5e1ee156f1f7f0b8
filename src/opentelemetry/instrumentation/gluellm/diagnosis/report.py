"""Report: a snapshot and its findings, to print, log or send."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .busy_loops import call_sites_of_busy_loops
from .diagnose import diagnose
from .findings import Finding, Kind
from .snapshot import Snapshot
from .text import findings_text


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A snapshot and its findings."""

    snapshot: Snapshot
    findings: tuple[Finding, ...]
    busy_loops: tuple[str, ...] = ()
    """Call sites that kept event loops busy, as lines of text; empty if no loop is blocked."""

    def to_dict(self) -> dict[str, Any]:
        """Return the report for ``json.dumps``, with the readable text under ``text``."""
        return {
            "snapshot": self.snapshot.to_dict(),
            "findings": [finding.to_dict() for finding in self.findings],
            "busy_loops": list(self.busy_loops),
            "text": str(self),
        }

    def __str__(self) -> str:
        parts = (findings_text(self.findings), "\n".join(self.busy_loops), str(self.snapshot))
        return "\n\n".join(filter(None, parts))


class Reports:
    """Factory of reports. Each is compared with the snapshot of the one before."""

    def __init__(self, take: Callable[[], Snapshot]) -> None:
        self._take = take
        self._previous: Snapshot | None = None

    def __call__(self) -> Report:
        """Return a report on the present state. Raises whatever taking the snapshot raises."""
        snapshot = self._take()
        previous, self._previous = self._previous, snapshot
        return report_on(snapshot, previous)


def report_on(snapshot: Snapshot, previous: Snapshot | None) -> Report:
    """Return the report on a snapshot that was taken just now in this process."""
    findings = tuple(diagnose(snapshot, previous))
    blocked = any(finding.kind is Kind.BLOCKED_EVENT_LOOP for finding in findings)
    return Report(
        snapshot=snapshot,
        findings=findings,
        busy_loops=call_sites_of_busy_loops() if blocked else (),
    )
