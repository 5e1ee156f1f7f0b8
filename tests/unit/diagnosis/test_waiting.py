"""Requests that wait or take long: whose fault that is."""

from __future__ import annotations

import pytest

from opentelemetry.instrumentation.gluellm.diagnosis.findings import Kind, Severity
from opentelemetry.instrumentation.gluellm.diagnosis.snapshot import PoolSnapshot, Snapshot
from unit.diagnosis.building import (
    BLOCKED,
    a_connection,
    a_pool,
    a_request,
    a_snapshot,
    all_kinds,
    found,
    kinds,
    the_totals,
)

BASELINE = a_snapshot(the_totals(100), uptime=100.0)


def full_pool(queued: int = 5, waited: float = 2.0, **changes: object) -> PoolSnapshot:
    """A pool of 10 at its limit."""
    return a_pool(
        [a_request(held=0.5)] * 10 + [a_request("queued", waited)] * queued,
        [a_connection("active")] * 10,
        **changes,
    )


def saturated(queued: float = 1.0, each: dict[str, float] | None = None) -> Snapshot:
    """100 further requests, each queued for so long on top of its 0.806 s, by 20 callers."""
    times = {"queued": queued / 2, **(each or {})}  # the_totals spreads it over 200
    totals = the_totals(200, times, peak_active=10, peak_queued=10)
    return a_snapshot(totals, full_pool(), uptime=110.0)


def test_queueing_at_unchanged_lease_time_is_a_small_pool() -> None:
    """The sign of a pool that is too small, with the size to give it."""
    finding = found(Kind.POOL_TOO_SMALL, saturated(), BASELINE)
    assert kinds(saturated(), BASELINE) == [Kind.POOL_TOO_SMALL]
    assert finding.severity is Severity.WARNING
    # 180.6 s in the pool in 10 s: 18.06 at once, of whom never more than 20.
    assert finding.seen == (
        "Requests queued for 55% of their time for the 10 connections of the pool. 10/s arrived "
        "and held a connection for 0.81 s: on average 18.1 connections at once (queued requests "
        "included), and 20 suffice 99% of the time."
    )
    assert "no longer than before" in finding.means
    assert finding.cure == (
        'Allow 20 connections: configure_pools(provider="openai", max_connections=20, '
        "max_keepalive_connections=20) where any-llm builds the client, or "
        'AnyLLM.create("openai", http_client=httpx2.AsyncClient('
        "limits=httpx2.Limits(max_connections=20)))."
    )


def test_small_pool_without_a_baseline_says_so() -> None:
    """Nobody knows then whether connections were held for less time before."""
    finding = found(Kind.POOL_TOO_SMALL, saturated())
    assert "without an earlier snapshot" in finding.means


@pytest.mark.parametrize(("queued", "fires"), [(0.05, False), (0.12, True)])
def test_little_queueing_is_none(queued: float, *, fires: bool) -> None:
    """Under a tenth of the time the pool's own glitches could be it."""
    assert (Kind.POOL_TOO_SMALL in kinds(saturated(queued), BASELINE)) is fires


def test_queueing_below_the_limit_is_no_small_pool() -> None:
    """httpcore 1.0.9 lets requests queue for a busy connection while others could be made."""
    totals = the_totals(200, {"queued": 0.5}, peak_active=4)
    assert not kinds(a_snapshot(totals, uptime=110.0), BASELINE)


def test_forgotten_peak_does_not_hide_a_small_pool() -> None:
    """The peak of the last 75 s says nothing about the hour before."""
    totals = the_totals(200, {"queued": 0.5}, peak_active=4)
    assert kinds(a_snapshot(totals, uptime=1000.0), BASELINE) == [Kind.POOL_TOO_SMALL]


def test_pool_timeouts_make_it_an_error() -> None:
    """These requests failed, however small their share of all time."""
    totals = the_totals(200, errors={"pool_timeout": 2}, peak_active=10)
    finding = found(Kind.POOL_TOO_SMALL, a_snapshot(totals, uptime=110.0), BASELINE)
    assert finding.severity is Severity.ERROR
    assert "2 pool timeouts" in finding.seen


