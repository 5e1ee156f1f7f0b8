"""The simulated pool, compared with queues calculated by hand."""

import math
from collections.abc import Iterable
from typing import Any

import pytest

from gluellm_diagnosis.replay import Recording, recording_of
from gluellm_diagnosis.what_if import what_if
from opentelemetry.instrumentation.gluellm.pool.ring import KEPT, Ring
from opentelemetry.instrumentation.gluellm.snapshots.parts import PoolSnapshot
from opentelemetry.instrumentation.gluellm.vocabulary import TICKS
from unit.pool.fakes import SECOND

from .building import Times, a_connection, a_pool, a_request, a_snapshot, by_callers, leases


def a_recording_pool(times: Iterable[Times], **changes: Any) -> PoolSnapshot:
    """A pool of 10 whose ring has these requests. The snapshot is taken 1 000 s after 0."""
    return a_pool(leases=leases(times, 1000.0), **changes)


def recording(times: Iterable[Times], **changes: Any) -> Recording:
    found = recording_of([a_recording_pool(times, **changes)])
    assert isinstance(found, Recording), found
    return found


# Ten seconds apart, six requests at once that hold for 1 s: two connections serve them in 3 s.
WAVES = [(10.0 * wave, float(i // 2), 1.0) for wave in range(10) for i in range(6)]


@pytest.mark.parametrize(
    ("size", "waited", "p50", "longest"),
    [(1, 5 / 6, 2.0, 5.0), (2, 4 / 6, 1.0, 2.0), (3, 0.5, 0.0, 1.0), (5, 1 / 6, 0.0, 1.0)],
)
def test_waves_by_hand(size, waited, p50, longest):
    replayed = recording(WAVES).replay(size)
    assert replayed.waited == pytest.approx(waited)
    assert (replayed.p50, replayed.longest) == pytest.approx((p50, longest))


def test_no_request_waits_in_a_pool_that_is_large_enough():
    for size in (6, 1000, None):
        assert str(recording(WAVES).replay(size)) == "no request waits"


def test_traffic_is_copied_shifted_by_half_of_the_time():
    """Requests of 1.2 s every 2 s: copies arrive halfway between and need a second connection."""
    found = recording([(2.0 * i, 0.0, 1.2) for i in range(61)])
    assert found.replay(1).longest == 0.0
    assert found.replay(2, traffic=2).longest == pytest.approx(0.0, abs=0.1)
    # The queue on one connection grows by 0.2 s with each arrival, until the pool timeout.
    twice = found.replay(1, traffic=2)
    assert twice.longest == pytest.approx(10.0, abs=0.1)
    assert 10 <= twice.gave_up <= 20


def test_requests_that_gave_up_have_a_demand():
    """Three requests of 2 s arrive at one connection: two give up after 0.5 s.

    A second connection serves one of these, for the mean time of the others.
    """
    times = [(4.0 * i, 0.0, 2.0) for i in range(30)]
    times += [(4.0 * i + at, 0.5, -1.0) for i in range(30) for at in (0.1, 0.2)]
    found = recording(times)
    assert found.recorded.gave_up == 60
    for size, gave_up in ((1, 60), (2, 30), (3, 0)):
        assert found.replay(size).gave_up == gave_up
    assert found.replay(1).longest == pytest.approx(0.5)
    assert str(found.replay(3)) == "no request waits"


def test_other_requests_wait_for_the_pool_timeout():
    """60 requests at once, 1 s each, on one connection: after 10 s the others have timed out."""
    found = recording([(0.0, 0.0, 1.0)] * 60, pool_timeout=10.0)
    replayed = found.replay(1)
    assert replayed.longest == pytest.approx(10.0)
    assert replayed.gave_up == 60 - 11
    assert recording([(0.0, 0.0, 1.0)] * 60, pool_timeout=None).replay(1).longest == 59.0


def test_requests_in_flight_count():
    """Hanging requests are not in the ring; here they hold all 10 connections for 60 s."""
    held = [a_request("reading", 60.0, age=60.0) for _ in range(10)]
    queued = [a_request("queued", 30.0, age=30.0) for _ in range(40)]
    found = recording([(900.0, 0.0, 1.0)], requests=(*held, *queued), pool_timeout=None)
    assert found.size == 51
    assert found.recorded.p50 == pytest.approx(30.0)
    assert found.replay(10).p50 > 30.0
    assert found.replay(50).longest == 0.0


def test_queue_from_before_the_ring_is_not_lost():
    """One connection gets a request of 1 s each second, and a burst left a queue of 20 s.

    The burst is no longer in the ring. With one connection the queue stays; with two it drains.
    """
    times = [(float(i), 20.3, 1.0) for i in range(200)]
    found = recording(times, pool_timeout=None)
    assert found.replay(1).p50 == pytest.approx(20.3, abs=0.1)
    assert found.replay(2).p50 == 0.0


def test_fixed_number_of_callers_sends_when_it_is_answered():
    """20 callers on 10 connections, 1 s each: with 5 connections a call waits 3 s, and no longer.

    With the recorded arrivals, ten a second, the queue would grow forever.
    """
    found = recording(by_callers(20, 10, 1.0, 600))
    assert found.callers == 20
    assert found.replay(10).p50 == pytest.approx(1.0, abs=0.1)
    assert found.replay(5).p95 == pytest.approx(3.0, abs=0.1)
    assert found.replay(20).longest == 0.0
    assert found.replay(20, traffic=2).p50 == pytest.approx(1.0, abs=0.1)


# The size to advise


def test_size_without_a_queue_is_advised_with_a_reserve():
    """The advice is the smallest size plus its square root, at most all requests at once."""
    assert recording(WAVES, max_connections=2).needed() == 6
    assert recording(WAVES, max_connections=6).needed() is None
    # One each second for 7.9 s needs 8. A burst of 12 among 600 needs 20, but may wait a little.
    times = [(float(i), 0.0, 7.9) for i in range(600)] + [(300.0, 0.0, 2.0)] * 12
    found = recording(times, max_connections=4)
    smallest = next(size for size in range(4, 21) if found.has_no_queue(size))
    assert 10 < smallest < 18
    assert found.needed() == smallest + math.isqrt(smallest)


def test_size_is_also_for_requests_that_gave_up():
    """Four at a time, of which three give up one after the other."""
    times = [(4.0 * i, 0.0, 2.0) for i in range(30)]
    times += [(4.0 * i + at, 0.1, -1.0) for i in range(30) for at in (0.2, 0.4, 0.6)]
    found = recording(times, max_connections=1)
    assert (found.at_once, found.needed()) == (2, 4)


# Where there is no replay


@pytest.mark.parametrize(
    ("pools", "reason"),
    [
        ([a_recording_pool(WAVES)] * 2, "2 live pools of this name"),
        ([a_recording_pool(WAVES, library="grpc")], "gRPC channel has no limit"),
        (
            [a_recording_pool(WAVES, connections=(a_connection(protocol="2"),))],
            "share HTTP/2 connections",
        ),
        (
            [
                a_recording_pool(
                    WAVES,
                    connections=(a_connection(), a_connection(origin="b.test:443")),
                    max_connections_per_origin=5,
                )
            ],
            "the pool limits each origin",
        ),
        ([a_recording_pool(WAVES[:49])], "a replay needs 50 requests of this pool (recorded: 49)"),
        ([a_recording_pool([(0.0, 1.0, -1.0)] * 60)], "released its connection (recorded: 0)"),
        (
            [a_recording_pool(WAVES, requests=(a_request(number=10**6),))],  # of a hostile file
            "1000000 requests in flight, more than a replay reads",
        ),
    ],
)
def test_reason_where_there_is_no_replay(pools, reason):
    snapshot = a_snapshot((), *pools)
    (found,) = what_if(snapshot, max_connections=20)
    assert reason in found.reason
    assert found.replayed is None
    assert str(found).startswith(f"{pools[0].label}: no replay: ")


def test_what_if_shows_recorded_and_replayed_waits():
    snapshot = a_snapshot((), a_recording_pool(WAVES, max_connections=2))
    (found,) = what_if(snapshot, max_connections=3)
    assert str(found).splitlines() == [
        "openai/httpx2: 60 requests in 90 s",
        "  recorded with max_connections=2: 67% wait (p50 1.0 s, p95 2.0 s, p99 2.0 s)",
        "  with max_connections=3: 50% wait (p50 0 s, p95 1.0 s, p99 1.0 s)",
    ]
    (found,) = what_if(snapshot, traffic=2)
    assert "  with max_connections=2, 2 x the traffic: 7" in str(found)


@pytest.mark.parametrize(("age", "counts"), [(300.0, True), (1.0, False)])
def test_what_if_names_connections_that_are_held_for_longer_than_any_before(age, counts):
    """A leak fills any limit. The replay ends now, so it cannot show that; 1 s is a usual time."""
    held = [a_request("unread", age), a_request("unread", age - 0.5), a_request("queued", 400.0)]
    (found,) = what_if(a_snapshot((), a_recording_pool(WAVES, requests=held)), max_connections=40)
    text = "\n  still held: 2 connections, the oldest for 300 s; their release is unknown"
    assert str(found).endswith(f": no request waits{text if counts else ''}")
    assert found.unended == ((300.0, 299.5) if counts else ())


@pytest.mark.parametrize("values", [{"max_connections": 0}, {"traffic": 11}, {"traffic": 0}])
def test_values_out_of_range_are_refused(values):
    with pytest.raises(ValueError, match="allowed are 1 to"):
        what_if(a_snapshot(), **values)


# The ring


def test_ring_keeps_the_last_requests(scene):
    """Each ended request is recorded once: age, wait, hold. One that gave up has no hold."""
    lease = scene.acquire()
    scene.clock.advance(2)
    scene.serve(lease)
    lease.account()
    lease.account()
    waiter = scene.queue()
    scene.clock.advance(3)
    scene.tracker.failed(waiter, "pool_timeout")
    waiter.account()
    scene.tracker.discard_lease(scene.enter())
    ring, pool = scene.ledger.ring, scene.tracker.tracked_at
    ticks = [TICKS * n for n in (5, 0, 2, 3, 3)]
    assert [*ring.times(pool, scene.clock())] == [*ticks, -1]
    assert not ring.times(pool + 1, scene.clock())  # another pool of the name
    assert not ring.times(pool, scene.clock() + 10**6 * SECOND)  # eleven days later
    for _ in range(KEPT):
        lease = scene.acquire()
        scene.serve(lease)
        lease.account()
    assert len(ring.times(pool, scene.clock())) == 3 * KEPT
    assert -1 not in ring.times(pool, scene.clock())
    assert len(Ring().times(0, 0)) == 0


def test_requests_that_ended_in_the_period_are_replayed():
    """With a long queue, none of them arrived in the period."""
    times = [(0.1 * n, 40.0, 1.0) for n in range(100)]
    pool = a_pool(leases=leases(times, 60.0))
    assert isinstance(recording_of([pool], 20.0), Recording)
    assert str(recording_of([pool], 10.05)).count("(recorded: 10)") == 2
