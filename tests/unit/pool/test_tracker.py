"""A request's way through a pool, step by step, with a fake pool on a fake clock."""

from __future__ import annotations

import gc

import pytest

from opentelemetry.instrumentation.gluellm.pool.lease import (
    AWAITING_RESPONSE,
    CONNECTING,
    QUEUED,
    STREAM_QUEUED,
    UNREAD,
    Call,
    Lease,
)
from unit.pool.fakes import SECOND, Scene


@pytest.fixture
def scene() -> Scene:
    """One pool."""
    return Scene()


def settled(scene: Scene) -> None:
    """Nothing runs, stands in a queue or holds a connection any more."""
    assert scene.current() == [0] * 6
    assert scene.ledger.queued.value == 0
    assert scene.ledger.active.value == 0
    assert not scene.tracker.leases


# The way that ends well


def test_request_on_a_new_connection(scene: Scene) -> None:
    """Queued for no time, connecting, awaiting the response, unread, and gone."""
    lease = scene.enter()
    connection = scene.connection()
    phases = [lease.phase]
    scene.tracker.assigned(lease, connection)
    phases.append(lease.phase)
    scene.clock.advance(0.1)
    scene.tracker.established(connection, "1.1")
    phases.append(lease.phase)
    scene.clock.advance(0.2)
    scene.tracker.answered(lease, 200)
    phases.append(lease.phase)
    assert scene.ledger.active.value == 1
    scene.clock.advance(0.3)
    scene.tracker.released(lease)
    assert phases == [QUEUED, CONNECTING, AWAITING_RESPONSE, UNREAD]
    assert [time / SECOND for time in scene.times()] == [0, 0.1, 0, 0.2, 0, 0.3]
    assert scene.requests() == {(200, None, False): 1}
    assert scene.ledger.opened == 1
    assert not lease.reused
    settled(scene)
    assert scene.recorder.names == [
        "pool_opened",
        "connection_created",
        "lease_answered",
    ]


def test_request_on_an_idle_connection_is_reused(scene: Scene) -> None:
    """It awaits its response at once, and nothing was created."""
    connection = scene.connection(established=True)
    lease = scene.acquire(connection)
    assert lease.phase == AWAITING_RESPONSE
    assert lease.reused
    scene.tracker.answered(lease, 200)
    scene.tracker.released(lease)
    # Nothing to be told on its way: all is in the outbox.
    assert scene.recorder.names == ["pool_opened"]
    assert scene.work_off() == [lease, lease]
    assert connection.served == 2
    settled(scene)


def test_request_that_waits_stands_in_the_queue_until_assigned(scene: Scene) -> None:
    """The peak of the queue has it, and the queue is empty afterwards."""
    lease = scene.enter()
    scene.tracker.waiting(lease)
    scene.tracker.waiting(lease)  # each pass over the queue says so again
    assert scene.ledger.queued.value == 1
    scene.clock.advance(2)
    scene.tracker.assigned(lease, scene.connection(established=True))
    assert scene.ledger.queued.value == 0
    assert scene.ledger.queued.highest(scene.clock()) == 1
    assert lease.acquire_time == 2 * SECOND


def test_new_http2_connection_queues_for_a_stream(scene: Scene) -> None:
    """Once HTTP/2 is agreed on, a request has a connection and not yet a stream."""
    lease = scene.enter()
    connection = scene.connection()
    scene.tracker.assigned(lease, connection)
    scene.tracker.established(connection, "2")
    assert lease.phase == STREAM_QUEUED
    assert scene.origin.protocols == {"2"}
    assert scene.acquire(connection).phase == STREAM_QUEUED


def test_http2_connection_with_many_requests_is_active_once(scene: Scene) -> None:
    """Active counts connections, and this one until its last request has gone."""
    connection = scene.connection(established=True, protocol="2")
    leases = [scene.acquire(connection) for _ in range(3)]
    assert scene.ledger.active.value == 1
    for lease in leases:
        scene.tracker.answered(lease, 200)
    scene.tracker.released(leases[1])
    scene.tracker.released(leases[0])
    assert scene.ledger.active.value == 1
    scene.tracker.released(leases[2])
    settled(scene)


def test_connection_is_established_once(scene: Scene) -> None:
    """A second word of it counts nothing."""
    lease = scene.enter()
    connection = scene.connection()
    scene.tracker.assigned(lease, connection)
    scene.tracker.established(connection, "1.1")
    scene.tracker.established(connection, "1.1")
    assert scene.ledger.opened == 1
    assert len(scene.recorder.told("connection_created")) == 1


