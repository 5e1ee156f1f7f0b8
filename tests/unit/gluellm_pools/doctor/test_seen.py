"""Findings of many looks: each once, as it was when it was worst, with when it was seen."""

from __future__ import annotations

from gluellm_pools.doctor.seen import SeenFindings
from opentelemetry.instrumentation.gluellm.diagnosis.findings import Finding, Kind, Severity
from opentelemetry.instrumentation.gluellm.diagnosis.parts import ProcessSnapshot
from opentelemetry.instrumentation.gluellm.diagnosis.report import Report
from opentelemetry.instrumentation.gluellm.diagnosis.snapshot import Snapshot

SNAPSHOT = Snapshot(taken_at=0.0, uptime=1.0, leak_threshold=60.0, process=ProcessSnapshot(pid=1))


def finding(
    kind: Kind, severity: Severity, seen: str = "", pool: str | None = "a/httpx"
) -> Finding:
    return Finding(
        kind=kind, severity=severity, pool=pool, observed=seen, explanation="", advice=""
    )


def report(*findings: Finding, busy_loops: tuple[str, ...] = ()) -> Report:
    return Report(snapshot=SNAPSHOT, findings=findings, busy_loops=busy_loops)


def test_a_finding_comes_once_with_its_span_of_time() -> None:
    """The numbers are the last ones of its worst severity."""
    seen = SeenFindings()
    seen.add(report(finding(Kind.LEAK, Severity.WARNING, "one")), 1.0)
    seen.add(report(finding(Kind.LEAK, Severity.ERROR, "two")), 2.0)
    seen.add(report(finding(Kind.LEAK, Severity.ERROR, "three")), 3.0)
    seen.add(report(finding(Kind.LEAK, Severity.WARNING, "four")), 4.0)
    seen.add(report(), 5.0)
    (only,) = seen.ordered()
    assert only.finding.observed == "three"
    assert (only.first, only.last, only.looks) == (1.0, 4.0, 4)


def test_the_same_cause_in_two_pools_is_two_findings() -> None:
    """A person mends them one by one. A full pool is left out once its cause is known."""
    seen = SeenFindings()
    seen.add(report(finding(Kind.POOL_SATURATED, Severity.ERROR)), 1.0)
    for pool in ("a/httpx", "b/httpx"):
        seen.add(report(finding(Kind.LEAK, Severity.ERROR, pool=pool)), 9.0)
    assert [one.finding.kind for one in seen.ordered()] == [Kind.LEAK, Kind.LEAK]


def test_the_most_severe_come_first_and_then_as_diagnosed() -> None:
    """A late error stands above an early warning."""
    seen = SeenFindings()
    seen.add(
        report(
            finding(Kind.POOL_TIMEOUT, Severity.INFO),
            finding(Kind.CLIENT_CHURN, Severity.WARNING),
            finding(Kind.POOL_SATURATED, Severity.WARNING),
        ),
        1.0,
    )
    assert [one.finding.kind for one in seen.ordered()] == [
        Kind.CLIENT_CHURN,
        Kind.POOL_SATURATED,
        Kind.POOL_TIMEOUT,
    ]
    seen.add(report(finding(Kind.BLOCKED_EVENT_LOOP, Severity.ERROR)), 2.0)
    assert seen.ordered()[0].finding.kind is Kind.BLOCKED_EVENT_LOOP


def test_a_blocked_loop_is_reported_with_where_it_was_first_seen() -> None:
    """Later it may be elsewhere, or go on."""
    seen = SeenFindings()
    blocked = finding(Kind.BLOCKED_EVENT_LOOP, Severity.ERROR, pool=None)
    seen.add(report(blocked), 1.0)
    seen.add(report(blocked, busy_loops=("event loop", "  app.py:1 in f")), 2.0)
    seen.add(report(blocked, busy_loops=("event loop", "  app.py:9 in g")), 3.0)
    (only,) = seen.ordered()
    assert only.to_dict()["text"].endswith("\n  event loop\n    app.py:1 in f")
