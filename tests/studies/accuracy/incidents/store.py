"""Prometheus with the rules that users have, and over data that was kept."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import yaml

from e2e.programs import Prometheus

RULES: Final = Path(__file__).parents[4] / "dashboards" / "prometheus"
_KEPT_FOR: Final = "10y"
_UNITS: Final = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def waits() -> dict[str, float]:
    """By alert, the seconds of its ``for``; of the longest where several have its name."""
    found: dict[str, float] = {}
    for file in RULES.glob("*.yaml"):
        for group in yaml.safe_load(file.read_text()).get("groups", []):
            for rule in group["rules"]:
                if name := rule.get("alert"):
                    found[name] = max(found.get(name, 0.0), _seconds(rule.get("for", "0s")))
    return found


def _seconds(duration: str) -> float:
    return sum(
        float(number) * _UNITS[unit] for number, unit in re.findall(r"(\d+)([smhd])", duration)
    )


class AlertingPrometheus(Prometheus):
    """Takes OTLP, and evaluates recording rules and alerts as often as users have it."""

    def __init__(self, name: str, folder: Path) -> None:
        super().__init__(name, folder)
        for file in RULES.glob("*.yaml"):
            shutil.copy(file, self.folder / "rules")

    def firing(self) -> dict[tuple[str, str], float]:
        """The first moment of each alert, by service and name: seconds since the epoch."""
        first: dict[tuple[str, str], float] = {}
        for row in self.samples('ALERTS{alertstate="firing"}', 24 * 3600):
            labels: Mapping[str, str] = row["metric"]
            key = labels.get("job", ""), labels["alertname"]
            first[key] = min(row["values"][0][0], first.get(key, row["values"][0][0]))
        return first


class KeptPrometheus(Prometheus):
    """Prometheus over a copy of data that was kept; it adds nothing to it."""

    def __init__(self, name: str, folder: Path, data: Path) -> None:
        super().__init__(name, folder)
        shutil.copytree(data, self.folder / "data")

    def command(self, executable: Path) -> list[str]:
        return [*super().command(executable), f"--storage.tsdb.retention.time={_KEPT_FOR}"]
