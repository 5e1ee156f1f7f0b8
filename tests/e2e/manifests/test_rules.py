"""Mimir and mixins get the same rules as Prometheus."""

import json
import re
from pathlib import Path
from typing import Any

import _jsonnet
import pytest
import yaml

from e2e.running import run

from ..files import DASHBOARDS, boards, groups, load

MOST_RULES = 20
"""Mimir's default limit for a group."""


def rules_of(found: list[Any]) -> list[Any]:
    """Return the rules of all groups, in order."""
    return [rule for group in found for rule in group["rules"]]


def evaluated(snippet: str) -> Any:
    """Evaluate Jsonnet that may import from ``dashboards``."""
    return json.loads(_jsonnet.evaluate_snippet(str(DASHBOARDS / "snippet.jsonnet"), snippet))


def test_mimir_gets_the_same_rules_in_groups_within_its_limit() -> None:
    """Mimir refuses groups with more rules than its limit."""
    content = load("mimir/rules.yaml")
    assert set(content) == {"namespace", "groups"}
    assert rules_of(content["groups"]) == rules_of(groups())
    names = [group["name"] for group in content["groups"]]
    assert len(names) == len(set(names))
    assert max(len(group["rules"]) for group in content["groups"]) <= MOST_RULES
    intervals = {group["name"]: group["interval"] for group in groups()}
    for group in content["groups"]:
        (of,) = (name for name in intervals if group["name"].startswith(name))
        assert group["interval"] == intervals[of]


def test_rules_use_only_series_recorded_before_them_in_their_group() -> None:
    """Only rules of the same group are evaluated in order."""
    for found in (groups(), load("mimir/rules.yaml")["groups"]):
        recorded = {
            rule["record"]: group for group in found for rule in group["rules"] if "record" in rule
        }
        for group in found:
            before: set[str] = set()
            for rule in group["rules"]:
                used = {name for name in recorded if re.search(rf"\b{name}\b", rule["expr"])}
                assert used <= before, (group["name"], used)
                before.add(rule.get("record", ""))


@pytest.mark.parametrize(("expr", "accepted"), [("up", True), ("up without", False)])
def test_vmalert_accepts_the_rules(tmp_path: Path, expr: str, accepted: bool) -> None:
    """vmalert has its own templates and dialect. It refuses an invalid rule beside the others."""
    other = tmp_path / "other.yaml"
    content = {"groups": [{"name": "other", "rules": [{"record": "a", "expr": expr}]}]}
    other.write_text(yaml.safe_dump(content))
    rules = (f"-rule={DASHBOARDS / 'prometheus' / '*.yaml'}", f"-rule={other}")
    finished = run("vmalert", "-dryRun", *rules)
    assert (finished.returncode == 0) is accepted, finished.stderr
    assert "finished reading 2 files" in finished.stderr


def test_the_mixin_has_the_boards_and_the_rules() -> None:
    """It has them under the usual names of mixins."""
    mixin = evaluated(
        "local m = import 'mixin.libsonnet';"
        " {folder: m.grafanaDashboardFolder, boards: m.grafanaDashboards,"
        " rules: m.prometheusRules, alerts: m.prometheusAlerts}"
    )
    assert mixin["folder"] == "GlueLLM pools"
    assert mixin["boards"] == {f"{uid}.json": board for uid, board in boards().items()}
    assert mixin["rules"]["groups"] + mixin["alerts"]["groups"] == groups()


def test_the_mixin_combines_with_others() -> None:
    """Combined with another mixin, both keep their boards and rules."""
    both = evaluated(
        "local other = {grafanaDashboards+:: {'a.json': {}}, prometheusAlerts+:: {groups+: [1]},"
        " prometheusRules+:: {groups+: [2]}};"
        " local m = other + (import 'mixin.libsonnet');"
        " {boards: std.objectFields(m.grafanaDashboards),"
        " rules: std.length(m.prometheusRules.groups),"
        " alerts: std.length(m.prometheusAlerts.groups)}"
    )
    assert both == {
        "boards": ["a.json", *(f"{uid}.json" for uid in sorted(boards()))],
        "rules": 2,
        "alerts": 2,
    }
