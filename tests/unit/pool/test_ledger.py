"""Time and counts as plain numbers, on a fake clock."""

import random

import pytest

from opentelemetry.instrumentation.gluellm.pool.ledger import Bound, OriginLedger, PoolLedger
from opentelemetry.instrumentation.gluellm.pool.peak import Peak
from unit.pool.fakes import SECOND

WINDOW = 75 * SECOND


# Peaks


def change(peak: Peak, by: int, now: int) -> None:
    peak.raise_to(peak.value + by, now)
    peak.value += by


@pytest.mark.parametrize(
    ("changes", "highest"),
    [
        ([(1, 1), (1, 1), (1, 1), (-1, 1), (-1, 1)], {2: 3, 1 + 75: 3}),
        ([(5, 1), (-4, 1)], {1 + 75 + 30: 1}),  # two fifths of a window more
        ([(4, 1)], {50 * 75: 4}),  # a value that stays is still the highest
        ([(4, 1), (-4, 60 * 75)], {60 * 75 + 1: 4, 62 * 75: 0}),
        ([(7, 3), (-7, 3)], dict.fromkeys(range(4, 61), 7)),  # readers don't disturb each other
    ],
)
def test_peak_is_the_highest_value_of_the_window(changes, highest):
    """A spike between two collections is included."""
    peak = Peak(WINDOW, 0)
    for by, second in changes:
        change(peak, by, second * SECOND)
    assert peak.value == sum(by for by, _ in changes)
    for second, value in highest.items():
        assert peak.highest(second * SECOND) == peak.highest(second * SECOND) == value
    tiny = Peak(1, 0)  # a window shorter than its slices can be
    change(tiny, 2, 0)
    change(tiny, -2, 100)
    assert (tiny.highest(100), tiny.highest(200)) == (2, 0)


def test_peak_turns_once_when_a_signal_handler_turns_it_meanwhile():
    """CPython runs signal handlers where it multiplies integers of more than 30 bits."""

    class Interrupted(int):
        def __rmul__(self, other):
            peak._width = int(self)
            peak.turn(now)
            return other * int(self)

    now = WINDOW // 2
    peak, undisturbed = Peak(WINDOW, 0), Peak(WINDOW, 0)
    for one in (peak, undisturbed):
        change(one, 3, 0)
        change(one, -3, 0)
    peak._width = Interrupted(peak._width)
    for one in (peak, undisturbed):
        one.turn(now)
    assert (peak.end, peak.high, peak._slices) == (
        undisturbed.end,
        undisturbed.high,
        undisturbed._slices,
    )


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("timed", [True, False])
def test_peak_covers_the_window_between_collections(seed, timed):
    """It is compared with all values: at least the window's highest, and not older ones.

    Collections come at least every four fifths of a window, as the setting requires. A fall may
    happen in a finalizer, which only subtracts: then only the last collection is sure to see it.
    """
    chance = random.Random(seed)
    peak = Peak(WINDOW, 0)
    history = [(0, 0)]
    now = collected = 0

    def most_since(begin):
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
                change(peak, by, now)
            history.append((now, value + by))
        now = collection
        highest = peak.highest(now)
        assert highest >= most_since(now - WINDOW if timed else collected)
        collected = now
        assert highest <= most_since(now - WINDOW - 2 * WINDOW // 5 - 5)


# Time by phase


def test_time_by_phase_never_falls_over_many_leases(scene):
    """Whole nanoseconds: the sums of thousands of leases are exact."""
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


def test_failures_to_connect_are_born_at_zero_within_the_bound():
    """An alert can't see a series that starts at 1. The series of all origins are bounded."""
    bound = Bound(6)
    ledger = PoolLedger("a", None, "httpx", window=WINDOW, now=0, outcomes=bound)
    first, second = (OriginLedger(ledger, host, 443) for host in ("a.test", "b.test"))
    assert set(first.requests.values()) == {0}
    assert (0, "connect_timeout", False) in first.requests
    assert second.requests == {}
    first.requests[first.outcome(0, "connect_timeout", False)] += 1
    assert bound.left == 2


def test_outcomes_are_bounded_over_all_ledgers_and_no_request_is_lost():
    """A server can answer with any status. Outcomes beyond the bound are one series."""
    bound = Bound(3)
    ledgers = [
        PoolLedger(name, None, "httpx", window=WINDOW, now=0, outcomes=series)
        for name, series in (("a", bound), ("b", bound), ("c", Bound(100)))
    ]
    first, second, whole = (OriginLedger(ledger, "api.test", 443) for ledger in ledgers)
    for origin, statuses in ((first, (200, 201)), (second, range(200, 302)), (first, (200, 404))):
        for status in statuses:
            origin.requests[origin.outcome(status, None, False)] += 1
    assert first.requests == {(200, None, False): 2, (201, None, False): 1, (0, "_OTHER", False): 1}
    assert second.requests == {(200, None, False): 1, (0, "_OTHER", False): 101}
    for resend in (False, True):
        whole.requests[whole.outcome(200, None, resend)] += 1
    assert whole.requests[200, None, False] == whole.requests[200, None, True] == 1
