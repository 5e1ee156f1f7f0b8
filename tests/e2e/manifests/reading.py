"""The files of ``dashboards``, read as other programs read them."""

import json
from pathlib import Path
from typing import Any

import yaml

DASHBOARDS = Path(__file__).parents[3] / "dashboards"
GRAFANA = DASHBOARDS / "grafana"


def load(path: str) -> Any:
    """A YAML file."""
    return yaml.safe_load((DASHBOARDS / path).read_text())


def boards(folder: Path = GRAFANA) -> dict[str, Any]:
    """The boards of a folder, by their uid."""
    found = [json.loads(file.read_text()) for file in sorted(folder.glob("*.json"))]
    return {board["uid"]: board for board in found}


def groups() -> list[Any]:
    """The groups of rules as Prometheus loads them."""
    return [
        group
        for name in ("recording", "alerts")
        for group in load(f"prometheus/{name}.yaml")["groups"]
    ]