def test_rare_pool_timeouts_are_none() -> None:
    """One in 200 is under 1%, and the burst is over."""
    totals = the_totals(400, errors={"pool_timeout": 1}, peak_active=10)
    assert not kinds(a_snapshot(totals, uptime=110.0), BASELINE)


def test_unlimited_pool_is_never_too_small() -> None:
    """Nothing queues for it."""
    totals = the_totals(200, {"queued": 0.5}, peak_active=10)
    assert not kinds(a_snapshot(totals, a_pool(max_connections=None), uptime=110.0), BASELINE)


def test_load_on_several_pools_is_shared() -> None:
    """Two event loops, two pools: the size is that of each."""
    totals = the_totals(200, {"queued": 0.5}, peak_active=20, peak_queued=10, pools_live=2)
    snapshot = a_snapshot(totals, full_pool(), full_pool(), uptime=110.0)
    finding = found(Kind.POOL_TOO_SMALL, snapshot, BASELINE)
    assert "5/s arrived per pool" in finding.seen
    assert "9.0 connections at once" in finding.seen
    assert "Allow 15 connections" in finding.cure


def slower(by: float, *, requests: int = 200, queued: float = 0.0) -> Snapshot:
    """Further requests that the provider took so much longer for, on top of 0.8 s."""
    further = requests - 100
    times = {"awaiting_response": by * further / requests, "queued": queued}
    return a_snapshot(the_totals(requests, times, peak_active=10), uptime=110.0)


def test_provider_that_became_slow() -> None:
    """Twice the time of before."""
    finding = found(Kind.SLOW_PROVIDER, slower(1.6), BASELINE)
    assert finding.severity is Severity.WARNING
    assert finding.seen == (
        "A request took 2.4 s of the provider's: 1.9 s to the head, 0.50 s reading on; before it "
        "was 0.80 s."
    )


@pytest.mark.parametrize(("by", "fires"), [(0.75, False), (0.85, True)])
def test_somewhat_slower_is_not_slow(by: float, *, fires: bool) -> None:
    """Less than twice is what other questions do."""
    assert (Kind.SLOW_PROVIDER in kinds(slower(by), BASELINE)) is fires


def test_twice_next_to_nothing_is_not_slow() -> None:
    """From 20 ms to 60 ms nobody notices."""
    quick = {"awaiting_response": -0.28, "reading": -0.5}
    before = a_snapshot(the_totals(100, quick), uptime=100.0)
    now = {"awaiting_response": -0.26, "reading": -0.5}
    assert not kinds(a_snapshot(the_totals(200, now), uptime=110.0), before)


def test_few_requests_are_no_baseline() -> None:
    """Nine requests have no mean worth comparing with."""
    before = a_snapshot(the_totals(9), uptime=100.0)
    now = a_snapshot(the_totals(109, {"awaiting_response": 3.0}), uptime=110.0)
    assert not kinds(now, before)
    before = a_snapshot(the_totals(10), uptime=100.0)
    now = a_snapshot(the_totals(110, {"awaiting_response": 3.0}), uptime=110.0)
    assert kinds(now, before) == [Kind.SLOW_PROVIDER]


def test_few_slow_requests_are_no_slow_provider() -> None:
    """Four long answers are four long questions."""
    assert not kinds(slower(20.0, requests=104), BASELINE)
    assert kinds(slower(20.0, requests=105), BASELINE) == [Kind.SLOW_PROVIDER]


def test_provider_that_fell_silent_shows_before_a_request_ends() -> None:
    """What hangs counts with the time that it has hung for."""
    times = {"awaiting_response": 80.6 / 100}
    totals = the_totals(100, times, now={"awaiting_response": 8})
    assert kinds(a_snapshot(totals, uptime=110.0), BASELINE) == [Kind.SLOW_PROVIDER]


def test_queueing_behind_a_slow_provider_is_its_fault() -> None:
    """A larger pool would only send more to it."""
    snapshot = slower(1.6, queued=1.0)
    assert kinds(snapshot, BASELINE) == [Kind.SLOW_PROVIDER]
    assert "requests queue" in found(Kind.SLOW_PROVIDER, snapshot, BASELINE).seen


