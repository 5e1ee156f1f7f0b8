"""Run promtool on the cases of one alert."""

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from ..files import load
from ..running import run

Rule = dict[str, Any]


def group_of_alerts() -> dict[str, Any]:
    """Return the only group in the alerts' file."""
    (group,) = load("prometheus/alerts.yaml")["groups"]
    return dict(group)


def decided(rules: Sequence[Rule], name: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run promtool on an alert's cases, with the rules that they need.

    The other alerts would only cost time.
    """
    needed = [rule for rule in rules if rule.get("alert", name) == name]
    tests = load(f"prometheus/tests/{name}.yaml")
    for file, content in (
        ("rules.yaml", {"groups": [{**group_of_alerts(), "rules": needed}]}),
        ("tests.yaml", {**tests, "rule_files": ["rules.yaml"]}),
    ):
        (folder / file).write_text(yaml.safe_dump(content))
    return run("promtool", "test", "rules", folder / "tests.yaml")
