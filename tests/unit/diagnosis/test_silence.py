"""A provider that answers nobody."""

from __future__ import annotations

import pytest

from opentelemetry.instrumentation.gluellm.diagnosis.findings import Kind, Severity
from opentelemetry.instrumentation.gluellm.diagnosis.snapshot import PoolSnapshot
from unit.diagnosis.building import a_pool, a_request, a_snapshot, found, kinds, the_totals


def hung(number: int = 3, age: float = 40.0, phase: str = "awaiting_response") -> PoolSnapshot:
    return a_pool([a_request(phase, age) for _ in range(number)])


def test_nobody_is_answered() -> None:
    """From the start: there is nothing to compare with."""
    snapshot = a_snapshot(the_totals(0), hung())
    finding = found(Kind.SLOW_PROVIDER, snapshot)
    assert finding.severity is Severity.WARNING
    assert "3 requests to" in finding.seen
    assert "the longest for 40 s" in finding.seen
    assert "0 queued" in finding.seen


@pytest.mark.parametrize(
    "pool",
    [hung(age=29.9), hung(phase="reading"), hung(phase="unread")],
    ids=["not yet", "reading", "unread"],
)
def test_what_is_no_silence(pool: PoolSnapshot) -> None:
    """A moment, or an answer that has begun."""
    snapshot = a_snapshot(the_totals(0), pool)
    assert Kind.SLOW_PROVIDER not in kinds(snapshot)


def test_few_are_worth_a_word_only() -> None:
    """Two hard questions."""
    snapshot = a_snapshot(the_totals(0), hung(2))
    assert found(Kind.SLOW_PROVIDER, snapshot).severity is Severity.INFO


def test_who_was_answered_says_that_it_answers() -> None:
    """The others are slow, and told by the means."""
    snapshot = a_snapshot(the_totals(1, {"awaiting_response": 1.0}), hung())
    assert Kind.SLOW_PROVIDER not in kinds(snapshot)


def test_reasoning_models_are_silent_as_before() -> None:
    """Answers took a minute and a half before."""
    before = a_snapshot(the_totals(20, {"awaiting_response": 90.0}), uptime=100.0)
    after = a_snapshot(the_totals(20, {"awaiting_response": 90.0}), hung(), uptime=110.0)
    assert not kinds(after, before)
