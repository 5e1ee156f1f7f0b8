"""Findings of many reports: each is listed once, at its worst, with its period."""

import json

import pytest

from gluellm_diagnosis.findings import Finding, Kind, Severity
from gluellm_diagnosis.report import Report, report_on
from gluellm_pools.doctor import recording
from gluellm_pools.doctor.recording import FindingsOverTime, Recorder
from opentelemetry.instrumentation.gluellm.snapshots.on_signal.rendezvous import Directory
from opentelemetry.instrumentation.gluellm.snapshots.snapshot import ProcessSnapshot, Snapshot
from unit.gluellm_diagnosis.building import a_connection, a_pool, a_request, a_snapshot, the_totals

SNAPSHOT = Snapshot(taken_at=0.0, uptime=1.0, leak_threshold=60.0, process=ProcessSnapshot(pid=1))


def finding(
    kind: Kind, severity: Severity, observed: str = "", pool: str | None = "a/httpx"
) -> Finding:
    return Finding(
        kind=kind, severity=severity, pool=pool, observed=observed, explanation="", advice=""
    )


def report(*findings: Finding) -> Report:
    return Report(snapshot=SNAPSHOT, findings=findings)


def test_a_finding_comes_once_with_its_span_of_time():
    """The numbers are the last ones of its worst severity."""
    over_time = FindingsOverTime()
    over_time.add(report(finding(Kind.LEAK, Severity.WARNING, "one")), 1.0)
    over_time.add(report(finding(Kind.LEAK, Severity.ERROR, "two")), 2.0)
    over_time.add(report(finding(Kind.LEAK, Severity.ERROR, "three")), 3.0)
    over_time.add(report(finding(Kind.LEAK, Severity.WARNING, "four")), 4.0)
    over_time.add(report(), 5.0)
    (only,) = over_time.ordered()
    assert only.finding.observed == "three"
    assert (only.first, only.last) == (1.0, 4.0)


def test_no_advice_names_the_ended_process():
    """Its PID may belong to another process by then."""
    waiting = [a_request("queued", 2.0), a_request("reading", 3.0, held=3.0)]
    pool = a_pool(waiting, [a_connection("active")], max_connections=1)
    found = report_on(a_snapshot(the_totals(), pool), None)
    assert "doctor --pid 17" in str(found)
    over_time = FindingsOverTime()
    over_time.add(found, 1.0)
    (saturated, *_) = [one.to_dict() for one in over_time.ordered()]
    for text in (saturated["advice"], saturated["text"]):
        assert "cause: let it run for longer under gluellm-pools doctor" in " ".join(text.split())
        assert "--pid" not in text


def test_the_same_cause_in_two_pools_is_two_findings():
    """A saturated pool is left out once its cause is known."""
    over_time = FindingsOverTime()
    over_time.add(report(finding(Kind.POOL_SATURATED, Severity.ERROR)), 1.0)
    for pool in ("a/httpx", "b/httpx"):
        over_time.add(report(finding(Kind.LEAK, Severity.ERROR, pool=pool)), 9.0)
    assert [one.finding.kind for one in over_time.ordered()] == [Kind.LEAK, Kind.LEAK]


def test_of_two_first_findings_the_longer_one_comes_first():
    """While a provider becomes slow, its pool looks too small for a moment."""
    over_time = FindingsOverTime()
    over_time.add(report(finding(Kind.POOL_TOO_SMALL, Severity.WARNING)), 14.0)
    for at in (16.0, 30.0):
        over_time.add(report(finding(Kind.SLOW_PROVIDER, Severity.WARNING)), at)
    kinds = [one.finding.kind for one in over_time.ordered()]
    assert kinds == [Kind.SLOW_PROVIDER, Kind.POOL_TOO_SMALL]


def test_the_most_severe_come_first_and_then_as_diagnosed():
    """A late error comes before an early warning."""
    over_time = FindingsOverTime()
    over_time.add(
        report(
            finding(Kind.POOL_TIMEOUT, Severity.INFO),
            finding(Kind.CLIENT_CHURN, Severity.WARNING),
            finding(Kind.POOL_SATURATED, Severity.WARNING),
        ),
        1.0,
    )
    assert [one.finding.kind for one in over_time.ordered()] == [
        Kind.CLIENT_CHURN,
        Kind.POOL_SATURATED,
        Kind.POOL_TIMEOUT,
    ]
    over_time.add(report(finding(Kind.BLOCKED_EVENT_LOOP, Severity.ERROR)), 2.0)
    assert over_time.ordered()[0].finding.kind is Kind.BLOCKED_EVENT_LOOP


CANCELLED, FAILED = {"cancelled": 1}, {"read_error": 1}


@pytest.mark.parametrize(
    ("seconds", "errors", "kinds"),
    [
        (0, CANCELLED, ["leak"]),
        (2, CANCELLED, ["leak"]),
        (3, CANCELLED, []),
        (3, {}, ["leak"]),
        # The failure of one request can cancel the others.
        (3, CANCELLED | FAILED, ["leak"]),
    ],
)
def test_the_end_of_a_longer_run_is_judged_unless_it_cancels_requests(
    seconds, errors, kinds, tmp_path, monkeypatch
):
    """A program that ends cancels its requests, which would not happen if it ran on."""
    recorder = Recorder(Directory(tmp_path))
    monkeypatch.setattr(recording, "snapshot", a_snapshot)
    for _ in range(seconds):
        recorder._record(ended=False)
    monkeypatch.setattr(
        recording, "snapshot", lambda: a_snapshot(the_totals(errors=errors, leaks=1))
    )
    recorder.at_exit()
    (written,) = tmp_path.iterdir()
    found = json.loads(written.read_text())["findings"]
    assert [finding["kind"] for finding in found] == kinds


@pytest.mark.parametrize(("threshold", "certain"), [(10.0, False), (10.0, True), (0.0, False)])
def test_run_that_is_too_short_for_a_leak_names_the_likely_one(
    threshold, certain, tmp_path, monkeypatch
):
    """It names the threshold in effect, unless detection is off."""
    unread = a_request(
        "unread", 6.0, held=6.0, call_site="app.py:8 in answer", leak_suspected=certain
    )
    taken = a_snapshot(
        the_totals(0, now={"unread": 5}), a_pool([unread] * 5), leak_threshold=threshold
    )
    monkeypatch.setattr(recording, "snapshot", lambda: taken)
    recorder = Recorder(Directory(tmp_path))
    recorder._record(ended=False)
    (written,) = tmp_path.iterdir()
    text = " ".join(json.loads(written.read_text())["text"].split())
    assert text.endswith(
        "Likely a leak: 5 requested at app.py:8 in answer (the oldest unread for 6.0 s, provider "
        "openai, model gpt-4o). It is certain after 10 s."
    ) is (threshold > 0 and not certain)
