"""The descriptions in dashboards/README.md match the files beside it."""

import re
import shutil
from pathlib import Path

import yaml

from e2e.running import succeed
from gluellm_dashboards import config
from opentelemetry.instrumentation.gluellm import thresholds as t

from ..files import DASHBOARDS, groups

README = (DASHBOARDS / "README.md").read_text()


def test_named_files_exist() -> None:
    """Each path below ``dashboards`` that is formatted as code exists."""
    folders = "grafana|import|kubernetes|mimir|prometheus|dev|gluellm_dashboards"
    named = re.findall(rf"`((?:{folders})/[^`*]*|mixin\.libsonnet)`", README)
    assert len(named) > 10
    assert [path for path in named if not (DASHBOARDS / path).exists()] == []


def test_the_table_of_alerts_matches_the_rules() -> None:
    """It has each alert once, with its severities and its ``for``."""
    documented = {
        name: (set(severity.split(", ")), set(held.split(", ")))
        for name, severity, held in re.findall(
            r"^\| \[(GlueLLM\w+)\]\(runbooks/\1\.md\) \| ([\w, ]+) \| ?([\w, ]*) \|",
            README,
            re.MULTILINE,
        )
    }
    rules: dict[str, tuple[set[str], set[str]]] = {}
    for group in groups():
        for rule in group["rules"]:
            if "alert" in rule:
                severities, held = rules.setdefault(rule["alert"], (set(), set()))
                severities.add(rule["labels"]["severity"])
                held.add(rule.get("for", ""))
    assert documented == rules


def test_the_table_of_alerts_has_the_thresholds_of_the_rules() -> None:
    few = [f"at least {t.CALL_QUIET_COUNT} in {config.QUIET_WINDOW.rstrip('m')} minutes"]
    expected = {
        "CallsFail": [
            f"over {t.CALL_FAILURE_SHARE:.3g}",
            f"at least {t.CALL_MANY}",
            *few,
            f"over {t.CALL_CANCELLED_SHARE:.3g}",
        ],
        "CallsSilent": [f"at least {t.CALL_SILENT_COUNT}", f"{t.CALL_SILENT_AFTER:g} s"],
        "CallsSlow": [
            f"{config.SLOW_WINDOW.rstrip('m')} minutes",
            f"together at least {t.CALL_SLOW_TIME:g} s",
            f"over {t.CALL_SLOW_LIMIT:g} s",
        ],
        "RequestsStuck": [f"over {t.STUCK_SEVERE_AFTER:g} s"],
        "PoolTimeouts": [
            f"over {t.POOL_TIMEOUT_SHARE:.3g}",
            f"at least {t.POOL_TIMEOUT_ALERT_COUNT}",
        ],
    }
    # The text has these as words: half, a fifth, three times, 5 minutes.
    assert t.CALL_QUIET_SHARE == 0.5
    assert (t.CALL_SILENT_SHARE, t.CALL_SLOWER, t.CALL_SILENT_FACTOR) == (0.2, 3, 3)
    assert config.RATE_WINDOW == "5m"
    rows = dict(re.findall(r"^\| \[GlueLLM(\w+)\]\(.*\| (.*) \|$", README, re.MULTILINE))
    # Shares are written as percents.
    rows = {name: re.sub(r"([\d.]+) %", _as_share, row) for name, row in rows.items()}
    missing = [
        (name, text) for name in expected for text in expected[name] if text not in rows[name]
    ]
    assert missing == []


def _as_share(percents: re.Match[str]) -> str:
    return f"{float(percents[1]) / 100:.3g}"


def test_the_kustomization_of_the_readme_builds(tmp_path: Path) -> None:
    """It sets the namespace and the label of each manifest in the folder."""
    (text,) = re.findall(r"```yaml\n(.*?kind: Kustomization.*?)```", README, re.DOTALL)
    shutil.copytree(DASHBOARDS / "kubernetes", tmp_path / "dashboards" / "kubernetes")
    (tmp_path / "kustomization.yaml").write_text(text)
    built = list(yaml.safe_load_all(succeed("kustomize", "build", tmp_path)))
    assert len(built) == 5
    assert {one["metadata"]["namespace"] for one in built} == {"monitoring"}
    assert {one["metadata"]["labels"]["release"] for one in built} == {"kube-prometheus-stack"}
