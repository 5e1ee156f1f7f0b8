"""Read the files of ``dashboards`` as other programs do."""

import json
from pathlib import Path
from typing import Any

import yaml

DASHBOARDS = Path(__file__).parents[2] / "dashboards"
GRAFANA = DASHBOARDS / "grafana"
RULES = DASHBOARDS / "prometheus"


def load(path: str) -> Any:
    """Read a YAML file."""
    return yaml.safe_load((DASHBOARDS / path).read_text())


def boards() -> dict[str, Any]:
    """Read the boards, by their uid."""
    found = [json.loads(file.read_text()) for file in sorted(GRAFANA.glob("*.json"))]
    return {board["uid"]: board for board in found}


def groups() -> list[Any]:
    """Read the groups of rules in the order in which Prometheus loads them."""
    return [
        group
        for name in ("recording", "alerts")
        for group in load(f"prometheus/{name}.yaml")["groups"]
    ]


def rules(kind: str) -> list[dict[str, Any]]:
    """Read the rules of a kind, ``record`` or ``alert``. Several alerts may have the same name."""
    return [rule for group in groups() for rule in group["rules"] if kind in rule]
