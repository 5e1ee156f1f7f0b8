"""When the process is judged, and when findings begin, rise and end."""

from collections.abc import Callable

import pytest

from opentelemetry.instrumentation.gluellm import thresholds
from opentelemetry.instrumentation.gluellm.pool.durations import SECOND
from opentelemetry.instrumentation.gluellm.pool.observer import PoolObserver
from opentelemetry.instrumentation.gluellm.watch import judgement as judgement_module
from opentelemetry.instrumentation.gluellm.watch.judgement import Active, ActiveFindings, Judgement
from support.findings import Finding
from unit.pool.fakes import Scene

INTERVAL = 30.0


WARNING, ERROR = Finding(), Finding(severity="error")
OTHER = Finding(kind="slow_provider")
ELSEWHERE = Finding(kind="slow_provider", pool="anthropic/httpx")
HELD = Finding(kind="leak", held=True)


def kinds(findings: list[Active]) -> list[str]:
    return [f"{one.finding.kind} {one.severity}" for one in findings]


def lives(*judgements: Finding | None, quiet: bool = False) -> list[str]:
    """What begins and ends in a sequence of judgements with at most one finding each."""
    active = ActiveFindings()
    changes = []
    for number, found in enumerate(judgements):
        begun, ended = active.judged([found] if found else [], number, quiet=quiet)
        changes += [f"{number}: + {each}" for each in kinds(begun)]
        changes += [f"{number}: - {each.finding.kind}" for each in ended]
    return changes


def test_error_begins_at_once_and_ends_after_two_judgements_without_it():
    assert lives(ERROR, None, None, None) == ["0: + retries error", "2: - retries"]


def test_warning_in_one_judgement_of_fifty_never_begins():
    assert lives(*[None] * 25, WARNING, *[None] * 24) == []


@pytest.mark.parametrize(
    "judgements", [(WARNING, WARNING), (WARNING, None, WARNING)], ids=["in a row", "two of three"]
)
def test_warning_begins_when_it_is_found_twice_in_three_judgements(judgements):
    assert lives(*judgements) == [f"{len(judgements) - 1}: + retries warning"]


def test_another_warning_on_the_same_subject_begins_in_the_second_judgement():
    assert lives(WARNING, OTHER) == ["1: + slow_provider warning"]


def test_warnings_on_two_subjects_do_not_help_each_other():
    assert lives(WARNING, ELSEWHERE) == []


def test_alternating_findings_begin_once_and_stay():
    """A B A B: each is missing in one judgement at a time, so neither ends."""
    assert lives(WARNING, OTHER, WARNING, OTHER, WARNING, OTHER) == [
        "1: + slow_provider warning",
        "2: + retries warning",
    ]


def test_alternating_severities_rise_once_and_stay_an_error():
    found = lives(WARNING, WARNING, ERROR, WARNING, ERROR, WARNING, ERROR)
    assert found == ["1: + retries warning", "2: + retries error"]


def test_severity_falls_after_three_milder_judgements_and_can_rise_again():
    found = lives(ERROR, WARNING, WARNING, WARNING, ERROR)
    assert found == ["0: + retries error", "4: + retries error"]


def test_info_is_never_active():
    assert lives(*[Finding(severity="info")] * 3) == []


def test_without_traffic_findings_on_counts_end_and_held_ones_stay():
    active = ActiveFindings()
    for _ in range(2):
        active.judged([WARNING, HELD], 0, quiet=False)
    _, ended = active.judged([WARNING, HELD], 0, quiet=True)
    assert kinds(ended) == ["retries warning"]
    assert kinds([*active.now.values()]) == ["leak warning"]


class Judged:
    """A judgement whose passes a test runs, with scripted findings."""

    def __init__(self, scene: Scene, monkeypatch: pytest.MonkeyPatch, interval: float) -> None:
        self.clock = scene.clock
        self.found: list[Finding] = []
        self.error: Exception | None = None
        self.spent = 0.0
        """CPU seconds of each judgement."""
        self.loading = 0.0
        """CPU seconds of importing the judge."""
        self.failures = scene.registry.failures
        self.begun: list[Active] = []
        self.ended: list[Active] = []
        self._cpu = 0
        monkeypatch.setattr(judgement_module.time, "thread_time_ns", lambda: self._cpu)
        scene.registry.observer = self.observer = PoolObserver()
        self.observer.finding_began = self.begun.append  # type: ignore[method-assign]
        self.observer.finding_ended = (  # type: ignore[method-assign]
            lambda active, _: self.ended.append(active)
        )
        self.judgement = Judgement(scene.registry, self._load, interval)
        self.changes: list[set[str]] = []
        self.judgement.changed = lambda: self.changes.append(
            {one.finding.kind for one in self.judgement.now.values()}
        )

    def _load(self) -> Callable[[], list[Finding]]:
        self._cpu += round(self.loading * SECOND)
        return self._judge

    def _judge(self) -> list[Finding]:
        self._cpu += round(self.spent * SECOND)
        if self.error is not None:
            raise self.error
        return self.found

    def seconds(self, number: int, *, entered: bool = False, busy: bool = False) -> int:
        """Run a pass a second; return the number of judgements."""
        before = self.judgement.count
        for _ in range(number):
            self.clock.advance(1.0)
            self.judgement.passed(entered=entered, busy=busy)
        return self.judgement.count - before


