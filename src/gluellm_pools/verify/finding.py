"""One thing that is wrong with the data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from opentelemetry.instrumentation.gluellm.diagnosis.findings import Severity
from opentelemetry.instrumentation.gluellm.text import seconds

from ..text import printable

_FEW = 4


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was found."""

    kind: str
    severity: Severity
    observed: str
    explanation: str
    advice: str

    def as_json(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "severity": self.severity.value,
            "observed": self.observed,
            "explanation": self.explanation,
            "advice": self.advice,
        }


def past(finding: Finding, ago: float | None) -> Finding:
    """What was wrong until some seconds ago; None for a time that is not known."""
    until = "earlier" if ago is None else f"until {age_text(ago)} ago"
    return Finding(
        finding.kind,
        Severity.INFO,
        f"{until}: {finding.observed}",
        "the newest samples are right",
        "nothing more to do; what boards show of that time stays as it is",
    )


def age_text(age: float) -> str:
    """An age in seconds, and from 3 minutes on in minutes, hours or days: ``13 min``."""
    for unit, name in ((86_400, "days"), (3600, "hours"), (60, "min")):
        if age >= (3 if unit == 60 else 2) * unit:
            return f"{age / unit:.0f} {name}"
    return seconds(age)


def some(values: Sequence[str], most: int = _FEW) -> str:
    """The first few of the values, and how many more there are."""
    few = ", ".join(printable(value, 60) for value in values[:most])
    rest = len(values) - most
    return f"{few} and {rest} more" if rest > 0 else few