def test_further_request_of_a_call_is_a_resend(scene: Scene) -> None:
    """The SDK's retry, or a redirect: not the call's first request."""
    call = Call("openai")
    for _ in range(3):
        lease = scene.enter(call)
        scene.tracker.assigned(lease, scene.connection(established=True))
        scene.tracker.answered(lease, 503)
        scene.tracker.released(lease)
    assert scene.requests() == {(503, None, False): 1, (503, None, True): 2}
    assert call.requests == 3


# Requeue


def test_refused_request_queues_again(scene: Scene) -> None:
    """The tentative assignment is undone: the connection is free, the acquire goes on."""
    lease = scene.enter()
    connection = scene.connection(established=True)
    scene.clock.advance(1)
    scene.tracker.assigned(lease, connection)
    scene.tracker.refused(lease)
    assert lease.phase == QUEUED
    assert lease.acquired_at == 0
    assert scene.ledger.active.value == 0
    assert connection.leases == 0
    assert scene.ledger.requeues == 1
    assert scene.recorder.names[-1] == "lease_requeued"


def test_acquire_lasts_until_the_assignment_that_was_not_refused(scene: Scene) -> None:
    """A refusal costs the request the time that it then waits again."""
    lease = scene.enter()
    scene.tracker.waiting(lease)
    scene.clock.advance(1)
    scene.tracker.assigned(lease, scene.connection(established=True))
    scene.tracker.refused(lease)
    scene.tracker.waiting(lease)
    assert scene.ledger.queued.value == 1
    scene.clock.advance(3)
    scene.tracker.assigned(lease, scene.connection(established=True))
    assert scene.ledger.queued.value == 0
    scene.clock.advance(5)
    scene.tracker.answered(lease, 200)
    assert lease.acquire_time == 4 * SECOND
    assert scene.recorder.told("lease_waited") == [(lease,)]
    scene.tracker.released(lease)
    settled(scene)


def test_request_that_fails_after_a_refusal_never_acquired(scene: Scene) -> None:
    """A refused assignment is none: it timed out in the queue."""
    lease = scene.enter()
    connection = scene.connection(established=True)
    scene.tracker.assigned(lease, connection)
    scene.tracker.refused(lease)
    scene.clock.advance(1)
    scene.tracker.failed(lease, "pool_timeout")
    scene.work_off()
    assert scene.origin.timeouts["pool"] == 1
    assert scene.recorder.names[-2:] == ["lease_requeued", "lease_waited"]
    assert lease.acquired_at == 0
    assert lease.connection is None
    settled(scene)


def test_loser_of_a_double_assignment_leaves_the_connection_to_the_winner(scene: Scene) -> None:
    """httpcore 1.0.9 gives one idle connection to two: one of them is refused."""
    connection = scene.connection(established=True)
    winner, loser = scene.acquire(connection), scene.acquire(connection)
    scene.tracker.refused(loser)
    assert scene.ledger.active.value == 1
    scene.tracker.answered(winner, 200)
    scene.tracker.released(winner)
    scene.tracker.assigned(loser, connection)
    scene.tracker.answered(loser, 200)
    scene.tracker.released(loser)
    assert scene.ledger.active.highest(scene.clock()) == 1
    settled(scene)


# Failures


@pytest.mark.parametrize("error", ["pool_timeout", "cancelled", "_OTHER"])
def test_request_that_fails_in_the_queue_leaves_it(scene: Scene, error: str) -> None:
    """Nobody stands there for it any more, and it acquired nothing."""
    lease = scene.enter()
    scene.tracker.waiting(lease)
    scene.clock.advance(1)
    scene.tracker.failed(lease, error)
    assert lease.acquire_time == SECOND
    assert scene.requests() == {(0, error, False): 1}
    assert lease.acquired_at == 0
    assert scene.recorder.told("lease_waited") == [(lease,)]
    settled(scene)


@pytest.mark.parametrize("kind", ["pool", "connect", "read", "write"])
def test_timeouts_count_by_kind(scene: Scene, kind: str) -> None:
    """Each kind of timeout is one more of that kind, and of no other."""
    lease = scene.enter()
    scene.tracker.failed(lease, f"{kind}_timeout")
    scene.work_off()
    assert scene.origin.timeouts == {
        **dict.fromkeys(("pool", "connect", "read", "write"), 0),
        kind: 1,
    }


def test_request_that_the_pool_did_not_take_in_leaves_no_trace(scene: Scene) -> None:
    """A URL whose scheme the pool doesn't know never was in the pool."""
    lease = scene.tracker.begin(b"api.test", None, b"https")
    scene.clock.advance(1)
    scene.tracker.withdraw(lease)
    assert scene.requests() == {}
    assert scene.recorder.names == ["pool_opened"]
    settled(scene)


