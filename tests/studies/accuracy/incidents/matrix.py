"""Incident by alert: what fired, how many seconds after the beginning, and what should have."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

from .incident import HOLDS_BACK, PAGES, Incident

EVALUATION: Final = 30.0
"""Seconds for what arrives just after an evaluation, and for the export itself."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """Until when an alert has to fire.

    With the design's 60 s between two exports and a ``for`` of 1 min that is 150 s after what the
    alert watches is there: 60 s until it is exported, 60 s of ``for``, 30 s besides. With a shorter
    interval it is as much less.
    """

    interval: float
    """Seconds between two exports."""
    waits: Mapping[str, float]
    """By alert, the seconds of its ``for``."""
    played: float
    """Seconds for which the incidents went on: nothing is expected of a longer time."""

    def of(self, incident: Incident, alert: str) -> float:
        """In seconds after the incident began."""
        waits = self.waits.get(alert, 0.0)
        return incident.expects[alert] + self.interval + waits + EVALUATION

    def expects(self, incident: Incident, alert: str) -> bool:
        """Whether it has to fire while the incident goes on."""
        return alert in incident.expects and self.of(incident, alert) <= self.played


@dataclass(frozen=True, slots=True)
class Row:
    """One service."""

    service: str
    incident: Incident
    fired: Mapping[str, float]
    """Alerts, and how many seconds after the beginning each fired first."""
    held_back: frozenset[str] = frozenset()
    """Alerts that Alertmanager told nobody of in the end, since a page was active."""
    starved: float = 0.0
    """The longest in seconds that a process of it was kept from a processor."""

    def wrong(self, bounds: Bounds) -> list[str]:
        """What is not as it should be, in words."""
        found = []
        for alert in self.incident.expects:
            after = self.fired.get(alert)
            bound = bounds.of(self.incident, alert)
            if after is None:
                if bounds.expects(self.incident, alert):
                    found.append(f"{self.incident.name}: {alert} did not fire")
            elif after > bound:
                found.append(f"{self.incident.name}: {alert} after {after:.0f} s, not {bound:.0f}")
        for alert, after in self.fired.items():
            if alert in PAGES - set(self.incident.expects):
                found.append(f"{self.incident.name}: {alert} pages for it, after {after:.0f} s")
        for alert in self.held_back:
            if alert in PAGES:
                found.append(f"{self.incident.name}: {alert} is held back, and is a page")
            elif not HOLDS_BACK & self.fired.keys():
                found.append(f"{self.incident.name}: {alert} is held back by nothing")
        return found


def rows(
    services: Mapping[str, tuple[Incident, float, float]],
    firing: Mapping[tuple[str, str], float],
    held_back: Collection[tuple[str, str]],
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
            frozenset(alert for job, alert in held_back if job == name),
            starved,
        )
        for name, (incident, began, starved) in services.items()
    ]


def table(rows: list[Row], bounds: Bounds) -> str:
    """In Markdown: seconds to firing, in bold where it had to, with the bound in parentheses.

    ``?`` marks what was not thought of: an alert below a page that may be right all the same. Held
    back is what Alertmanager told nobody of in the end.
    """
    alerts = sorted({alert for row in rows for alert in {**row.fired, **row.incident.expects}})
    short = [alert.removeprefix("GlueLLM") for alert in alerts]
    lines = ["| incident | " + " | ".join(short) + " |", "|---|" + "---|" * len(alerts)]
    for row in rows:
        cells = [_cell(row, alert, bounds) for alert in alerts]
        lines.append(f"| {row.incident.name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(row: Row, alert: str, bounds: Bounds) -> str:
    after = row.fired.get(alert)
    quiet = ", held back" if alert in row.held_back else ""
    if alert in row.incident.expects:
        bound = bounds.of(row.incident, alert)
        if after is None:
            return (
                "MISSING" if bounds.expects(row.incident, alert) else "later"
            ) + f" ({bound:.0f})"
        return f"**{after:.0f}** ({bound:.0f}{'' if after <= bound else ', LATE'}){quiet}"
    if after is None:
        return ""
    if alert in PAGES:
        return f"{after:.0f} PAGES"
    return f"{after:.0f}{'' if alert in row.incident.allows else ' ?'}{quiet}"
