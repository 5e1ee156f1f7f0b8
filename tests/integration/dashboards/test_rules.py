"""Text of the rules and alerts. ``tests/e2e/rules`` evaluates them with promtool."""

import json
import re

import promql_parser
import pytest
import yaml

from gluellm_dashboards import build, config
from gluellm_dashboards.naming import UnknownNameError
from gluellm_dashboards.rules import recording
from gluellm_dashboards.rules.alert import CRITICAL, WARNING, Alert
from gluellm_dashboards.rules.alerts import ALERTS, INTERVAL
from gluellm_dashboards.rules.case import series
from gluellm_dashboards.rules.cases import CASES
from gluellm_dashboards.rules.expressions import RECORDED
from gluellm_pools.prometheus import metric_name, series_names
from gluellm_pools.text import duration
from opentelemetry.instrumentation.gluellm.telemetry import semconv

from .reading import anchors, headed

RUNBOOKS = build.ROOT / "runbooks"
PAGES = {
    "GlueLLMFindingError",
    "GlueLLMCallsFail",
    "GlueLLMCallsSilent",
    "GlueLLMRequestsStuck",
    "GlueLLMPoolTimeouts",
}
FINDINGS = {"GlueLLMFindingError", "GlueLLMFindingWarning"}
LATER = {"GlueLLMCallsSilent": 300}
"""Pages that may come later than the others, with their seconds."""
NAMES = sorted({alert.name for alert in ALERTS})
OURS = {
    name
    for metric in semconv.METRICS
    # A native histogram has no suffix.
    for name in (*series_names(metric), metric_name(metric))
}
OTHERS = {"target_info", "up"}
"""Metrics that show that an instance exists when the package's metrics are missing."""

every_alert = pytest.mark.parametrize("alert", ALERTS, ids=lambda one: one.name + one.kind)
every_name = pytest.mark.parametrize("name", NAMES)


def names_in(expression: str) -> set[str]:
    """Return the series that an expression reads. Raises ValueError for invalid PromQL."""
    found: set[str] = set()

    def visit(node: promql_parser.Expr) -> None:
        if isinstance(node, promql_parser.VectorSelector):
            found.add(str(node.name))
        elif isinstance(node, promql_parser.MatrixSelector):
            found.add(str(node.vector_selector.name))

    promql_parser.walk(promql_parser.parse(expression), visit)
    return found


@every_name
def test_each_alert_has_a_case_that_fires_and_one_that_does_not(name):
    """Both are needed to test an alert."""
    fires = {case.fires for case in CASES if case.alert == name}
    assert fires == {True, False}


@every_alert
def test_each_condition_of_an_alert_has_a_case_that_fires(alert):
    """`GlueLLMBlind` has three conditions: a case for one does not test the others."""
    firing = [
        one
        for case in CASES
        if case.alert == alert.name
        for expected in case.expected.values()
        for one in expected
        if one.kind == alert.kind
    ]
    assert firing


def test_five_of_nine_alerts_page():
    """This is the paging policy."""
    assert len(NAMES) == 9
    assert {alert.name for alert in ALERTS if alert.severity == CRITICAL} == PAGES
    assert {alert.severity for alert in ALERTS} == {CRITICAL, WARNING}


@every_alert
def test_every_alert_but_those_on_findings_has_a_for_duration(alert):
    """A process has decided before it reports a finding."""
    if alert.name in FINDINGS:
        assert not alert.hold
        assert "for" not in alert.rule
    else:
        assert duration(alert.hold) >= config.EXPORT_INTERVAL


@pytest.mark.parametrize("name", sorted(PAGES))
def test_a_page_comes_within_150_seconds(name):
    """The time includes export, evaluation and the alert's ``for``."""
    for alert in (one for one in ALERTS if one.name == name):
        delay = config.EXPORT_INTERVAL + duration(INTERVAL) + duration(alert.hold or "0s")
        assert delay <= LATER.get(name, 150)


def test_no_alert_blames_connections_for_a_wait_for_a_stream():
    """The pool may have 99 of 100 connections left then."""
    (alert,) = (one for one in ALERTS if '"stream_queued"' in one.expr)
    assert alert.severity == CRITICAL
    assert '"queued"' not in alert.expr
    assert "connections" not in alert.description
    assert "A larger pool does not help" in alert.description


@pytest.mark.parametrize("window", [config.RATE_WINDOW, config.QUIET_WINDOW])
def test_windows_of_counters_span_four_exports(window):
    """With fewer samples, a lost export would leave a gap."""
    assert duration(window) >= 4 * config.EXPORT_INTERVAL


def test_a_gauge_is_used_for_two_exports_but_not_for_five_minutes():
    """One export may be lost, but a killed process must not fire as long as stores show it."""
    assert 2 * config.EXPORT_INTERVAL < duration(config.FRESH) < 300


@every_alert
def test_alerts_read_emitted_metrics(alert):
    """One alert also reads metrics that show that an instance exists."""
    recorded = {one.name for one in RECORDED}
    allowed = OURS | recorded | (OTHERS if alert.kind == "silent_instance" else set())
    assert names_in(alert.expr) <= allowed


@pytest.mark.parametrize("recorded", [*recording.RECORDED, *RECORDED], ids=lambda one: one.name)
def test_recording_rules_read_emitted_metrics(recorded):
    """They never read other recorded series."""
    assert names_in(recorded.promql) <= OURS


