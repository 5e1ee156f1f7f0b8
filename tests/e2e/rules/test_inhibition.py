"""Notifications that a real Prometheus and a real Alertmanager send."""

import contextlib
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml

from gluellm_dashboards.rules.case import Series, series
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from support.waiting import wait_until

from ..alertmanager import Alertmanager
from ..compose import DEV
from ..files import load
from ..programs import Prometheus
from ..running import HOST
from ..serving import Request, serving

_METRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
_WITHIN = 60.0
_QUEUED = {semconv.REQUEST_PHASE: "queued"}
_NO_PROVIDER = {semconv.PROVIDER_NAME: "", semconv.POOL_NAME: "httpx"}
NOBODY = {"job": "", "instance": ""}
"""Metrics pages have no job and instance: those are in the targets' file."""
Alert = tuple[str, str, str]
"""Name, service and provider of an alert."""


def _pool(provider: str) -> dict[str, str]:
    return {semconv.PROVIDER_NAME: provider, semconv.POOL_NAME: provider}


def _stuck(own: dict[str, str]) -> Series:
    return series(semconv.REQUEST_OLDEST_AGE, "90", {**_QUEUED, **own}, **NOBODY)


def _found(kind: str, severity: str, provider: str = "openai") -> Series:
    own = {
        semconv.FINDING_KIND: kind,
        semconv.FINDING_SEVERITY: severity,
        semconv.CALL_SOURCE: "",
        **_pool(provider),
    }
    return series(semconv.FINDING_CURRENT, "1", own, **NOBODY)


_BLIND = series(semconv.HOOK_MISSING, "1", {semconv.HOOK_LIBRARY: "httpx"}, **NOBODY)
SERVICES: dict[str, list[Series]] = {
    # Stuck requests with their cause, a warning about another provider, a client without provider.
    "api": [
        _stuck(_pool("openai")),
        _found("leak", "error"),
        _found("client_churn", "warning", "anthropic"),
        _stuck(_NO_PROVIDER),
        _BLIND,
    ],
    # Another service, which no page concerns.
    "batch": [_found("leak", "warning")],
    # Calls that fail, are cancelled, and take ten minutes each.
    "failing": [
        series(semconv.CALLS, "10", {semconv.CALL_OUTCOME: "failed"}, **NOBODY),
        series(semconv.CALLS, "10", {semconv.CALL_OUTCOME: "cancelled"}, **NOBODY),
        series(semconv.CALL_CURRENT, "0", {semconv.CALL_STAGE: "requesting"}, **NOBODY),
        series(semconv.CALL_TIME, "12000", {semconv.CALL_STAGE: "requesting"}, **NOBODY),
        _found("slow_connecting", "warning"),
    ],
}
ARRIVE: set[Alert] = {
    ("GlueLLMRequestsStuck", "api", "openai"),
    ("GlueLLMRequestsStuck", "api", ""),
    ("GlueLLMFindingError", "api", "openai"),
    ("GlueLLMBlind", "api", ""),
    ("GlueLLMFindingWarning", "batch", "openai"),
    # Both kinds, failed and cancelled.
    ("GlueLLMCallsFail", "failing", "openai"),
    ("GlueLLMCallsSlow", "failing", "openai"),
}
INHIBITED: set[Alert] = {
    ("GlueLLMFindingWarning", "api", "anthropic"),
    ("GlueLLMFindingWarning", "failing", "openai"),
}


def _page(service: str) -> Callable[[Request], str]:
    lines = [f"{one['series']} {one['values']}" for one in SERVICES[service]]
    return lambda _: "\n".join([*lines, "# EOF", ""])


Alerts = list[dict[str, Any]]


@pytest.fixture
def notified(tmp_path: Path) -> Iterator[tuple[Alerts, Alertmanager]]:
    """Notified alerts, each with its ``receiver``. The users' rules have a shorter ``for`` here."""
    sent: Alerts = []

    def take(request: Request) -> str:
        notification = json.loads(request.body)
        receiver = {"receiver": notification["receiver"]}
        sent.extend({**alert, **receiver} for alert in notification["alerts"])
        return ""

    with ExitStack() as closing:
        receiver = closing.enter_context(serving(take))
        users = DEV / "alertmanager/alertmanager.yaml"
        alertmanager = Alertmanager("alertmanager", tmp_path, users)
        _notify(alertmanager, receiver)
        prometheus = Prometheus("prometheus", tmp_path)
        prometheus.load_rules(_sooner(tmp_path))
        prometheus.alert(alertmanager)
        for service in SERVICES:
            port = closing.enter_context(serving(_page(service), _METRICS))
            prometheus.scrape("programs", port, job=service, instance=f"{service}-1")
        for program in (alertmanager, prometheus):
            closing.callback(program.stop)
            program.start()
        yield sent, alertmanager


def _sooner(folder: Path) -> Path:
    content = load("prometheus/alerts.yaml")
    for rule in content["groups"][0]["rules"]:
        if "alert" in rule:
            rule["for"] = "2s"
    file = folder / "alerts.yaml"
    file.write_text(yaml.safe_dump(content))
    return file


def _notify(alertmanager: Alertmanager, port: int) -> None:
    content = yaml.safe_load(alertmanager.configuration.read_text())
    for route in (content["route"], *content["route"]["routes"]):
        # A page is sent with its group's first alert. The others follow after the interval.
        route.update(group_wait="3s", group_interval="3s")
    for receiver in content["receivers"]:
        receiver["webhook_configs"] = [{"url": f"http://{HOST}:{port}/"}]
    alertmanager.configuration.write_text(yaml.safe_dump(content))


def _key(alert: dict[str, Any]) -> Alert:
    labels = alert["labels"]
    return labels["alertname"], labels["job"], labels.get("gen_ai_provider_name", "")


def test_pages_arrive_with_a_first_step_and_inhibit_warnings_of_their_service(
    notified: tuple[Alerts, Alertmanager],
) -> None:
    """Pages and warnings reach their receiver. Alertmanager has the others, but inhibits them."""
    sent, alertmanager = notified

    def inhibited() -> set[Alert]:
        found = alertmanager.alerts()
        return {_key(alert) for alert in found if alert["status"]["inhibitedBy"]}

    def arrived() -> set[Alert]:
        return {_key(alert) for alert in sent}

    with contextlib.suppress(AssertionError):  # the comparison of the sets below is clearer
        wait_until(lambda: arrived() == ARRIVE and inhibited() == INHIBITED, "alerts", _WITHIN)
    assert arrived() == ARRIVE
    assert inhibited() == INHIBITED
    for alert in sent:
        severity = alert["labels"]["severity"]
        annotations = alert["annotations"]
        assert alert["receiver"] == {"critical": "page", "warning": "work"}[severity]
        assert " First: " in annotations["description"]
        assert "runbook_url" not in annotations
        assert f"var-job={alert['labels']['job']}" in annotations["dashboard"]
        assert not any(
            mark in text for text in annotations.values() for mark in ("{{", "<no value")
        )
    page = ("GlueLLMRequestsStuck", "api", "openai")
    stuck = next(one for one in sent if _key(one) == page)
    assert stuck["annotations"]["summary"] == (
        "Requests of pool openai in api have waited 1m 30s for a connection"
    )
