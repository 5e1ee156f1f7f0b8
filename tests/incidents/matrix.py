"""Incident by alert: what fired, how many seconds after the beginning, and what should have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from .incident import PAGES, Incident

DESIGN_INTERVAL: Final = 60.0
"""Seconds between two exports, for which the design gives its bound."""
DESIGN_BOUND: Final = 150.0
"""Seconds within which an alert has to fire, once what it watches is there."""


@dataclass(frozen=True, slots=True)
class Row:
    """One service."""

    service: str
    incident: Incident
    fired: Mapping[str, float]
    """Alerts, and how many seconds after the beginning each fired first."""
    starved: float = 0.0
    """The longest in seconds that a process of it was kept from a processor."""

    def bound(self, alert: str, interval: float) -> float:
        """Until when it has to fire at this interval, in seconds after the beginning."""
        return self.incident.expects[alert] + DESIGN_BOUND - (DESIGN_INTERVAL - interval)

    def wrong(self, interval: float) -> list[str]:
        """What is not as it should be, in words."""
        found = []
        for alert in self.incident.expects:
            bound = self.bound(alert, interval)
            after = self.fired.get(alert)
            if after is None:
                found.append(f"{self.incident.name}: {alert} did not fire")
            elif after > bound:
                found.append(f"{self.incident.name}: {alert} after {after:.0f} s, not {bound:.0f}")
        for alert, after in self.fired.items():
            if alert in PAGES - set(self.incident.expects):
                found.append(f"{self.incident.name}: {alert} pages for it, after {after:.0f} s")
        return found


def rows(
    services: Mapping[str, tuple[Incident, float, float]], firing: Mapping[tuple[str, str], float]
) -> list[Row]:
    """A row for each service, of its incident, when that began, and how long it was starved."""
    return [
        Row(
            name,
            incident,
            {
                alert: at - began
                for (job, alert), at in sorted(firing.items(), key=lambda one: one[1])
                if job == name
            },
            starved,
        )
        for name, (incident, began, starved) in services.items()
    ]


def table(rows: list[Row], interval: float) -> str:
    """In Markdown: seconds to firing; ``!`` where it should not have, ``missing`` likewise."""
    alerts = sorted({alert for row in rows for alert in {**row.fired, **row.incident.expects}})
    short = [alert.removeprefix("GlueLLM") for alert in alerts]
    lines = ["| incident | " + " | ".join(short) + " |", "|---|" + "---|" * len(alerts)]
    for row in rows:
        cells = [_cell(row, alert, interval) for alert in alerts]
        lines.append(f"| {row.incident.name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(row: Row, alert: str, interval: float) -> str:
    after = row.fired.get(alert)
    if alert in row.incident.expects:
        bound = row.bound(alert, interval)
        if after is None:
            return f"MISSING (by {bound:.0f})"
        return f"**{after:.0f}** (by {bound:.0f}{'' if after <= bound else ': LATE'})"
    if after is None:
        return ""
    if alert in PAGES:
        return f"{after:.0f} PAGES"
    return f"{after:.0f}" if alert in row.incident.allows else f"{after:.0f} ?"
