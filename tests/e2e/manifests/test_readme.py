"""What dashboards/README.md says of the files beside it."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import yaml

from e2e.running import succeed
from gluellm_dashboards import config
from opentelemetry.instrumentation.gluellm import thresholds

from .reading import DASHBOARDS, groups

README = (DASHBOARDS / "README.md").read_text()


def test_files_that_are_named_are_there() -> None:
    """Each path below ``dashboards`` that is shown as code."""
    folders = "grafana|import|kubernetes|mimir|prometheus|dev|gluellm_dashboards"
    named = re.findall(rf"`((?:{folders})/[^`*]*|mixin\.libsonnet)`", README)
    assert len(named) > 10
    assert [path for path in named if not (DASHBOARDS / path).exists()] == []


def test_the_table_of_alerts_is_that_of_the_rules() -> None:
    """Each alert once, with its severity, and for how long it has to be true."""
    told = {
        name: (severity, set(held.split(", ")))
        for name, severity, held in re.findall(
            r"^\| \[(GlueLLM\w+)\]\(runbooks/\1\.md\) \| (\w+) \| ([\w, ]+) \|",
            README,
            re.MULTILINE,
        )
    }
    rules: dict[str, tuple[str, set[str]]] = {}
    for group in groups():
        for rule in group["rules"]:
            if "alert" in rule:
                severity, held = rules.setdefault(
                    rule["alert"], (rule["labels"]["severity"], set())
                )
                assert severity == rule["labels"]["severity"]
                held.add(rule["for"])
    assert told == rules


def percent(share: float) -> str:
    """As the table writes it."""
    return f"{100 * share:g} %"


def test_the_table_of_alerts_says_the_thresholds_that_hold() -> None:
    """A number that was changed in the configuration and not here misleads."""
    holds = {
        "RequestsStuck": [f"over {thresholds.STUCK_ALERT_AFTER:g} s"],
        "PoolTimeouts": [
            f"over {percent(thresholds.POOL_TIMEOUT_SHARE)}",
            f"{thresholds.POOL_TIMEOUT_ALERT_COUNT} at",
        ],
        "WaitNearTimeout": [f"{thresholds.NEAR_TIMEOUT_REQUESTS} requests"],
        "ConnectionLeakSuspected": [
            percent(thresholds.LEAK_ALERT_SHARE),
            f"{thresholds.LEAK_ALERT_COUNT} connections",
            config.LEAK_GROWTH_WINDOW.replace("m", " minutes"),
        ],
        "ConnectFailures": [
            f"over {percent(thresholds.CONNECT_FAILURE_ALERT_SHARE)}",
            f"{thresholds.CONNECT_FAILURE_ALERT_COUNT} at",
        ],
        "ReuseFailures": [
            f"over {percent(thresholds.REUSE_FAILURE_ALERT_SHARE)}",
            f"{thresholds.REUSE_FAILURE_ALERT_COUNT} at",
        ],
        "Http2StreamsOrphaned": [
            percent(thresholds.ORPHANED_SHARE),
            f"or {thresholds.ORPHANED_ALERT_COUNT} where",
        ],
        "EventLoopBlocked": [f"over {percent(thresholds.LATE_SHARE)}"],
        "PoolAnomaly": [config.ANOMALY_WINDOW.replace("m", " minutes")],
        "ClientChurn": [
            f"{thresholds.CHURN_POOLS} pools",
            f"fewer than {thresholds.CHURN_REQUESTS_PER_POOL:g} requests",
        ],
    }
    assert (thresholds.NEAR_TIMEOUT_SHARE, config.RATE_WINDOW) == (0.5, "5m")  # half, 5 minutes
    rows = dict(re.findall(r"^\| \[GlueLLM(\w+)\]\(.*\| (.*) \|$", README, re.MULTILINE))
    assert {
        name: [told for told in said if told not in rows[name]] for name, said in holds.items()
    } == {name: [] for name in holds}


def test_the_kustomization_of_the_readme_builds(tmp_path: Path) -> None:
    """It sets the namespace and the label of everything that is in the folder."""
    (text,) = re.findall(r"```yaml\n(.*?kind: Kustomization.*?)```", README, re.DOTALL)
    shutil.copytree(DASHBOARDS / "kubernetes", tmp_path / "dashboards" / "kubernetes")
    (tmp_path / "kustomization.yaml").write_text(text)
    built = list(yaml.safe_load_all(succeed("kustomize", "build", tmp_path)))
    assert len(built) == 5
    assert {one["metadata"]["namespace"] for one in built} == {"monitoring"}
    assert {one["metadata"]["labels"]["release"] for one in built} == {"kube-prometheus-stack"}
