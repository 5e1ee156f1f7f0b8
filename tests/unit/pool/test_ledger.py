"""Time and counts as plain numbers, on a fake clock."""

from __future__ import annotations

import random

import pytest

from opentelemetry.instrumentation.gluellm.pool.lease import AWAITING_RESPONSE, QUEUED
from opentelemetry.instrumentation.gluellm.pool.ledger import (
    Bound,
    OriginLedger,
    Peak,
    PoolLedger,
)
from unit.pool.fakes import SECOND, Scene

WINDOW = 75 * SECOND


def pool_ledger(outcomes: int = 100) -> PoolLedger:
    """A ledger of its own."""
    return PoolLedger("openai", "openai", "httpx2", window=WINDOW, now=0, outcomes=Bound(outcomes))


# Peaks


def test_peak_is_the_highest_value_of_the_window() -> None:
    """A spike between two collections is seen, though it is over when somebody reads."""
    peak = Peak(WINDOW, 0)
    for value in (1, 1, 1, -1, -1):
        peak.change(value, SECOND)
    assert peak.value == 1
    assert peak.highest(2 * SECOND) == 3
    assert peak.highest(SECOND + WINDOW) == 3


def test_peak_forgets_what_is_older_than_the_window() -> None:
    """A spike is reported for a window, and for less than two fifths of one more."""
    peak = Peak(WINDOW, 0)
    peak.change(5, SECOND)
    peak.change(-4, SECOND)
    assert peak.highest(SECOND + WINDOW + 2 * WINDOW // 5) == 1


def test_peak_of_a_value_that_holds_stays() -> None:
    """Nothing changes for many windows: what holds is the highest still."""
    peak = Peak(WINDOW, 0)
    peak.change(4, SECOND)
    assert peak.highest(50 * WINDOW) == 4
    peak.change(-4, 60 * WINDOW)
    assert peak.highest(60 * WINDOW + SECOND) == 4
    assert peak.highest(62 * WINDOW) == 0


def test_readers_of_a_peak_do_not_disturb_each_other() -> None:
    """A reader that comes every second leaves the spike to one that comes every minute."""
    peak = Peak(WINDOW, 0)
    peak.change(7, 3 * SECOND)
    peak.change(-7, 3 * SECOND)
    for second in range(4, 60):
        assert peak.highest(second * SECOND) == 7
        assert peak.highest(second * SECOND) == 7
    assert peak.highest(60 * SECOND) == 7


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("timed", [True, False])
def test_peak_covers_the_window_between_collections(seed: int, timed: bool) -> None:
    """Against all that happened: never less than the window's highest, nor what is long past.

    Collections come at least every four fifths of a window, as the setting demands. A fall may
    happen in a finalizer, which only subtracts: then the last collection is what is sure to see it.
    """
    chance = random.Random(seed)
    peak = Peak(WINDOW, 0)
    history = [(0, 0)]
    now = collected = 0

    def most_since(begin: int) -> int:
        values = [value for time, value in history if time >= begin]
        before = [value for time, value in history if time < begin]
        return max(values + before[-1:])

    for _ in range(300):
        collection = now + chance.randrange(SECOND, WINDOW * 4 // 5)
        while (now := now + chance.randrange(0, 30 * SECOND)) < collection:
            value = history[-1][1]
            by = 1 if value == 0 or chance.random() < 0.5 else -1
            if by < 0 and not timed:
                peak.value -= 1
            else:
                peak.change(by, now)
            history.append((now, value + by))
        now = collection
        highest = peak.highest(now)
        assert highest >= most_since(now - WINDOW if timed else collected)
        collected = now
        assert highest <= most_since(now - WINDOW - 2 * WINDOW // 5 - 5)


def test_peak_with_a_tiny_window() -> None:
    """A window shorter than its slices can be still works."""
    peak = Peak(1, 0)
    peak.change(2, 0)
    peak.change(-2, 100)
    assert peak.highest(100) == 2
    assert peak.highest(200) == 0


# Time by phase


def test_time_in_a_phase_moves_while_a_request_hangs() -> None:
    """Running leases count as they run, so a hang is seen before it is over."""
    scene = Scene()
    scene.enter()
    scene.clock.advance(10)
    assert scene.times()[QUEUED] == 10 * SECOND
    scene.clock.advance(10)
    assert scene.times()[QUEUED] == 20 * SECOND


def test_time_in_a_phase_is_the_same_before_and_after_it_ends() -> None:
    """A lease that leaves a phase leaves its time there: the counter neither jumps nor falls."""
    scene = Scene()
    first, second = scene.enter(), scene.enter()
    scene.clock.advance(4)
    running = scene.times()[QUEUED]
    first.enter(AWAITING_RESPONSE, scene.clock())
    assert scene.times()[QUEUED] == running == 8 * SECOND
    scene.tracker.failed(second, "cancelled")
    assert scene.times()[QUEUED] == running


def test_time_by_phase_never_falls_over_many_leases() -> None:
    """Whole nanoseconds: the sums of thousands of leases are exact."""
    scene = Scene()
    chance = random.Random(1)
    before = [0] * 6
    spent = 0
    leases = []
    for _ in range(1000):
        moved = chance.randrange(1, SECOND)
        spent += moved * len(leases)
        scene.clock.now += moved
        lease = chance.choice(leases) if leases else None
        if lease is None or chance.random() < 0.4:
            leases.append(scene.enter())
        elif chance.random() < 0.4:
            scene.tracker.released(lease)
            leases.remove(lease)
        else:
            lease.enter(chance.randrange(6), scene.clock())
        times = scene.times()
        assert all(now >= then for now, then in zip(times, before, strict=True))
        assert sum(times) == spent
        before = times


# Requests


def test_requests_count_by_the_way_they_left() -> None:
    """Status, error and resend tell requests apart."""
    origin = OriginLedger(pool_ledger(), "api.test", 443)
    origin.requests[origin.outcome(200, None, False)] += 1
    origin.requests[origin.outcome(200, None, False)] += 1
    origin.requests[origin.outcome(200, None, True)] += 1
    origin.requests[origin.outcome(0, "pool_timeout", False)] += 1
    assert {way: number for way, number in origin.requests.items() if number} == {
        (200, None, False): 2,
        (200, None, True): 1,
        (0, "pool_timeout", False): 1,
    }


def test_failures_to_connect_are_born_at_zero_within_the_bound() -> None:
    """An alert can't see a series that is born at 1; nor may those of all origins overflow."""
    bound = Bound(6)
    ledger = PoolLedger("a", None, "httpx", window=WINDOW, now=0, outcomes=bound)
    first, second = (OriginLedger(ledger, host, 443) for host in ("a.test", "b.test"))
    assert set(first.requests.values()) == {0}
    assert (0, "connect_timeout", False) in first.requests
    assert second.requests == {}
    first.requests[first.outcome(0, "connect_timeout", False)] += 1
    assert bound.left == 2


def test_ways_to_leave_are_bounded_over_all_ledgers() -> None:
    """A server that answers with any number it likes fills no store: the rest is one series."""
    bound = Bound(3)
    ledgers = [
        PoolLedger(name, None, "httpx", window=WINDOW, now=0, outcomes=bound) for name in "ab"
    ]
    first, second = (OriginLedger(ledger, "api.test", 443) for ledger in ledgers)
    for status in (200, 201):
        first.requests[first.outcome(status, None, False)] += 1
    for status in (200, 300, 301, 302):
        second.requests[second.outcome(status, None, False)] += 1
    first.requests[first.outcome(200, None, False)] += 1
    first.requests[first.outcome(404, None, False)] += 1
    assert first.requests == {(200, None, False): 2, (201, None, False): 1, (0, "_OTHER", False): 1}
    assert second.requests == {(200, None, False): 1, (0, "_OTHER", False): 3}


def test_no_request_is_lost_beyond_the_bound() -> None:
    """What has no series of its own still counts."""
    origin = OriginLedger(pool_ledger(outcomes=5), "api.test", 443)
    for status in range(200, 300):
        origin.requests[origin.outcome(status, None, False)] += 1
    assert sum(origin.requests.values()) == 100


def test_closed_connections_count_by_reason() -> None:
    """Each reason has its own number."""
    ledger = pool_ledger()
    for reason in ("evicted", "pool_closed", "evicted"):
        ledger.connection_closed(reason)
    assert ledger.closed == {"evicted": 2, "pool_closed": 1}


def test_new_ledger_has_no_time() -> None:
    """All phases start at 0, whatever the clock says."""
    assert Scene().times() == [0] * 6