@pytest.mark.parametrize("recorded", [*recording.RECORDED, *RECORDED], ids=lambda one: one.name)
def test_a_recorded_series_is_named_after_its_labels(recorded):
    """The name is ``level:metric:operation``. The series has the labels of its level."""
    level, metric, operation = recorded.name.split(":")
    assert level == recorded.level.prefix
    assert metric in {metric_name(one).removesuffix("_total") for one in semconv.METRICS}
    assert operation
    assert f"by ({', '.join(recorded.level.labels)}" in recorded.promql


def test_recorded_series_have_different_names():
    """Two rules must not write the same series."""
    names = [one.name for one in (*recording.RECORDED, *RECORDED)]
    assert len(names) == len(set(names))


def test_unknown_recorded_series_raises_with_the_nearest_name():
    """The fleet board uses recorded series only."""
    with pytest.raises(UnknownNameError, match="nearest is 'oldest_waiter'"):
        recording.recorded("oldest_waiters")


@every_alert
def test_texts_use_labels_that_the_alert_has(alert):
    """A missing label would become an empty string in the text."""
    used = set(re.findall(r"\$labels\.(\w+)", f"{alert.summary} {alert.description}"))
    assert used <= set(alert.labels)


@every_alert
def test_result_of_an_alert_has_its_declared_labels(alert):
    """Links to boards and inhibition depend on them."""
    assert names_in(alert.expr)
    for label in alert.labels:
        assert re.search(rf"by \([^)]*\b{label}\b", alert.expr), label


@every_name
def test_runbooks_have_the_thresholds_of_the_rules(name):
    """An outdated number in a runbook would mislead."""
    text = (RUNBOOKS / f"{name}.md").read_text()

    for alert in (one for one in ALERTS if one.name == name):
        assert "gluellm-pools doctor" in text
        assert not alert.hold or f"`for: {alert.hold}`" in text
        assert alert.severity in text


def test_the_index_leads_to_every_runbook():
    """The index is ordered by symptoms."""
    linked = set(re.findall(r"\]\((\w+)\.md\)", (RUNBOOKS / "README.md").read_text()))
    assert linked == set(NAMES)
    assert {file.stem for file in RUNBOOKS.glob("*.md")} == {*NAMES, "README"}


@pytest.mark.parametrize("file", sorted(RUNBOOKS.glob("*.md")), ids=lambda file: file.stem)
def test_links_of_runbooks_exist(file):
    """The file and the heading must exist."""
    for target in re.findall(r"\]\(([^)#\s]*(?:#[\w-]+)?)\)", file.read_text()):
        path, _, heading = target.partition("#")
        there = (file.parent / path).resolve() if path else file
        assert there.is_file(), target
        if heading:
            assert heading in anchors(there.read_text()), target


def test_a_case_with_an_attribute_that_a_metric_lacks_is_refused():
    """Cases contain only series that the package can emit."""
    with pytest.raises(UnknownNameError, match=semconv.REQUEST_PHASE):
        series(semconv.POOL_LIVE, "1", {semconv.REQUEST_PHASE: "queued"})


def test_inhibition_names_labels_that_alerts_have():
    """The rule is in the example for Alertmanager."""
    text = (build.ROOT / "dev/alertmanager/alertmanager.yaml").read_text()
    page = next(alert for alert in ALERTS if alert.severity == CRITICAL)

    equal = set(re.findall(r"\w+", re.findall(r"equal: \[(.+)\]", text)[0]))
    assert equal == set(config.SERVICE)
    assert equal <= set(page.labels)


def test_a_page_follows_within_a_minute_and_a_warning_waits_for_pages_that_inhibit_it():
    """A cause is found after its symptom. A wait for a connection is first a warning."""
    text = (build.ROOT / "dev/alertmanager/alertmanager.yaml").read_text()
    route = yaml.safe_load(text)["route"]
    page, work = route["routes"]
    assert {**route, **page}["group_interval"] == "1m"
    assert {**route, **work}["group_wait"] == "5m"


def test_a_page_inhibits_only_warnings_that_the_processes_found():
    """Its text has them. Other alerts that explain a page have to arrive while it fires."""
    text = (build.ROOT / "dev/alertmanager/alertmanager.yaml").read_text()
    rules = yaml.safe_load(text)["inhibit_rules"]
    (of_pages,) = (rule for rule in rules if 'severity="critical"' in rule["source_matchers"])
    inhibited = {
        alert.name
        for alert in ALERTS
        if all(_matches(alert, matcher) for matcher in of_pages["target_matchers"])
    }
    assert inhibited == {"GlueLLMFindingWarning"}


@every_alert
def test_alerts_on_symptoms_end_with_what_the_processes_found(alert):
    text = alert.rule["annotations"]["description"]
    assert ("Found by its processes" in text) is (alert.name not in FINDINGS)


def _matches(alert: Alert, matcher: str) -> bool:
    """Match as Alertmanager does, for the two labels in the example."""
    name, operator, value = re.fullmatch(r'(\w+)(=~|!~|!=|=)"(.*)"', matcher).groups()  # type: ignore[union-attr]
    there = {"alertname": alert.name, "severity": alert.severity}[name]
    same = bool(re.fullmatch(value, there)) if "~" in operator else value == there
    return same is not operator.startswith("!")


@pytest.mark.parametrize("file", sorted(RUNBOOKS.glob("*.md")), ids=lambda file: file.stem)
def test_panels_that_a_runbook_names_are_on_the_board(file):
    named = re.findall(r"\*\*(\w+): ([^*]+)\*\*", file.read_text())

    for board, panel in named:
        if (board, panel) != ("board", "panel"):
            assert panel in _titles(board), f"{board} has no panel {panel!r}"


def _titles(board: str) -> set[str]:
    content = json.loads((build.ROOT / f"grafana/gluellm-{board}.json").read_text())
    return {panel["title"] for panel in headed(content)}
