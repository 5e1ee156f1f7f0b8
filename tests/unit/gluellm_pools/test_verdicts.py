"""Verdicts on a pool's numbers."""

import pytest

from gluellm_pools.verdicts import severity, verdict
from gluellm_pools.view import PoolView

QUEUEING = {"queued": 6.0, "awaiting_response": 3.0, "reading": 1.0}


def full(**more) -> PoolView:
    """Two of two connections taken, and requests that queue most of their time."""
    return PoolView(active=2, maximum=2, **{"seconds_by_phase": QUEUEING, "requests": 9, **more})


LATE = {"queued": 5.0, "unread": 3.0, "reading": 2.0}
CHANNELS = PoolView(channels={"connecting": 1}, seconds_by_phase={"connecting": 3.0})
SAID = {
    "gluellm-pools doctor names the line": full(leaks_suspected=1),
    "HTTP/2 streams of ended requests": full(streams_orphaned=1),
    "one client": PoolView(pools_opened=10, requests=19),
    "instead of reused": full(seconds_by_phase={"connecting": 3.0, "queued": 7.0}),
    "channels that are not connected": CHANNELS,
    "not yet read": full(seconds_by_phase=LATE),
    "a slow consumer, or a leak": full(requests=0, by_phase={"unread": 2, "queued": 3}),
    "45 s for an answer so far": full(oldest={"awaiting_response": 45.0}),
    "does not answer in time": full(timeouts={"read": 3}),
    "calls hold them all (20 s): a small pool, or a slow": full(oldest={"reading": 20.0}),
    "young calls (2.0 s) hold them all: the pool is too small": full(oldest={"reading": 2.0}),
}


@pytest.mark.parametrize("said", SAID)
def test_numbers_are_read_as_the_table_of_phases_has_it(said):
    """One for each line of it; every text fits beside a label in 80 columns."""
    text = verdict(SAID[said])
    assert said in text
    assert len(text) <= 80 - 14


@pytest.mark.parametrize(
    "pool",
    [
        PoolView(),
        PoolView(active=1, maximum=2, seconds_by_phase=QUEUEING),  # not full
        PoolView(active=9, seconds_by_phase=QUEUEING),  # no limit
        PoolView(active=2, maximum=2, seconds_by_phase={"reading": 5.0, "queued": 0.4}),
        PoolView(pools_opened=10, requests=30),
        # Read late, and nobody waits.
        PoolView(active=1, maximum=2, seconds_by_phase={"unread": 3.0, "reading": 1.0}),
        # Too few requests, or too little time, for a slow consumer; and the pool is not full.
        PoolView(active=1, maximum=2, seconds_by_phase=LATE, requests=4),
        PoolView(active=1, maximum=2, seconds_by_phase=LATE, requests=40),
    ],
)
def test_numbers_without_a_problem_have_no_verdict(pool):
    assert verdict(pool) is None


def test_late_event_loop_suppresses_verdicts_on_times():
    """It makes the pool look small and the provider slow. Leaks are still reported."""
    assert verdict(full(), doubtful=True) is None
    assert verdict(full(leaks_suspected=1), doubtful=True)


def test_pools_are_ordered_by_severity():
    """Leaks, stuck streams, timeouts, long waits, waits; in steps, for a stable order."""
    worst_first = [
        full(leaks_suspected=1),
        full(streams_orphaned=1),
        full(timeouts={"pool": 1}),
        full(oldest={"queued": 12.0}),
        full(oldest={"queued": 2.0}),
        PoolView(),
    ]
    assert sorted(worst_first, key=severity) == worst_first[::-1]
    assert [any(severity(pool)) for pool in worst_first] == [True, True, True, True, True, False]
    assert severity(full(leaks_suspected=1)) == severity(full(leaks_suspected=7))
    assert severity(full(oldest={"queued": 2.0})) == severity(full(oldest={"queued": 4.0}))
    assert severity(full(oldest={"queued": 12.0})) == severity(full(oldest={"queued": 14.0}))
