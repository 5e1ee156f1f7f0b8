"""The expressions of the rules that users load."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

RULES: Final = Path(__file__).parents[3] / "dashboards" / "prometheus"


@dataclass(frozen=True, slots=True)
class Rule:
    """A recording rule, or an alert."""

    name: str
    expression: str


def recording_rules() -> list[Rule]:
    """What is computed ahead."""
    return [Rule(rule["record"], rule["expr"]) for rule in _rules() if "record" in rule]


def alerts() -> list[Rule]:
    """What fires; several may have the same name."""
    return [Rule(rule["alert"], rule["expr"]) for rule in _rules() if "alert" in rule]


def _rules() -> Iterator[dict[str, Any]]:
    for file in sorted(RULES.glob("*.yaml")):
        for group in yaml.safe_load(file.read_text()).get("groups", []):
            yield from group["rules"]