def test_failed_connect_is_told_once_and_its_connection_goes(scene: Scene) -> None:
    """It was acquired and held, but never opened, so it isn't closed either."""
    lease = scene.enter()
    connection = scene.connection()
    scene.tracker.assigned(lease, connection)
    connection.connect_started_at = scene.clock()
    scene.clock.advance(1)
    scene.tracker.failed(lease, "connection_error")
    connection.close("error")
    assert scene.recorder.names == ["pool_opened", "connection_failed"]
    assert lease.acquired_at
    assert scene.requests() == {(0, "connection_error", False): 1}
    assert scene.ledger.opened == 0
    assert scene.ledger.closed == {}
    assert connection not in scene.tracker.connections
    settled(scene)


def test_failed_connect_that_two_requests_wait_for_is_the_first_ones(scene: Scene) -> None:
    """HTTP/2: the one that was trying fails, and then the other tries, once each."""
    connection = scene.connection()
    first, second = scene.enter(), scene.enter()
    scene.tracker.assigned(first, connection)
    scene.tracker.assigned(second, connection)
    connection.connect_started_at = scene.clock()
    scene.tracker.failed(first, "connect_timeout")
    assert scene.recorder.told("connection_failed") == [(first, connection)]
    assert scene.ledger.active.value == 1
    scene.tracker.failed(second, "cancelled")  # it had not begun to connect
    assert scene.recorder.told("connection_failed") == [(first, connection)]
    scene.work_off()
    assert scene.origin.timeouts["connect"] == 1
    assert connection not in scene.tracker.connections
    settled(scene)


def test_failure_after_the_head_has_status_and_error(scene: Scene) -> None:
    """A stream that breaks off: the status came, and so did the error."""
    lease = scene.acquire()
    scene.tracker.answered(lease, 200)
    lease.error = "read_error"
    scene.tracker.released(lease)
    assert scene.requests() == {(200, "read_error", False): 1}
    assert scene.origin.reuse_failures == 0  # bytes had come


@pytest.mark.parametrize(
    ("error", "counts"),
    [
        ("read_error", 1),
        ("write_error", 1),
        ("protocol_error", 1),
        ("read_timeout", 0),
        ("cancelled", 0),
    ],
)
def test_failure_on_a_reused_connection(scene: Scene, error: str, counts: int) -> None:
    """What a load balancer does that drops idle connections; a slow provider is something else."""
    lease = scene.acquire()
    scene.tracker.failed(lease, error)
    scene.work_off()
    assert scene.origin.reuse_failures == counts


def test_failure_on_a_new_connection_is_no_reuse_failure(scene: Scene) -> None:
    """It never was idle."""
    connection = scene.connection()
    lease = scene.enter()
    scene.tracker.assigned(lease, connection)
    scene.tracker.established(connection, "1.1")
    scene.tracker.failed(lease, "read_error")
    scene.work_off()
    assert scene.origin.reuse_failures == 0


# Ends that come twice, or late


@pytest.mark.parametrize("first", ["released", "failed"])
@pytest.mark.parametrize("second", ["released", "failed"])
def test_lease_that_ends_twice_counts_once(scene: Scene, first: str, second: str) -> None:
    """A response that is closed after its reader failed, or by a finalizer once more."""
    lease = scene.acquire()
    scene.tracker.answered(lease, 200)
    for end in (first, second):
        if end == "released":
            scene.tracker.released(lease)
        else:
            scene.tracker.failed(lease, "read_error")
    taken = scene.work_off()
    assert taken == [lease, lease]  # answered and ended
    error = "read_error" if first == "failed" else None
    assert scene.requests() == {(200, error, False): 1}
    settled(scene)


def test_assignment_to_a_request_that_has_gone_takes_nothing(scene: Scene) -> None:
    """Cancelled while another task was assigning: its connection isn't active for it."""
    lease = scene.enter()
    scene.tracker.failed(lease, "cancelled")
    scene.tracker.assigned(lease, scene.connection(established=True))
    assert lease.connection is None
    settled(scene)


def test_connection_closes_once(scene: Scene) -> None:
    """With the reason that came first."""
    connection = scene.connection(established=True)
    connection.close("evicted")
    connection.close("pool_closed")
    assert scene.ledger.closed == {"evicted": 1}
    assert [arguments[1] for arguments in scene.recorder.told("connection_closed")] == ["evicted"]


