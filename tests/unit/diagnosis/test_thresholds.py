"""Each threshold from both sides, where no other test stands close to it."""

from __future__ import annotations

import pytest

from opentelemetry.instrumentation.gluellm.diagnosis.findings import Kind, Severity
from opentelemetry.instrumentation.gluellm.diagnosis.snapshot import PoolTotals, Snapshot
from unit.diagnosis.building import (
    a_connection,
    a_pool,
    a_request,
    a_snapshot,
    all_kinds,
    found,
    kinds,
    the_totals,
)

QUICK = {"awaiting_response": -0.29, "reading": -0.49, "connecting": -0.001, "unread": -0.005}
"""Makes a request of 0.02 s of the healthy one."""


def busy(requests: int = 100, **changes: object) -> PoolTotals:
    """Requests of a pool that was at its limit."""
    return the_totals(requests, **{"peak_active": 10, "peak_queued": 9, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(("requests", "fires"), [(300, True), (301, False)])
def test_share_of_connect_failures(requests: int, *, fires: bool) -> None:
    """One in a hundred."""
    snapshot = a_snapshot(the_totals(requests, errors={"connection_error": 3}))
    assert (Kind.CONNECT_FAILURES in all_kinds(snapshot)) is fires


@pytest.mark.parametrize(("failed", "severity"), [(9, Severity.WARNING), (10, Severity.ERROR)])
def test_many_failures_are_an_error(failed: int, severity: Severity) -> None:
    """One in ten."""
    refused = a_snapshot(the_totals(100, errors={"connection_error": failed}))
    assert found(Kind.CONNECT_FAILURES, refused).severity is severity
    broken = a_snapshot(the_totals(100, origin={"reuse_failures": failed}))
    assert found(Kind.REUSE_FAILURES, broken).severity is severity


@pytest.mark.parametrize(("requests", "fires"), [(400, True), (401, False)])
def test_share_of_reuse_failures(requests: int, *, fires: bool) -> None:
    """One in two hundred."""
    snapshot = a_snapshot(the_totals(requests, origin={"reuse_failures": 2}))
    assert (Kind.REUSE_FAILURES in all_kinds(snapshot)) is fires


def test_ten_expired_connections_are_enough() -> None:
    """Nine are not, as another test shows."""
    closed = {"keepalive_expired": 10}
    totals = the_totals(100, {"connecting": 0.1}, connections_opened=10, connections_closed=closed)
    assert all_kinds(a_snapshot(totals)) == [Kind.KEEPALIVE_TOO_SHORT]


@pytest.mark.parametrize(("more", "fires"), [(0.099, False), (0.101, True)])
def test_slower_by_a_tenth_of_a_second(more: float, *, fires: bool) -> None:
    """However many times that is."""
    before = a_snapshot(the_totals(100, QUICK), uptime=50.0)
    times = {**QUICK, "reading": QUICK["reading"] + more / 2}
    now = a_snapshot(the_totals(200, times), uptime=100.0)
    assert (kinds(now, before) == [Kind.SLOW_PROVIDER]) is fires


@pytest.mark.parametrize(("more", "fires"), [(29.1, False), (29.3, True)])
def test_half_a_minute_is_long(more: float, *, fires: bool) -> None:
    """On top of 0.8 s."""
    snapshot = a_snapshot(the_totals(5, {"reading": more}), uptime=900.0)
    assert (all_kinds(snapshot) == [Kind.SLOW_PROVIDER]) is fires


@pytest.mark.parametrize(("count", "fires"), [(2, False), (3, True)])
def test_number_of_read_timeouts(count: int, *, fires: bool) -> None:
    """Three, whatever their share."""
    snapshot = a_snapshot(the_totals(10, errors={"read_timeout": count}))
    assert (kinds(snapshot) == [Kind.SLOW_PROVIDER]) is fires


@pytest.mark.parametrize(("queued", "fires"), [(0.088, False), (0.091, True)])
def test_tenth_of_the_time_in_the_queue(queued: float, *, fires: bool) -> None:
    """Beside 0.806 s of the rest."""
    snapshot = a_snapshot(busy(each={"queued": queued}))
    assert (kinds(snapshot) == [Kind.POOL_TOO_SMALL]) is fires


@pytest.mark.parametrize(("queued", "fires"), [(0.0095, False), (0.0105, True)])
def test_queueing_of_milliseconds_is_none(queued: float, *, fires: bool) -> None:
    """Though it is a third of the time."""
    snapshot = a_snapshot(busy(each={**QUICK, "queued": queued}))
    assert (kinds(snapshot) == [Kind.POOL_TOO_SMALL]) is fires


@pytest.mark.parametrize(("requests", "fires"), [(4, False), (5, True)])
def test_queueing_of_few_requests_is_none(requests: int, *, fires: bool) -> None:
    """Four may have come at once by chance."""
    snapshot = a_snapshot(busy(requests, each={"queued": 1.0}))
    assert (kinds(snapshot) == [Kind.POOL_TOO_SMALL]) is fires


@pytest.mark.parametrize(("requests", "fires"), [(100, True), (101, False)])
def test_share_of_pool_timeouts(requests: int, *, fires: bool) -> None:
    """One in a hundred."""
    snapshot = a_snapshot(busy(requests, errors={"pool_timeout": 1}))
    assert (kinds(snapshot) == [Kind.POOL_TOO_SMALL]) is fires


@pytest.mark.parametrize(("period", "fires"), [(75.0, False), (76.0, True)])
def test_peak_counts_for_as_long_as_it_is_remembered(period: float, *, fires: bool) -> None:
    """Within that the pool was not full, so it is not too small."""
    totals = busy(each={"queued": 0.5}, peak_active=4)
    assert (kinds(a_snapshot(totals, uptime=period)) == [Kind.POOL_TOO_SMALL]) is fires


@pytest.mark.parametrize(("connecting", "fires"), [(0.8, True), (0.81, False)])
def test_half_of_the_held_time_in_connecting(connecting: float, *, fires: bool) -> None:
    """Beside 0.806 s of the rest."""
    snapshot = a_snapshot(busy(each={"connecting": connecting, "queued": 0.5}))
    assert (Kind.POOL_TOO_SMALL in kinds(snapshot)) is fires


def test_wait_of_a_second_lasts() -> None:
    """Less is a burst, as another test shows."""
    pool = a_pool([a_request("queued", 1.0)], [a_connection("active")] * 10)
    snapshot: Snapshot = a_snapshot(the_totals(), pool)
    assert found(Kind.POOL_SATURATED, snapshot).severity is Severity.WARNING


def test_bound_to_begin_with() -> None:
    """httpx's own default."""
    snapshot = a_snapshot(the_totals(), a_pool(max_connections=None))
    assert "max_connections=100)" in found(Kind.UNBOUNDED_POOL, snapshot).cure
