"""A healthy day rings nobody, and the same day with an incident does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from e2e.boards.rules import RULES
from e2e.running import run
from gluellm_dashboards.rules.alerts import ALERTS

from .day import Day, written
from .simulation import HOUR, MINUTE

_FIRING = re.compile(r'\balertname="(\w+)"')


def fired(day: Day, folder: Path) -> set[str]:
    """The alerts that fired at any minute of it, as Prometheus evaluates the rules."""
    content = yaml.safe_load((RULES / "alerts.yaml").read_text())
    for group in content["groups"]:
        # New samples come once a minute, so nothing is to be seen in between.
        group["interval"] = "1m"
    (folder / "alerts.yaml").write_text(yaml.safe_dump(content))
    minutes = day.hours * 60
    test = {
        "rule_files": ["alerts.yaml"],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [
                    {"series": name, "values": written(samples, minutes)}
                    for name, samples in day.series.items()
                ],
                "promql_expr_test": [
                    {
                        "expr": "count by (alertname) (count_over_time("
                        f'ALERTS{{alertstate="firing"}}[{day.hours}h]))',
                        "eval_time": f"{minutes}m",
                    }
                ],
            }
        ],
    }
    file = folder / "day.yaml"
    file.write_text(yaml.dump(test, Dumper=yaml.CSafeDumper, width=10**9))
    done = run("promtool", "test", "rules", file)
    found = set(_FIRING.findall(done.stdout + done.stderr))
    # It fails when something fired, since nothing was expected, and for no other reason.
    assert (done.returncode == 0) == (not found), done.stdout + done.stderr
    return found


@pytest.fixture(scope="module")
def healthy() -> Day:
    """Played once; the tests ask what was in it."""
    day = Day()
    day.play()
    return day


def test_no_alert_fires_on_a_quiet_day(healthy: Day, tmp_path: Path) -> None:
    """24 h with silent calls, a deploy, two hours at zero, 429s, a gap, and one leaked stream."""
    assert fired(healthy, tmp_path) == set()


def test_an_incident_on_such_a_day_is_seen(tmp_path: Path) -> None:
    """Otherwise the quiet of the day would prove nothing: a provider is slow for 20 minutes."""
    day = Day(hours=3, quiet=(0, 0), slow=(1 * HOUR, 1 * HOUR + 20 * MINUTE))
    day.play()
    assert {
        "GlueLLMCallsFail",
        "GlueLLMCallsSlow",
        "GlueLLMRequestsStuck",
        "GlueLLMPoolTimeouts",
    } <= fired(day, tmp_path)


def test_the_day_has_silent_calls_retries_a_leak_and_a_gap(healthy: Day) -> None:
    """Otherwise no alert would have had a reason to fire."""

    def highest(*parts: str) -> float:
        found = [s for name, s in healthy.series.items() if all(part in name for part in parts)]
        return max((max(samples.values()) for samples in found), default=0)

    assert 590 < healthy.most_silent <= 600
    assert highest("gluellm_pool_requests_total", 'code="429"') > 100
    assert highest("gluellm_pool_requests_total", 'resend="true"', 'code="200"') > 100
    assert highest("gluellm_pool_leak_suspected", 'name="openai"') == 1
    assert highest("gluellm_event_loop_lag_peak") == 2.0
    gap = range(16 * 60, 16 * 60 + 3)
    assert not any(minute in samples for samples in healthy.series.values() for minute in gap)
    assert highest("api-old-2")
    assert highest("api-new-2")


def test_the_day_has_every_metric_that_an_alert_reads(healthy: Day) -> None:
    """What is not there can't ring. HTTP/2 is not spoken, and a native histogram not stored."""
    read = {
        name
        for alert in ALERTS
        for name in re.findall(
            r"\b((?:gluellm|http)_\w+?)(?=[\[{ )]|$)", re.sub(r"\bon \([^)]*\)", "", alert.expr)
        )
        if not name.startswith(("gluellm_pool_stream", "gluellm_pool_name", "gluellm_pool_library"))
        and name not in ("gluellm_hook_library", "gluellm_anomaly_type", "gluellm_request_phase")
    }
    there = {name.partition("{")[0] for name in healthy.series}

    assert read - there == {"gluellm_pool_acquire_duration_seconds"}