@pytest.fixture
def judged(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> Judged:
    return Judged(scene, monkeypatch, INTERVAL)


def test_first_judgement_is_an_interval_after_the_first_request(judged):
    assert judged.seconds(100) == 0
    assert judged.seconds(30, busy=True) == 0
    assert judged.seconds(1, busy=True) == 1


def test_no_judgement_while_nothing_is_in_flight_or_active(judged):
    judged.seconds(31, busy=True)
    assert judged.seconds(100) == 0
    assert judged.seconds(1, entered=True) == 1  # short requests count although none is in flight


def test_active_finding_is_judged_until_it_ends_without_traffic(judged):
    judged.found = [ERROR]
    judged.seconds(31, entered=True, busy=True)
    assert kinds(judged.begun) == ["retries error"]
    judged.seconds(int(thresholds.NO_TRAFFIC) + 30)
    assert kinds(judged.ended) == ["retries error"]
    assert judged.seconds(100) == 0


def test_change_is_announced_at_begin_and_end(judged):
    judged.found = [ERROR]
    judged.seconds(91, entered=True)
    judged.found = []
    judged.seconds(60, entered=True)
    assert judged.changes == [{"retries"}, set()]


def test_first_judgement_is_announced_and_further_ones_without_a_change_are_not(judged):
    """Until then, the doctor's list shows that the process is not judged yet."""
    judged.seconds(100, entered=True)
    assert judged.changes == [set()]


def one_call_a_minute(judged: Judged, minutes: int) -> None:
    """Let a call of two seconds begin each minute."""
    for _ in range(minutes):
        judged.seconds(1, entered=True, busy=True)
        judged.seconds(1, busy=True)
        judged.seconds(58)


def test_warning_of_a_process_with_one_call_a_minute_begins_once_and_ends_once(judged):
    """It is judged with each call, and every 30 s while the finding is active."""
    judged.found = [WARNING]
    one_call_a_minute(judged, 2)
    assert not judged.begun
    one_call_a_minute(judged, 1)
    assert kinds(judged.begun) == ["retries warning"]
    one_call_a_minute(judged, 60)
    judged.found = []
    one_call_a_minute(judged, 2)
    assert len(judged.begun) == 1
    assert kinds(judged.ended) == ["retries warning"]


def test_process_that_becomes_idle_in_between_begins_and_ends_anew(judged):
    judged.found = [ERROR]
    for times in (1, 2):
        judged.seconds(31, entered=True, busy=True)
        assert len(judged.begun) == times
        judged.seconds(int(thresholds.NO_TRAFFIC) + 30)
        assert len(judged.ended) == times


def test_finding_stays_while_requests_hang_and_none_begins(judged):
    """The provider hangs, and every caller waits."""
    judged.found = [ERROR]
    judged.seconds(31, entered=True, busy=True)
    judged.seconds(10 * int(thresholds.NO_TRAFFIC), busy=True)
    assert not judged.ended


def test_held_finding_stays_without_traffic(judged):
    judged.found = [HELD]
    judged.seconds(61, busy=True)
    assert judged.seconds(600) >= 19
    assert not judged.ended


def test_interval_grows_with_the_cpu_time_of_a_judgement(judged):
    judged.spent = 0.06
    judged.seconds(31, busy=True)
    assert judged.seconds(59, busy=True) == 0
    assert judged.seconds(1, busy=True) == 1


def test_import_of_the_judge_does_not_delay_the_next_judgement(judged):
    judged.loading = 0.3
    judged.seconds(31, busy=True)
    assert judged.seconds(30, busy=True) == 1


def test_interval_grows_to_five_minutes_at_most(judged):
    judged.spent = 10.0
    judged.seconds(31, busy=True)
    assert judged.seconds(299, busy=True) == 0
    assert judged.seconds(1, busy=True) == 1


def test_short_interval_allows_a_hundredth_of_a_cpu(scene, monkeypatch):
    judged = Judged(scene, monkeypatch, 5.0)
    judged.spent = 0.06
    judged.seconds(6, busy=True)
    assert judged.seconds(12, busy=True) == 2


def test_judgement_that_raises_is_counted_and_repeated(judged):
    judged.error = ValueError("text that may be private")
    judged.seconds(61, busy=True)
    assert judged.failures.counts["judgement"] == 2
    judged.error = None
    assert judged.seconds(30, busy=True) == 1


def test_missing_judge_ends_judgements_for_good(judged):
    judged.error = ImportError()
    judged.seconds(200, busy=True)
    assert judged.failures.counts["judgement"] == 1
    assert not judged.judgement.possible


def test_findings_are_forgotten_in_a_forked_child(judged):
    judged.found = [ERROR]
    judged.seconds(31, busy=True)
    judged.judgement.clear()
    assert not judged.judgement.now
    assert judged.judgement.count == 0
