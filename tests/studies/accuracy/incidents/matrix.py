"""Incident by alert: what fired, how many seconds after the beginning, and what should have."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

import yaml

from ..catalogue import HOLDS_BACK, PAGES, Incident
from .replay import RULES

_EVALUATION: Final = 30.0
"""Seconds for what arrives just after an evaluation, and for the export itself."""


@cache
def waits() -> dict[str, float]:
    """By alert, the seconds of its ``for``; of the longest where several have its name."""
    groups = [
        group
        for file in RULES.glob("*.yaml")
        for group in yaml.safe_load(file.read_text())["groups"]
    ]
    found: dict[str, float] = {}
    for rule in (rule for group in groups for rule in group["rules"] if "alert" in rule):
        number, unit = re.fullmatch(r"(\d+)([smh])", rule.get("for", "0s")).groups()
        seconds = float(number) * {"s": 1, "m": 60, "h": 3600}[unit]
        found[rule["alert"]] = max(found.get(rule["alert"], 0.0), seconds)
    return found


def bounds(incident: Incident, interval: float) -> dict[str, float]:
    """By alert, how many seconds after the beginning it has to fire, with so long between exports.

    With the design's 60 s between two exports and a ``for`` of 1 min that is 150 s after what the
    alert watches is there: 60 s until it is exported, 60 s of ``for``, 30 s besides. With a shorter
    interval it is as much less.
    """
    late = {alert: waits()[alert] + interval + _EVALUATION for alert in incident.expects}
    return {alert: there + late[alert] for alert, there in incident.expects.items()}


@dataclass(frozen=True, slots=True)
class Row:
    """One service."""

    incident: Incident
    bounds: Mapping[str, float]
    played: float
    """Seconds for which the incident went on: nothing is expected of a longer time."""
    fired: Mapping[str, float]
    """Alerts, and how many seconds after the beginning each fired first."""
    held_back: Sequence[str] = ()
    """Alerts that Alertmanager told nobody of in the end, since a page was active."""

    def cell(self, alert: str) -> str:
        """What it says of an alert; what is wrong is in capitals."""
        after = self.fired.get(alert)
        if bound := self.bounds.get(alert):
            if after is None:
                return f"{'MISSING' if bound <= self.played else 'later'} ({bound:.0f})"
            said = f"**{after:.0f}** ({bound:.0f}{'' if after <= bound else ', LATE'})"
        elif after is None:
            return ""
        elif alert in self.incident.allows:
            said = f"{after:.0f}"
        else:
            said = f"{after:.0f} {'PAGES' if alert in PAGES else '?'}"
        if alert not in self.held_back:
            return said
        rightly = alert not in PAGES and HOLDS_BACK & self.fired.keys()
        return f"{said}, {'held back' if rightly else 'HELD BACK'}"


def alerts_of(rows: Sequence[Row]) -> list[str]:
    """Those that fired or should have."""
    return sorted({alert for row in rows for alert in {**row.fired, **row.bounds}})


def wrong(rows: Sequence[Row]) -> Iterator[str]:
    """What is not as it should be, in words."""
    for row in rows:
        for alert in alerts_of([row]):
            if re.search("MISSING|LATE|PAGES|HELD BACK", cell := row.cell(alert)):
                yield f"{row.incident.name}: {alert} {cell}"


def table(rows: Sequence[Row]) -> str:
    """In Markdown: seconds to firing, in bold where it had to, with the bound in parentheses.

    ``?`` marks what was not thought of: an alert below a page that may be right all the same. Held
    back is what Alertmanager told nobody of in the end.
    """
    alerts = alerts_of(rows)
    short = [alert.removeprefix("GlueLLM") for alert in alerts]
    lines = ["| incident | " + " | ".join(short) + " |", "|---|" + "---|" * len(alerts)]
    for row in rows:
        cells = [row.cell(alert) for alert in alerts]
        lines.append(f"| {row.incident.name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)
