"""A lease on a fake clock: phases, times, and that nothing happens after its end."""

from __future__ import annotations

import itertools

from opentelemetry.instrumentation.gluellm.pool.phases import (
    AWAITING_RESPONSE,
    CONNECTING,
    PHASES,
    QUEUED,
    READING,
    STREAM_QUEUED,
    UNREAD,
)
from unit.pool.fakes import SECOND, Scene

ALL = (QUEUED, CONNECTING, STREAM_QUEUED, AWAITING_RESPONSE, READING, UNREAD)


def test_lease_is_in_exactly_one_phase_queued_at_first(scene: Scene) -> None:
    """A phase's number is its index in the contract's list; its age starts with the phase."""
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


def test_lease_ends_once_and_enters_no_phase_then(scene: Scene) -> None:
    """A late read and a second end change nothing."""
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
