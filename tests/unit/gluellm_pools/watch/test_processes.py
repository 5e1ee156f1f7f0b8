"""Processes: windows, restarts, ends and limits."""

import pytest

from gluellm_pools.view import PoolKey, PoolView
from gluellm_pools.watch import limits
from gluellm_pools.watch.limits import GONE_SECONDS, PROCESSES, REPLACED_SECONDS, UNKNOWN_INTERVAL
from gluellm_pools.watch.processes import Processes
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from support.otlp import LATER, SECOND, START, gauge, metrics_request, number

from .watched import Watched

KEY = PoolKey("openai", "httpx2")


class Exporting(Watched):
    """Takes exports of the metrics that a test builds."""

    def export(self, *metrics, **resource) -> list[str]:
        return self.take(metrics_request(*metrics, **resource))

    def after(self, seconds: float) -> int:
        """Let time pass; return the time for points."""
        self.now += seconds
        return LATER + int((self.now - 1000) * SECOND)

    @property
    def processes(self) -> Processes:
        return self.intake.processes

    @property
    def total(self) -> PoolView:
        return self.process.view().pools[KEY]

    @property
    def recent(self) -> tuple[PoolView, float | None]:
        view = self.process.recent()
        return view.pools[KEY], view.over


@pytest.fixture
def watched() -> Exporting:
    return Exporting()


def test_counters_are_shown_over_the_last_minute(watched):
    """Ten requests more every 10 s: the window grows to a minute and stays there."""
    for export in range(12):
        watched.export(number(semconv.REQUESTS, 100 + 10 * export, watched.after(10)))
        pool, seconds = watched.recent
        expected = min(export, 6)
        if export:
            assert (pool.requests, seconds) == (10 * expected, 10 * expected)
        else:  # counted since the start, as there is no earlier export
            assert (pool.requests, seconds) == (100, None)
    assert watched.total.requests == 210
    for export in range(4):  # an interval above the window is the window
        watched.export(number(semconv.REQUESTS, 220 + 10 * export, watched.after(120)))
    pool, seconds = watched.recent
    assert (pool.requests, seconds) == (10, 120)


def test_frequent_exports_keep_few_states(watched):
    """The history is bounded, however often a process exports."""
    for export in range(2000):
        watched.export(number(semconv.REQUESTS, export, watched.after(0.1)))
    assert len(watched.process._history) <= 14
    pool, seconds = watched.recent
    assert 60 <= seconds <= 66
    assert pool.requests == pytest.approx(10 * seconds, abs=1)


def test_one_collection_may_come_in_several_requests(watched):
    """A Collector sends batches; state is not counted twice."""
    watched.export(number(semconv.REQUESTS, 5))
    watched.export(number(semconv.CONNECTION_OPENED, 2))
    assert watched.process.exports == 1
    assert (watched.total.requests, watched.total.opened) == (5, 2)


def test_a_later_start_is_a_restart(watched):
    """The new counter may be larger than the old one. Nothing old is kept."""
    before = number(semconv.REQUESTS, 5), number(semconv.TIMEOUTS, 4)
    watched.export(gauge(semconv.LEAK_SUSPECTED, 3), *before)
    time = watched.after(10)
    restarted = number(semconv.REQUESTS, 7, time, start=START + 5 * SECOND)
    watched.export(gauge(semconv.LEAK_SUSPECTED, 1, time), restarted)
    pool, seconds = watched.recent
    assert (pool.requests, pool.leaks_suspected, pool.timeouts, seconds) == (7, 1, {}, None)
    assert not watched.process.mixed


@pytest.mark.parametrize(
    ("metric", "monotonic", "restarted"),
    [(semconv.REQUESTS, True, True), (semconv.CONNECTION_MAX, False, False)],
)
def test_a_counter_that_fell_is_a_restart_where_start_times_are_missing(
    watched, metric, monotonic, restarted
):
    """start_time_unix_nano may be 0. Connections come and go without a restart."""
    for value in (5, 3):
        watched.export(number(metric, value, watched.after(10), start=0, monotonic=monotonic))
    assert watched.recent[1] == (None if restarted else 10)
    if restarted:
        assert watched.recent[0] == PoolView(requests=3, providers=frozenset({"openai"}))


def test_two_processes_under_one_name_are_detected(watched):
    """Workers share an instance: an earlier start time returns, or both have the same."""
    for _ in range(2):
        for start, value in ((START, 50), (START + SECOND, 3)):
            watched.export(number(semconv.REQUESTS, value, watched.after(1), start=start))
    assert watched.process.mixed
    watched.after(70)
    assert not watched.process.mixed
    for value in (50, 3):  # they share the start of counters that the parent had
        watched.export(number(semconv.REQUESTS, value, watched.after(1), start=START + SECOND))
    assert watched.process.mixed
    assert watched.recent == (PoolView(requests=3, providers=frozenset({"openai"})), None)


