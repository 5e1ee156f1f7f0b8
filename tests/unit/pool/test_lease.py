"""A lease on a fake clock: phases, times, and that nothing happens after its end."""

from __future__ import annotations

import itertools

import pytest

from opentelemetry.instrumentation.gluellm.pool.lease import (
    AWAITING_RESPONSE,
    CONNECTING,
    PHASES,
    QUEUED,
    READING,
    STREAM_QUEUED,
    UNREAD,
)
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from unit.pool.fakes import SECOND, Scene

ALL = (QUEUED, CONNECTING, STREAM_QUEUED, AWAITING_RESPONSE, READING, UNREAD)


def test_lease_is_in_exactly_one_phase_queued_at_first(scene: Scene) -> None:
    """A phase's number is its place in the contract's list; its age counts from its beginning."""
    assert PHASES == semconv.PHASES
    assert [PHASES[phase] for phase in ALL] == list(PHASES)
    lease = scene.enter()
    assert lease.phase == QUEUED
    assert scene.current() == [1, 0, 0, 0, 0, 0]
    for before, after in itertools.permutations(ALL, 2):
        scene.clock.advance(2)
        lease.enter(before, scene.clock())
        lease.enter(after, scene.clock())
        entered = scene.clock()
        scene.clock.advance(3)
        assert sum(scene.current()) == scene.current()[after] == 1
        assert (lease.phase, lease.phase_since) == (after, entered)


def test_phases_add_up_to_the_whole_time(scene: Scene) -> None:
    """Each nanosecond between entering and the end is in one phase, and no other."""
    entered = scene.clock()
    lease = scene.enter()
    for step, phase in enumerate((*ALL[1:], READING, UNREAD, READING), start=1):
        scene.clock.now += 7 * step + 1
        lease.enter(phase, scene.clock())
    scene.clock.now += 11
    scene.tracker.released(lease)
    scene.clock.advance(100)
    times = scene.times()
    assert sum(times) == lease.ended_at - entered
    assert times[QUEUED] == 8
    assert scene.current() == [0] * 6


def test_lease_ends_once_and_enters_no_phase_then(scene: Scene) -> None:
    """A read that returns after the response was closed changes nothing, nor does a second end."""
    lease = scene.enter()
    scene.clock.advance(1)
    scene.tracker.released(lease)
    ended_at = lease.ended_at
    scene.clock.advance(5)
    lease.enter(UNREAD, scene.clock())
    scene.tracker.released(lease)
    assert scene.current() == [0] * 6
    assert (lease.ended_at, lease.phase) == (ended_at, QUEUED)
    assert scene.times() == [SECOND, 0, 0, 0, 0, 0]


def test_immediate_acquire_took_exactly_nothing(scene: Scene) -> None:
    """Whatever our own clock reads meanwhile, a request that never stood in the queue waited 0."""
    lease = scene.enter()
    scene.clock.now += 1234
    scene.tracker.assigned(lease, scene.connection(established=True))
    assert lease.acquire_time == 0
    assert lease.acquired_at == lease.entered_at
    assert scene.times()[QUEUED] == 0


@pytest.mark.parametrize("end", ["assigned", "failed", "ended"])
def test_wait_lasts_until_the_assignment_or_the_end(scene: Scene, end: str) -> None:
    """The time to acquire ends at the assignment, or where there was none at the request's end."""
    lease = scene.enter()
    scene.tracker.waiting(lease)
    scene.clock.advance(2.5)
    if end == "assigned":
        scene.tracker.assigned(lease, scene.connection(established=True))
    elif end == "failed":
        scene.tracker.failed(lease, "pool_timeout")
    else:
        scene.tracker.released(lease)
    scene.clock.advance(1)
    assert lease.acquire_time == 2.5 * SECOND
