"""Connections that are assigned to several requests, but accept only one."""

import pytest

from opentelemetry.instrumentation.gluellm.adapters.httpcore.tracker import HttpcoreTracker
from opentelemetry.instrumentation.gluellm.pool import tracker
from opentelemetry.instrumentation.gluellm.pool.call import Call
from opentelemetry.instrumentation.gluellm.pool.describe import holders
from opentelemetry.instrumentation.gluellm.pool.lease import Lease, TrackedConnection, Wait
from opentelemetry.instrumentation.gluellm.vocabulary import AWAITING_RESPONSE, QUEUED, UNREAD
from unit.pool.fakes import SECOND, Scene


@pytest.fixture
def scene() -> Scene:
    """One pool of httpcore on a fake clock."""
    return Scene(kind=HttpcoreTracker)


def idle_connection(scene: Scene) -> TrackedConnection:
    """An idle connection that reports which request it accepts."""
    connection = scene.connection(established=True)
    connection.reports_accept = True
    return connection


def accept(scene: Scene, lease: Lease, connection: TrackedConnection) -> None:
    """Assign the connection to the request, accept it and serve it."""
    scene.tracker.assigned(lease, connection)
    scene.tracker.accepted(lease, connection)
    scene.serve(lease)


def test_all_are_queued_until_one_is_accepted(scene):
    """The connection counts as active: a request is about to be sent on it."""
    connection = idle_connection(scene)
    waiters = [scene.queue() for _ in range(3)]
    scene.clock.advance(2)
    for lease in waiters:
        scene.tracker.assigned(lease, connection)
    assert scene.current()[QUEUED] == 3
    assert scene.ledger.queued.value == 3
    assert scene.ledger.active.value == 1
    scene.clock.advance(1)
    scene.tracker.accepted(waiters[1], connection)
    assert [lease.phase for lease in waiters] == [QUEUED, AWAITING_RESPONSE, QUEUED]
    assert scene.ledger.queued.value == 2
    for lease in (waiters[0], waiters[2]):
        scene.tracker.requeued(lease)
    assert connection.leases == 1
    assert connection.lease is waiters[1]
    assert scene.ledger.requeues == 2
    scene.serve(waiters[1])
    for lease in (waiters[0], waiters[2]):
        accept(scene, lease, connection)
    assert scene.ledger.queued.highest(scene.clock()) == 3
    scene.settled()


def test_acquire_ends_at_the_assignment_and_queued_when_accepted(scene):
    """A late or repeated report changes nothing."""
    connection = idle_connection(scene)
    lease = scene.queue()
    scene.clock.advance(2)
    scene.tracker.assigned(lease, connection)
    scene.clock.advance(1)
    scene.tracker.accepted(lease, connection)
    scene.clock.advance(4)
    scene.tracker.accepted(lease, connection)
    scene.serve(lease)
    scene.tracker.accepted(lease, connection)
    assert lease.phase == UNREAD
    assert lease.acquire_time == 2 * SECOND
    assert [time / SECOND for time in scene.times()] == [3, 0, 0, 4, 0, 0]
    scene.settled()


def test_immediate_acquire_of_a_contested_connection_is_exactly_zero(scene):
    """A request may enter just then, and get the connection before those that wait."""
    connection = idle_connection(scene)
    late = scene.queue()
    scene.tracker.assigned(late, connection)
    newcomer = scene.acquire(connection)
    assert newcomer.phase == QUEUED
    assert scene.ledger.queued.value == 2
    scene.clock.advance(0.001)
    scene.tracker.accepted(newcomer, connection)
    scene.tracker.requeued(late)
    assert (newcomer.phase, late.phase) == (AWAITING_RESPONSE, QUEUED)
    assert newcomer.acquire_time == 0
    scene.serve(newcomer)
    accept(scene, late, connection)
    scene.settled()


@pytest.mark.parametrize("new", [False, True])
def test_request_that_is_overtaken_is_queued_from_that_moment(scene, new):
    """It was assigned the connection first, or has established it.

    Its task runs later, as on trio.
    """
    connection = scene.connection() if new else idle_connection(scene)
    first, second = scene.acquire(connection), scene.acquire(connection)
    if new:
        scene.tracker.established(connection, "1.1")
        connection.reports_accept = True
    assert (first.phase, second.phase) == (AWAITING_RESPONSE, QUEUED)
    scene.clock.advance(1)
    scene.tracker.accepted(second, connection)
    assert (first.phase, second.phase) == (QUEUED, AWAITING_RESPONSE)
    assert scene.ledger.queued.value == 1
    scene.tracker.requeued(first)
    scene.serve(second)
    scene.clock.advance(1)
    scene.tracker.assigned(first, connection)
    scene.tracker.accepted(first, connection)
    scene.clock.advance(4)
    scene.serve(first)
    # The time in which it seemed to wait for a response was queued.
    assert [time / SECOND for time in scene.times()] == [3, 0, 0, 4, 0, 0]
    assert first.acquire_time == 2 * SECOND
    scene.settled()