def test_suppressed_request_counts_in_the_state_only() -> None:
    """It holds a connection like any other; counters and durations leave it out."""
    scene = Scene()
    lease = scene.acquire()
    lease.counted = False
    assert scene.current()[AWAITING_RESPONSE] == 1
    assert scene.ledger.active.value == 1
    scene.tracker.failed(lease, "read_error")
    timed_out = scene.enter()
    timed_out.counted = False
    scene.tracker.waiting(timed_out)
    scene.tracker.failed(timed_out, "pool_timeout")
    assert scene.work_off() == []
    assert scene.requests() == {}
    assert scene.origin.timeouts["pool"] == 0
    assert scene.origin.reuse_failures == 0
    assert scene.recorder.names == ["pool_opened"]
    settled(scene)


# What explains a wait


def test_wait_is_explained_by_what_it_found() -> None:
    """Active and idle connections, who queues, and the longest holders' notes, oldest first."""
    scene = Scene()
    scene.tracker.maximum = 5
    for number in range(4):
        holder = scene.acquire(scene.connection(established=True))
        holder.observed = f"span {number}"
        scene.clock.advance(1)
    scene.connection(established=True)
    waiter = scene.enter()
    scene.tracker.waiting(waiter)
    found = waiter.scene
    assert found is not None
    assert (found.active, found.idle, found.maximum, found.queued) == (4, 1, 5, 1)
    assert found.holders == ("span 0", "span 1", "span 2")
    assert found.oldest_age == 4 * SECOND
    assert found.oldest_phase == AWAITING_RESPONSE


def test_waits_do_not_keep_those_before_them() -> None:
    """Ten thousand requests that each found the last one holding would be a chain in memory."""
    scene = Scene()
    connection = scene.connection(established=True)
    scene.acquire(connection)
    for _ in range(50):
        waiter = scene.enter()
        scene.tracker.waiting(waiter)
        for lease in tuple(scene.tracker.leases)[:-1]:
            scene.tracker.released(lease)
        scene.tracker.assigned(waiter, connection)
    del lease, waiter
    scene.work_off()
    scene.recorder.events.clear()
    gc.collect()
    alive = sum(
        isinstance(candidate, Lease) and candidate.tracker is scene.tracker
        for candidate in gc.get_objects()
    )
    assert alive == 1  # the one that holds the connection


# The pool's end


def test_closed_pool_is_discarded_once(scene: Scene) -> None:
    """Closing twice, or a collector that comes after, is one pool gone."""
    scene.tracker.discard("closed")
    scene.tracker.discard("garbage_collected")
    scene.pool = None
    gc.collect()
    assert scene.ledger.discarded == {"closed": 1, "garbage_collected": 0}
    assert scene.ledger.live == 0
    assert scene.ledger.empty_since == scene.clock()
    assert scene.recorder.told("pool_discarded") == [(scene.tracker, "closed")]


def test_request_outlives_the_pool_that_was_closed_under_it(scene: Scene) -> None:
    """It still leaves its phase and counts when it ends."""
    lease = scene.acquire()
    scene.tracker.answered(lease, 200)
    scene.tracker.discard("closed")
    assert scene.current()[UNREAD] == 1
    scene.tracker.released(lease)
    assert scene.requests() == {(200, None, False): 1}
    settled(scene)


def test_garbage_collected_pool_ends_what_was_in_it(scene: Scene) -> None:
    """Nobody can close a response of a pool that is gone: leases end, connections are closed."""
    answered = scene.acquire()
    scene.tracker.answered(answered, 200)
    pending = scene.acquire()
    queued = scene.enter()
    scene.tracker.waiting(queued)
    scene.connection(established=True)
    scene.connection()
    scene.pool = None
    gc.collect()
    assert scene.requests() == {(200, None, False): 1, (0, "cancelled", False): 2}
    assert scene.ledger.closed == {"garbage_collected": 3}
    assert not scene.tracker.connections
    assert scene.ledger.discarded == {"closed": 0, "garbage_collected": 1}
    assert all(lease.unwinding for lease in (answered, pending, queued))
    settled(scene)


def test_response_of_a_collected_pool_may_still_be_closed(scene: Scene) -> None:
    """A finalizer of the response that comes after the pool's changes nothing."""
    lease = scene.acquire()
    scene.tracker.answered(lease, 200)
    scene.pool = None
    gc.collect()
    events = list(scene.recorder.events)
    scene.tracker.released(lease)
    lease_connection = lease.connection
    assert lease_connection is not None
    lease_connection.close("pool_closed")
    assert scene.recorder.events == events
    settled(scene)


def test_dropped_response_of_a_closed_pool_ends_with_the_collector(scene: Scene) -> None:
    """Closed with a response still open that nobody closes: it must not count for ever."""
    lease = scene.acquire()
    scene.tracker.answered(lease, 200)
    scene.tracker.discard("closed")
    del lease
    scene.pool = None
    gc.collect()
    settled(scene)
