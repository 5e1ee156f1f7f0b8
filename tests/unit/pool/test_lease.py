"""A lease on a fake clock: phases, times, and no effects after its end."""

import itertools

from opentelemetry.instrumentation.gluellm.vocabulary import (
    AWAITING_RESPONSE,
    CONNECTING,
    PHASES,
    QUEUED,
    READING,
    STREAM_QUEUED,
    UNREAD,
)
from unit.pool.fakes import SECOND

ALL = (QUEUED, CONNECTING, STREAM_QUEUED, AWAITING_RESPONSE, READING, UNREAD)


def test_lease_is_in_exactly_one_phase_queued_at_first(scene):
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
    spent = scene.times()
    scene.tracker.released(lease)
    scene.clock.advance(5)
    lease.enter(QUEUED, scene.clock())  # a late one changes nothing
    assert (scene.times(), lease.phase) == (spent, after)


def test_latest_answers_and_failures_are_kept_with_their_times(scene):
    """Twenty answers per second are kept, and a sample of them for longer."""
    begun = scene.clock()
    for status, pause in ((200, 1.0), (200, 9.0), (429, 1.0)):
        lease = scene.acquire()
        scene.clock.advance(2)
        scene.tracker.answered(lease, status)
        scene.clock.advance(pause)
        scene.tracker.released(lease)
        scene.drain()
    queued = scene.queue()
    scene.clock.advance(8)
    scene.tracker.failed(queued, "cancelled")
    scene.drain()
    ends = [(at - begun) / SECOND for at, *_ in scene.ledger.answered]
    assert ends == [3, 14]
    assert [times[2:4] for times in scene.ledger.answered] == [
        (2 * SECOND, SECOND),
        (2 * SECOND, 9 * SECOND),
    ]
    assert [*scene.ledger.sampled] == [*scene.ledger.answered]
    for _ in range(25):  # at the same moment
        scene.serve(scene.acquire())
    scene.clock.advance(1)
    scene.serve(scene.acquire())
    scene.drain()
    assert [number for *_, number, _, _ in scene.ledger.answered] == [1] * 22 + [6]
    assert len(scene.ledger.sampled) == 4
    kept = [(result, age / SECOND, phase) for _, result, age, phase, *_ in scene.ledger.failed]
    assert kept == [(429, 3, UNREAD), ("cancelled", 8, QUEUED)]


def test_exception_from_before_the_answer_cuts_nothing(scene):
    """A fallback to another provider runs while the first one's exception is handled."""
    cut = []
    for raised_before in (True, False):
        lease = scene.acquire()
        try:
            if not raised_before:
                scene.tracker.answered(lease, 200)
            raise TimeoutError
        except TimeoutError as error:
            if raised_before:
                scene.tracker.answered(lease, 200)
            lease.note_cut(error)
        cut.append(lease.cut_by)
        scene.tracker.released(lease)
    assert cut == [None, "TimeoutError"]
    lease = scene.acquire()
    scene.tracker.answered(lease, 429)
    lease.note_cut(ValueError())
    assert lease.cut_by is None  # the request was refused