def test_request_that_is_refused_before_the_winner_is_reported(scene):
    """The winner's thread was stopped before it could report."""
    connection = idle_connection(scene)
    first, second = scene.acquire(connection), scene.acquire(connection)
    scene.tracker.requeued(first)
    assert (first.phase, second.phase) == (QUEUED, QUEUED)
    scene.tracker.accepted(second, connection)
    assert second.phase == AWAITING_RESPONSE
    assert connection.lease is second
    scene.serve(second)
    accept(scene, first, connection)
    scene.settled()


def test_lease_has_ended_when_its_connection_accepts_another(scene):
    """Another thread runs between the end of its response and the hook that reports it."""
    connection = idle_connection(scene)
    first = scene.acquire(connection)
    scene.tracker.answered(first, 200)
    second = scene.queue()
    scene.tracker.assigned(second, connection)
    scene.tracker.accepted(second, connection)
    assert first.ended_at
    assert scene.current()[AWAITING_RESPONSE:] == [1, 0, 0]
    scene.tracker.released(first)
    assert connection.leases == 1
    scene.serve(second)
    assert scene.requests() == {(200, None, False): 2}
    scene.settled()


@pytest.mark.parametrize("error", ["cancelled", "pool_timeout", None])
def test_request_that_ends_before_it_is_accepted_never_acquired(scene, error):
    """An assignment alone is no acquire, also if the fallback ends the lease."""
    connection = idle_connection(scene)
    lease = scene.queue()
    scene.clock.advance(1)
    scene.tracker.assigned(lease, connection)
    if error is None:
        scene.tracker.ensure_ended(lease)
    else:
        scene.tracker.failed(lease, error)
        assert lease.acquire_time == SECOND
        assert scene.recorder.args("lease_waited") == [(lease, False)]
    assert (lease.acquired_at, connection.leases) == (0, 0)
    scene.settled()


def test_request_that_is_answered_although_no_hook_reported_its_acceptance(scene):
    """It has had the connection since the assignment."""
    connection = idle_connection(scene)
    lease = scene.queue()
    scene.clock.advance(1)
    scene.tracker.assigned(lease, connection)
    scene.clock.advance(1)
    scene.tracker.answered(lease, 200)
    assert lease.phase == UNREAD
    assert scene.ledger.queued.value == 0
    scene.tracker.released(lease)
    assert lease.acquire_time == SECOND
    scene.settled()


def test_wait_and_error_message_name_the_holders_of_connections(scene):
    """Requests that only have an assignment are not named."""
    connection = idle_connection(scene)
    waiters = [scene.queue() for _ in range(100)]
    for lease in waiters:
        scene.tracker.assigned(lease, connection)
    assert holders(scene.tracker, scene.clock()) == "connections are assigned, but not in use yet"
    holder = waiters[-1]
    holder.observed = "span"
    scene.tracker.accepted(holder, connection)
    for lease in waiters[:-1]:
        scene.tracker.requeued(lease)
        scene.tracker.assigned(lease, connection)
    scene.clock.advance(3)
    found = scene.queue().wait.snapshot
    assert found.holders == ("span",)
    assert (found.oldest_age, found.oldest_phase) == (3 * SECOND, AWAITING_RESPONSE)
    assert holders(scene.tracker, scene.clock()).startswith("longest holders: (1) 3.0 s, awaiting")


def test_wait_of_a_request_that_is_refused_at_once_is_explained(scene):
    """It may be assigned another connection before it ever waits."""
    connection = idle_connection(scene)
    holder, lease = scene.acquire(connection), scene.acquire(connection)
    holder.observed = "span"
    scene.tracker.requeued(lease)
    assert lease.wait.snapshot.holders == ("span",)
    assert lease.wait.snapshot.queued == 1


def test_request_that_two_threads_put_into_the_queue_is_there_once(scene, monkeypatch):
    """Its own thread has found no connection, and another one assigns it one that may refuse."""
    connection = scene.connection(established=True)
    connection.reports_accept = True
    holder, lease = scene.acquire(connection), scene.enter()

    def assign_first(now):
        monkeypatch.setattr(tracker, "Wait", Wait)
        scene.tracker.assigned(lease, connection)
        return Wait(now)

    monkeypatch.setattr(tracker, "Wait", assign_first)
    scene.tracker.waiting(lease)
    assert scene.ledger.queued.value == 1
    scene.serve(holder)
    scene.tracker.accepted(lease, connection)
    scene.serve(lease)
    scene.settled()


def test_connection_moves_to_the_provider_that_it_serves(scene):
    """An assignment alone does not move it, since httpcore 1.0 may refuse the request."""
    connection = scene.connection(established=True)
    connection.reports_accept = True
    first = scene.tracker.begin(b"api.test", None, b"https", Call("openai"))
    scene.tracker.assigned(first, connection)
    second = scene.tracker.begin(b"api.test", None, b"https", Call("groq"))
    scene.tracker.waiting(second)
    scene.tracker.assigned(second, connection)
    assert connection.origin is first.origin
    scene.serve(first)
    scene.tracker.accepted(second, connection)
    assert connection.origin is second.origin
