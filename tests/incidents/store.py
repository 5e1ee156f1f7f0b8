"""Prometheus with the rules that users have, and over data that was kept."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from e2e.programs import Prometheus

RULES: Final = Path(__file__).parents[2] / "dashboards" / "prometheus"
_KEPT_FOR: Final = "10y"


class AlertingPrometheus(Prometheus):
    """Takes OTLP, and evaluates recording rules and alerts."""

    def __init__(self, name: str, folder: Path, alertmanagers: tuple[str, ...] = ()) -> None:
        super().__init__(name, folder)
        configuration: dict[str, Any] = yaml.safe_load(self.configuration.read_text())
        configuration["rule_files"] = [str(RULES / "*.yaml")]
        if alertmanagers:
            static = [{"targets": list(alertmanagers)}]
            configuration["alerting"] = {"alertmanagers": [{"static_configs": static}]}
        self.configuration.write_text(yaml.safe_dump(configuration))

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
