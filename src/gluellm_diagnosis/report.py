"""Report: a snapshot and its findings, to print, log or send."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from opentelemetry.instrumentation.gluellm import thresholds
from opentelemetry.instrumentation.gluellm.snapshots.snapshot import Snapshot

from .diagnose import diagnose
from .findings import Finding, Severity, findings_text
from .table import Failed


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


def report_on(
    snapshot: Snapshot, previous: Snapshot | None, *, failed: Failed = lambda _: None
) -> Report:
    """Return the report on a snapshot, compared with an earlier one of the same process."""
    findings = diagnose(snapshot, previous, failed=failed)
    if previous is not None and snapshot.uptime - previous.uptime > thresholds.RECENT:
        # So long a period can hide what the process's own account shows of the last minutes.
        lately = [
            each for each in diagnose(snapshot, failed=failed) if each.severity is not Severity.INFO
        ]
        known = {(each.kind, each.pool) for each in lately}
        others = [each for each in findings if (each.kind, each.pool) not in known]
        findings = sorted([*lately, *others], key=lambda each: list(Severity).index(each.severity))
    return Report(snapshot=snapshot, findings=tuple(findings))