def test_reasoning_models_are_worth_a_word_only() -> None:
    """Silent for 300 s, and nothing is wrong."""
    snapshot = a_snapshot(the_totals(5, {"awaiting_response": 300.0}), uptime=3000.0)
    finding = found(Kind.SLOW_PROVIDER, snapshot)
    assert finding.severity is Severity.INFO
    assert "Reasoning models" in finding.means
    brief = a_snapshot(the_totals(5, {"awaiting_response": 28.0}), uptime=3000.0)
    assert Kind.SLOW_PROVIDER not in all_kinds(brief)


@pytest.mark.parametrize(("count", "fires"), [(2, False), (3, True)])
def test_read_timeouts_are_the_providers(count: int, *, fires: bool) -> None:
    """It didn't answer in the time that the caller allowed."""
    snapshot = a_snapshot(the_totals(50, errors={"read_timeout": count}))
    assert (kinds(snapshot) == [Kind.SLOW_PROVIDER]) is fires


def test_read_timeouts_now_and_then_are_none() -> None:
    """Under one in twenty."""
    assert not kinds(a_snapshot(the_totals(100, errors={"read_timeout": 4})))


def test_full_pool_is_a_state_where_no_cause_is_known() -> None:
    """Too little queueing so far to blame the size."""
    finding = found(Kind.POOL_SATURATED, a_snapshot(the_totals(), full_pool(3, 2.0)))
    assert finding.severity is Severity.WARNING
    assert finding.seen == (
        "10 of 10 connections in use and 3 requests queued, the longest for 2.0 s; held by "
        "requests that are 10 reading."
    )


def test_burst_is_no_warning() -> None:
    """Under a second of waiting passes."""
    finding = found(Kind.POOL_SATURATED, a_snapshot(the_totals(), full_pool(3, 0.9)))
    assert finding.severity is Severity.INFO


def test_queue_beside_a_free_connection_is_not_saturated() -> None:
    """Nor is a full pool that nobody waits for."""
    room = a_pool([a_request("queued", 2.0)], [a_connection("active")] * 9)
    assert not all_kinds(a_snapshot(the_totals(), room))
    assert not all_kinds(a_snapshot(the_totals(), full_pool(0)))


def test_state_is_not_told_beside_its_cause() -> None:
    """One finding for one trouble."""
    assert Kind.POOL_SATURATED not in all_kinds(saturated(), BASELINE)
    slow = a_snapshot(the_totals(200, {"reading": 0.8}), full_pool(), uptime=110.0)
    assert kinds(slow, BASELINE) == [Kind.SLOW_PROVIDER]
    assert Kind.POOL_SATURATED not in all_kinds(slow, BASELINE)


def test_leak_too_young_for_its_name_is_no_small_pool() -> None:
    """Connections that lie unread are not busy, whatever the leak threshold is."""
    pool = a_pool(
        [a_request("unread", 20.0)] * 10 + [a_request("queued", 15.0)] * 5,
        [a_connection("active")] * 10,
    )
    totals = the_totals(
        100, {"unread": 2.0, "queued": 0.75}, now={"unread": 10, "queued": 5}, peak_active=10
    )
    assert kinds(a_snapshot(totals, pool)) == [Kind.POOL_SATURATED]


def test_slow_connecting_is_no_small_pool() -> None:
    """Connections that are held by their own making are not busy."""
    totals = the_totals(200, {"queued": 0.5, "connecting": 2.0}, peak_active=10)
    assert Kind.POOL_TOO_SMALL not in kinds(a_snapshot(totals, uptime=110.0), BASELINE)


def test_anomalies_of_the_interval() -> None:
    """What happened before `previous` is known already."""
    totals = the_totals(anomalies={"orphaned_connection": 2, "pool_timeout_overrun": 0})
    before = a_snapshot(the_totals(anomalies={"orphaned_connection": 1}), uptime=50.0)
    snapshot = a_snapshot(totals)
    assert found(Kind.ANOMALY, snapshot, before).seen == "orphaned_connection 1."
    assert kinds(a_snapshot(totals, **BLOCKED)) == [Kind.BLOCKED_EVENT_LOOP]
    same = a_snapshot(totals, uptime=200.0)
    assert not kinds(same, snapshot)
