"""Findings of the process's own diagnosis as series and in the log."""

import logging
import os
from typing import Any

import pytest

from opentelemetry.instrumentation.gluellm.pool.call import Call
from opentelemetry.instrumentation.gluellm.pool.lease import Lease
from opentelemetry.instrumentation.gluellm.telemetry import findings, semconv
from opentelemetry.instrumentation.gluellm.telemetry.drain import Drain
from opentelemetry.instrumentation.gluellm.telemetry.gauges import StateSource
from opentelemetry.instrumentation.gluellm.telemetry.logs import FindingObserver
from opentelemetry.instrumentation.gluellm.watch.judgement import Judgement
from support.findings import Finding
from unit.pool.fakes import Scene

TEN_MINUTES = 600
INTERVAL = 30.0


class Judged:
    """A process that judges itself, on a fake clock; its series and its log."""

    def __init__(self, log: pytest.LogCaptureFixture | None = None) -> None:
        self._observer = FindingObserver(lambda: self.scene.clock())
        self.scene = Scene(self._observer)
        registry = self.scene.registry
        self.found: list[Finding] = []
        self.broken = False
        self.judgement = Judgement(registry, lambda: self._judge, INTERVAL)
        drain = Drain(registry.outbox, Lease.account, registry.failures, lambda _: None)
        self._source = StateSource(
            registry, drain, list, lambda: None, None, tuple, dict, self.judgement
        )
        self._log = log

    def _judge(self) -> list[Finding]:
        if self.broken:
            raise ImportError
        return self.found

    def judge(self, *found: Finding, times: int = 1) -> None:
        """Judge the process, with these findings."""
        self.found = list(found)
        for _ in range(times):
            self.wait(INTERVAL)
            self.judgement.passed(entered=True, busy=True)
            self._observer.watch_passed()

    def wait(self, seconds: float) -> None:
        self.scene.clock.advance(seconds)

    def passed(self, seconds: float) -> None:
        """End a pass of the watch after this time."""
        self.wait(seconds)
        self._observer.watch_passed()

    def series(self) -> dict[tuple[Any, ...], Any]:
        """Values by kind, severity and pool name, provider or source."""
        found = {}
        for point in self._source.collect().get(semconv.FINDING_CURRENT.name, ()):
            own = dict(point.attributes or {})
            kind, severity = own.pop(semconv.FINDING_KIND), own.pop(semconv.FINDING_SEVERITY)
            key = (kind, severity, *sorted(own.values()))
            assert key not in found
            found[key] = point.value
        return found

    def lines(self, level: int = logging.WARNING) -> list[str]:
        assert self._log is not None
        return [one.getMessage() for one in self._log.records if one.levelno == level]


@pytest.fixture
def judged() -> Judged:
    made = Judged()
    made.judgement.passed(entered=True, busy=True)
    return made


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Judged:
    caplog.set_level(logging.INFO, semconv.SCOPE_NAME)
    made = Judged(caplog)
    made.judgement.passed(entered=True, busy=True)
    return made


def error(kind: str = "retries", **further: Any) -> Finding:
    return Finding(kind, "error", **further)


def test_finding_on_a_pool_has_the_attributes_of_its_other_series(judged):
    lease = judged.scene.enter(Call("openai"))
    ledger = lease.tracker.ledger
    judged.judge(error(pool=f"{ledger.name}/{ledger.library}"))
    live = judged._source.collect()[semconv.POOL_LIVE.name][0].attributes
    (point,) = judged._source.collect()[semconv.FINDING_CURRENT.name]
    assert point.attributes.items() >= live.items()


def test_finding_on_calls_has_provider_and_source(judged):
    judged.judge(error(pool=None, provider="gemini", source="any_llm"))
    assert judged.series() == {("retries", "error", "any_llm", "gcp.gemini"): 1}


def test_finding_on_the_process_has_neither(judged):
    judged.judge(error(pool=None))
    assert judged.series() == {("retries", "error"): 1}


def test_ended_finding_is_zero_for_ten_minutes(judged):
    judged.judge(error(pool=None))
    judged.series()
    judged.judge(times=2)
    assert judged.series() == {("retries", "error"): 0}
    judged.wait(TEN_MINUTES)
    assert judged.series() == {}


