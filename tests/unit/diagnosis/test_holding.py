"""Connections that are held and don't work."""

from __future__ import annotations

import dataclasses

import pytest

from opentelemetry.instrumentation.gluellm.diagnosis.findings import Kind, Severity
from opentelemetry.instrumentation.gluellm.diagnosis.snapshot import RequestSnapshot, Snapshot
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


def leaked(age: float = 80.0, place: str = "/srv/app/chat.py:17 in answer") -> RequestSnapshot:
    return a_request("unread", age, leak_suspected=True, place=place, trace_id="ab" * 16)


def test_leak_names_model_place_and_time() -> None:
    """What a person needs to find the line of code."""
    pool = a_pool([leaked(70.0), leaked(80.0), leaked(65.0, "/srv/app/other.py:3 in go")])
    finding = found(Kind.LEAK, a_snapshot(the_totals(leaks=3), pool))
    assert finding.severity is Severity.WARNING
    assert finding.seen == (
        "3 of 10 connections held by answers that nobody has read for 60 s or more: 2 x "
        "openai/gpt-4o from /srv/app/chat.py:17 in answer (unread for 80 s, trace "
        "abababababababababababababababab); openai/gpt-4o from /srv/app/other.py:3 in go (unread "
        "for 65 s, trace abababababababababababababababab)."
    )
    assert "contextlib.aclosing(stream)" in finding.cure


def test_leak_explains_the_queue() -> None:
    """A larger pool would only leak more."""
    pool = a_pool([leaked()] * 10 + [a_request("queued", 20.0)], [a_connection("active")] * 10)
    totals = the_totals(100, {"queued": 1.0, "unread": 8.0}, peak_active=10, peak_queued=9)
    snapshot = a_snapshot(totals, pool)
    assert kinds(snapshot) == [Kind.LEAK]
    assert found(Kind.LEAK, snapshot).severity is Severity.ERROR


def test_unread_answers_are_no_leak_until_they_are_called_one() -> None:
    """The threshold is the watch's, and there is one place that applies it."""
    pool = a_pool([a_request("unread", 59.0)])
    assert not all_kinds(a_snapshot(the_totals(), pool))


def test_leaks_that_came_back_are_past() -> None:
    """Those of the interval; what was known at `previous` is old news."""
    before = a_snapshot(the_totals(leaks=2), uptime=50.0)
    snapshot = a_snapshot(the_totals(leaks=3))
    assert "1 connection had been held unread" in found(Kind.LEAK, snapshot, before).seen
    assert not kinds(a_snapshot(the_totals(leaks=2)), before)


def test_many_places_are_counted() -> None:
    """The first three, and how many more."""
    pool = a_pool([leaked(place=f"a{number}.py:1 in f") for number in range(5)])
    seen = found(Kind.LEAK, a_snapshot(the_totals(leaks=5), pool)).seen
    assert seen.endswith("; and 2 more places.")


@pytest.mark.parametrize(("unread", "fires"), [(0.33, False), (0.36, True)])
def test_slow_consumer_by_its_share(unread: float, *, fires: bool) -> None:
    """From three tenths of the held time on."""
    assert (kinds(a_snapshot(the_totals(each={"unread": unread}))) == [Kind.SLOW_CONSUMER]) is fires


def test_large_share_of_next_to_nothing_is_no_slow_consumer() -> None:
    """A busy loop reads a short answer a few milliseconds late."""
    quick = {"awaiting_response": -0.28, "reading": -0.48}
    assert not kinds(a_snapshot(the_totals(each={**quick, "unread": 0.09})))
    assert kinds(a_snapshot(the_totals(each={**quick, "unread": 0.1}))) == [Kind.SLOW_CONSUMER]


def test_few_requests_are_no_slow_consumer() -> None:
    """Four may be one caller with a reason."""
    assert not kinds(a_snapshot(the_totals(4, {"unread": 5.0})))
    assert kinds(a_snapshot(the_totals(5, {"unread": 5.0}))) == [Kind.SLOW_CONSUMER]


def test_what_lies_unread_now_is_not_counted() -> None:
    """It may never be read."""
    pool = a_pool([a_request("unread", 50.0)] * 2)
    totals = the_totals(100, {"unread": 1.0}, now={"unread": 2})
    assert not kinds(a_snapshot(totals, pool))


def test_slow_consumer_explains_the_queue() -> None:
    """Connections are held by the application."""
    totals = the_totals(100, {"unread": 2.0, "queued": 3.0}, peak_active=10, peak_queued=9)
    assert kinds(a_snapshot(totals)) == [Kind.SLOW_CONSUMER]


def multiplexed(orphaned: int, active: int = 5, waiting: float = 0.0) -> Snapshot:
    connection = a_connection(
        "active", protocol="2", streams_active=active, streams_max=100, streams_orphaned=orphaned
    )
    requests = [a_request("stream_queued", waiting)] if waiting else []
    return a_snapshot(the_totals(), a_pool(requests, [connection]))


@pytest.mark.parametrize(("orphaned", "fires"), [(0, False), (9, False), (10, True)])
def test_orphaned_streams(orphaned: int, *, fires: bool) -> None:
    """From a tenth of the limit on: a few cancelled requests are normal."""
    assert (kinds(multiplexed(orphaned)) == [Kind.HTTP2_STUCK]) is fires


def test_failures_for_want_of_a_stream_are_no_reuse_failures() -> None:
    """httpcore raises "Max outbound streams is 100, 100 open" on the reused connection."""
    totals = the_totals(100, errors={"protocol_error": 5}, origin={"reuse_failures": 5})
    snapshot = dataclasses.replace(multiplexed(50), totals=(totals,))
    assert kinds(snapshot) == [Kind.HTTP2_STUCK]


def test_waiting_for_an_orphaned_stream_is_an_error() -> None:
    """Nobody gives it back."""
    finding = found(Kind.HTTP2_STUCK, multiplexed(40, 60, 8.0))
    assert finding.severity is Severity.ERROR
    assert finding.seen == (
        "40 of 100 HTTP/2 streams are orphaned, on 1 connection of at most 10; 1 request waiting "
        "for a stream, the longest for 8.0 s."
    )
    assert "http2=False" in finding.cure


@pytest.mark.parametrize(
    ("active", "waiting", "fires"), [(100, 4.9, False), (99, 8.0, False), (100, 5.0, True)]
)
def test_full_connection(active: int, waiting: float, *, fires: bool) -> None:
    """All streams taken, and a request that has waited for long."""
    assert (kinds(multiplexed(0, active, waiting)) == [Kind.HTTP2_STUCK]) is fires


def test_blocked_loop_makes_streams_wait() -> None:
    """Orphans are orphans; waiting may be the loop's."""
    full = a_connection(
        "active", protocol="2", streams_active=100, streams_max=100, streams_orphaned=0
    )
    pool = a_pool([a_request("stream_queued", 5.0)], [full])
    assert kinds(a_snapshot(the_totals(), pool, **BLOCKED)) == [Kind.BLOCKED_EVENT_LOOP]
    pool = a_pool([a_request("stream_queued", 5.1)], [full])
    assert Kind.HTTP2_STUCK in kinds(a_snapshot(the_totals(), pool, **BLOCKED))
