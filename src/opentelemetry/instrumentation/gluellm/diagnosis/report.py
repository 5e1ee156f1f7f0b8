"""Report: a snapshot and its findings, to print, log or send."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .. import thresholds
from .diagnose import diagnose
from .findings import Finding, Severity
from .snapshot import Snapshot
from .text import findings_text


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A snapshot and its findings."""

    snapshot: Snapshot
    findings: tuple[Finding, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the report for ``json.dumps``, with the readable text under ``text``."""
        return {
            "snapshot": self.snapshot.to_dict(),
            "findings": [finding.to_dict() for finding in self.findings],
            "text": str(self),
        }

    def __str__(self) -> str:
        return f"{findings_text(self.findings)}\n\n{self.snapshot}"


class Reports:
    """Factory of reports. One can be compared with the snapshot of the report before."""

    def __init__(self, take: Callable[[], Snapshot]) -> None:
        self._take = take
        self._previous: Snapshot | None = None

    def __call__(self, *, compare: bool) -> Report:
        """Return a report on the present state. Raises whatever taking the snapshot raises."""
        snapshot = self._take()
        previous, self._previous = self._previous, snapshot
        return report_on(snapshot, previous if compare else None)


def report_on(snapshot: Snapshot, previous: Snapshot | None) -> Report:
    """Return the report on a snapshot that was taken just now in this process."""
    findings = diagnose(snapshot, previous)
    if previous is not None and snapshot.uptime - previous.uptime > thresholds.RECENT:
        # So long a period can hide what the process's own account shows of the last minutes.
        lately = [each for each in diagnose(snapshot) if each.severity is not Severity.INFO]
        known = {(each.kind, each.pool) for each in lately}
        others = [each for each in findings if (each.kind, each.pool) not in known]
        findings = sorted([*lately, *others], key=lambda each: list(Severity).index(each.severity))
    return Report(snapshot=snapshot, findings=tuple(findings))