def test_lower_severity_is_another_series(judged):
    judged.judge(error(pool=None))
    judged.series()
    judged.judge(Finding(pool=None), times=3)
    assert judged.series() == {("retries", "error"): 0, ("retries", "warning"): 1}


def test_findings_beyond_the_bound_are_summed_warnings_first(judged, monkeypatch):
    monkeypatch.setattr(findings, "MOST_FINDINGS", 3)
    warnings = [Finding(f"w{n}", pool=None) for n in range(4)]
    judged.judge(*warnings, times=2)
    judged.judge(*warnings, error("e1", pool=None), error("e2", pool=None))
    values = {key: value for key, value in judged.series().items() if value}
    assert values == {
        ("e1", "error"): 1,
        ("e2", "error"): 1,
        ("w0", "warning"): 1,
        ("_OTHER", "warning"): 3,
    }


def test_series_are_bounded_for_the_life_of_the_process(judged, monkeypatch):
    monkeypatch.setattr(findings, "MAX_SETS", 2)
    for number in range(4):
        judged.judge(error(f"e{number}", pool=None))
        judged.series()
    kinds = {key[0] for key in judged.series()}
    assert kinds == {"e0", "e1", "_OTHER"}


def test_judgements_are_counted(judged):
    judged.judge(times=3)
    (point,) = judged._source.collect()[semconv.FINDING_JUDGED.name]
    assert point.value == 3


def test_nothing_is_reported_once_the_judge_is_broken(judged):
    judged.broken = True
    judged.judge()
    assert semconv.FINDING_JUDGED.name not in judged._source.collect()


def test_first_line_of_a_record_is_complete_and_the_whole_text_follows(logged):
    logged.judge(error())
    first = f"Finding (error, PID {os.getpid()}): retries in openai/httpx2: 28 with status 429"
    assert logged.lines() == [f"{first}\nthe whole text of retries"]


def test_record_has_kind_severity_and_subject_as_attributes(logged, caplog):
    logged.judge(error())
    record = vars(caplog.records[-1])
    assert record[semconv.EVENT_NAME] == "gluellm.finding"
    assert record[semconv.FINDING_KIND] == "retries"
    assert record[semconv.FINDING_SEVERITY] == "error"
    assert (record[semconv.POOL_NAME], record[semconv.POOL_LIBRARY]) == ("openai", "httpx2")


def test_record_on_calls_names_their_provider_as_the_series_does(logged, caplog):
    logged.judge(error("retries", pool=None, provider="bedrock", source="sdk"))
    record = vars(caplog.records[-1])
    assert record[semconv.PROVIDER_NAME] == "aws.bedrock"
    assert record[semconv.CALL_SOURCE] == "sdk"
    assert semconv.POOL_NAME not in record


def test_one_record_a_minute_the_worst_first(logged):
    logged.judge(Finding("a"), Finding("b"), times=2)
    assert len(logged.lines()) == 1
    logged.judge(Finding("a"), Finding("b"), error("c"))
    logged.passed(60)
    assert [line.split(": ")[1] for line in logged.lines()] == [
        "a in openai/httpx2",
        "c in openai/httpx2",
    ]


def test_finding_that_ended_before_its_turn_is_not_logged(logged):
    logged.judge(error("a"), error("b"))
    logged.judge(error("a"), times=2)
    logged.passed(60)
    assert len(logged.lines()) == 1
    assert not logged.lines(logging.INFO)


def test_end_is_logged_with_the_time_that_the_finding_lasted(logged):
    logged.judge(error(), times=4)
    logged.judge(times=2)
    assert logged.lines(logging.INFO) == [
        f"Finding ended (PID {os.getpid()}): retries in openai/httpx2, after 150 s."
    ]


def test_kind_and_subject_are_logged_once_in_ten_minutes(logged):
    for _ in range(3):
        logged.judge(error())
        logged.judge(times=2)
    assert len(logged.lines()) == 1
    logged.wait(TEN_MINUTES)
    logged.judge(error())
    assert len(logged.lines()) == 2


def test_rise_is_logged(logged):
    logged.judge(Finding(), times=2)
    logged.judge(error())
    logged.passed(60)
    assert [line[:15] for line in logged.lines()] == ["Finding (warnin", "Finding (error,"]