def test_series_that_ended_are_dropped(watched):
    """A pool that is gone stops being exported; its rows are dropped one export later."""
    gone = number(semconv.REQUESTS, 5, gluellm__pool__name="gone")
    watched.export(number(semconv.REQUESTS, 5), gone)
    for _ in range(2):
        assert len(watched.process.view().pools) == 2
        watched.export(number(semconv.REQUESTS, 6, watched.after(10)))
    assert list(watched.process.view().pools) == [KEY]
    assert len(watched.process.series) == 1


def test_counters_never_shrink_when_a_series_ends(watched):
    """One of two origins ends: the window restarts, and no sum falls below 0."""
    watched.export(
        number(semconv.REQUESTS, 5, server__address="a"),
        number(semconv.REQUESTS, 900, server__address="b"),
    )
    for export in range(1, 5):
        request = number(semconv.REQUESTS, 5 + export, watched.after(10), server__address="a")
        watched.export(request)
        pool, _ = watched.recent
        assert pool.requests >= 0
    pool, seconds = watched.recent
    assert (pool.requests, seconds) == (2, 20)


def test_processes_are_distinguished_by_service_and_instance(watched):
    """The four workers of a server, and another service."""
    resources = [{"service__instance__id": instance} for instance in ("a", "b")]
    resources += [{"process__pid": pid, "host__name": "web"} for pid in (1, 2)]
    resources += [{"service__name": "other", "service__namespace": "eu"}]
    for resource in resources:
        watched.export(number(semconv.REQUESTS, 1), **resource)
    shop = [("shop", instance) for instance in ("a", "b", "web:1", "web:2")]
    assert list(watched.processes) == [*shop, ("eu/other", "")]


def test_a_process_that_stops_is_silent_and_then_gone(watched):
    """It exports every 10 s, is silent after 25 s and gone after 2 minutes."""
    for _ in range(2):
        watched.export(number(semconv.REQUESTS, 1, watched.after(10)))
    watched.after(24)
    assert not watched.process.silent
    watched.after(2)
    assert watched.process.silent
    watched.processes.forget_gone()
    watched.after(GONE_SECONDS)
    watched.processes.forget_gone()
    assert len(watched.processes) == 0


def test_process_that_exports_rarely_is_not_silent_between_exports(watched):
    """The SDK's default of a minute is assumed until the interval is known."""
    watched.export(number(semconv.REQUESTS, 1))
    watched.after(140)
    assert not watched.process.silent
    watched.export(number(semconv.REQUESTS, 1, watched.after(60)))
    watched.after(400)
    assert not watched.process.silent
    watched.processes.forget_gone()
    assert len(watched.processes) == 1


def test_a_process_that_exported_once_is_silent_before_it_is_gone(watched):
    """It is shown as silent before it vanishes."""
    watched.export(number(semconv.REQUESTS, 1))
    watched.after(GONE_SECONDS + 60)
    watched.processes.forget_gone()
    assert watched.process.silent
    watched.after(5 * UNKNOWN_INTERVAL)
    watched.processes.forget_gone()
    assert len(watched.processes) == 0


def test_too_many_processes_are_rejected_until_one_is_silent(watched):
    """A new process replaces the one that has been silent for longest."""
    for n in range(PROCESSES):
        watched.export(number(semconv.REQUESTS, 1), service__instance__id=n)
        watched.after(0.1)
    (rejected,) = watched.export(number(semconv.REQUESTS, 1), service__instance__id="more")
    assert str(PROCESSES) in rejected
    watched.after(REPLACED_SECONDS)
    watched.export(number(semconv.REQUESTS, 1), service__instance__id=0)
    assert watched.export(number(semconv.REQUESTS, 1), service__instance__id="more") == []
    assert {instance for _, instance in watched.processes} >= {"0", "2", "more"}
    assert len(watched.processes) == PROCESSES


def test_series_are_bounded_per_process_and_in_all(watched, monkeypatch):
    """Further series are rejected and counted; known ones are updated."""
    monkeypatch.setattr(limits, "SERIES_PER_PROCESS", 10)
    monkeypatch.setattr(limits, "SERIES", 15)
    many = [number(semconv.REQUESTS, 1, server__port=n) for n in range(12)]
    rejected = watched.export(*many, service__instance__id="a")
    assert rejected == ["more than 10 series of it, or 15 of all"] * 2
    assert len(watched.export(*many, service__instance__id="b")) == 7
    time = watched.after(10)
    again = [number(semconv.REQUESTS, 2, time, server__port=n) for n in range(10)]
    assert watched.export(*again, service__instance__id="a") == []
