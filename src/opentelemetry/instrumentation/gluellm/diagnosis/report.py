"""A snapshot with what it means, as one thing to print, to log and to send."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .diagnose import diagnose
from .findings import Finding
from .snapshot import Snapshot
from .text import findings_text


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A snapshot and its findings."""

    snapshot: Snapshot
    findings: tuple[Finding, ...]

    def to_dict(self) -> dict[str, Any]:
        """The same for ``json.dumps``, with the readable text beside it."""
        return {
            "snapshot": self.snapshot.to_dict(),
            "findings": [finding.to_dict() for finding in self.findings],
            "text": str(self),
        }

    def __str__(self) -> str:
        return f"{findings_text(self.findings)}\n\n{self.snapshot}"


class Reports:
    """Makes reports, each against the snapshot of the one before it."""

    def __init__(self, take: Callable[[], Snapshot]) -> None:
        self._take = take
        self._previous: Snapshot | None = None

    def __call__(self) -> Report:
        """The report of now. Raises what taking the snapshot raises."""
        snapshot = self._take()
        previous, self._previous = self._previous, snapshot
        return Report(snapshot=snapshot, findings=tuple(diagnose(snapshot, previous)))
