"""The steps of a request through a fake pool on a fake clock."""

import gc

import pytest

from opentelemetry.instrumentation.gluellm.pool.call import Call
from opentelemetry.instrumentation.gluellm.pool.lease import Lease
from opentelemetry.instrumentation.gluellm.pool.ledger import OriginLedger
from opentelemetry.instrumentation.gluellm.vocabulary import AWAITING_RESPONSE, QUEUED
from unit.pool.fakes import SECOND, FakePool

# Attribution


def test_request_of_a_task_that_outlives_its_call_is_not_attributed_to_it(scene):
    call = Call("openai", "m")
    first, second = scene.enter(call), scene.enter(call)
    call.ended = True
    later = scene.enter(call)
    assert [lease.call for lease in (first, second, later)] == [call, call, None]
    assert call.requests == 2


# Requeue


def test_refused_request_queues_again_and_never_acquired_if_it_fails_then(scene):
    """The tentative assignment is undone: the connection is free, the acquire continues."""
    lease = scene.enter()
    connection = scene.connection(established=True)
    scene.clock.advance(1)
    scene.tracker.assigned(lease, connection)
    scene.tracker.requeued(lease)
    assert (lease.phase, lease.acquired_at, lease.connection) == (QUEUED, 0, None)
    assert (scene.ledger.active.value, connection.leases, scene.ledger.requeues) == (0, 0, 1)
    assert scene.recorder.names == []
    scene.clock.advance(1)
    scene.tracker.failed(lease, "pool_timeout")
    scene.drain()
    assert scene.origin.timeouts["pool"] == 1
    assert scene.recorder.names == ["lease_waited"]
    assert (lease.acquired_at, lease.connection) == (0, None)
    scene.settled()


# Explanations of a wait


def test_wait_records_the_pool_state_and_holders_at_its_start(scene):
    """Active and idle connections, the queue, and the longest holders, oldest first."""
    scene.tracker.maximum = 5
    for number in range(4):
        holder = scene.acquire(scene.connection(established=True))
        holder.observed = f"span {number}"
        scene.clock.advance(1)
    scene.connection(established=True)
    waiter = scene.queue()
    found = waiter.wait.snapshot
    assert (found.active, found.idle, found.maximum, found.queued) == (4, 1, 5, 1)
    assert found.holders == ("span 0", "span 1", "span 2")
    assert found.oldest_age == 4 * SECOND
    assert found.oldest_phase == AWAITING_RESPONSE
    scene.tracker.assigned(waiter, scene.connection(established=True))
    assert scene.ledger.queued.value == 0


def test_waits_keep_no_earlier_requests_alive(scene):
    """Otherwise requests that refer to their predecessors would be a chain in memory."""
    connection = scene.connection(established=True)
    scene.acquire(connection)
    for _ in range(50):
        waiter = scene.queue()
        for lease in tuple(scene.tracker.leases)[:-1]:
            scene.tracker.released(lease)
        scene.tracker.assigned(waiter, connection)
    del lease, waiter
    scene.drain()
    scene.recorder.events.clear()
    gc.collect()
    alive = sum(
        isinstance(candidate, Lease) and candidate.tracker is scene.tracker
        for candidate in gc.get_objects()
    )
    assert alive == 1  # the one that holds the connection


# Other threads


def test_request_that_enters_while_its_pool_is_closed_counts_as_in_flight(scene):
    """Its connection is tracked as well: see `PoolRegistry.still_queued_in`."""
    scene.let_in(lambda: scene.tracker.discard("closed"))
    lease = scene.enter()
    assert scene.current()[QUEUED] == 1
    assert scene.registry.still_queued_in(scene.pool) is scene.tracker
    scene.serve(lease)
    scene.settled()


def test_request_that_enters_during_uninstrument_does_not_count(scene):
    """If it did, it would end in the next installation, whose peaks do not include it."""
    scene.let_in(scene.registry.close)
    lease = scene.enter()
    connection = scene.connection(established=True)
    scene.tracker.assigned(lease, connection)
    scene.ledger.watch(75 * SECOND, scene.clock())
    scene.serve(lease)
    assert scene.requests() == {}
    scene.settled()


@pytest.mark.parametrize("step", ["assigned", "answered"])
def test_time_of_a_request_counts_once_if_uninstrument_ends_it_during_a_step(scene, step):
    lease = scene.queue() if step == "assigned" else scene.acquire()
    scene.clock.advance(10.0)
    connection = scene.connection(established=True)
    scene.let_in(scene.registry.close)
    if step == "assigned":
        scene.tracker.assigned(lease, connection)
    else:
        scene.tracker.answered(lease, 200)
    assert sum(scene.origin.spent) == 10 * SECOND
    assert lease.answered_at == 0


def test_pool_counts_once_for_an_origin_that_two_threads_request_first(scene, monkeypatch):
    of_pool = scene.track(FakePool())
    pool_entered = OriginLedger.pool_entered

    def enter_as_well(*arguments):
        monkeypatch.setattr(OriginLedger, "pool_entered", pool_entered)
        of_pool.begin(b"new.test", None, b"https")
        pool_entered(*arguments)

    monkeypatch.setattr(OriginLedger, "pool_entered", enter_as_well)
    lease = of_pool.begin(b"new.test", None, b"https")
    assert (lease.origin.pools, lease.origin.entered) == (1, 2)


def test_entry_of_a_waiting_request_does_not_search_a_long_queue(scene):
    """One connection is held, so there is one holder to find."""
    searched = []

    class Leases(dict[Lease, None]):
        def __iter__(self):
            for lease in super().__iter__():
                searched.append(lease)
                yield lease

    scene.acquire()
    for _ in range(100):
        scene.queue()
    scene.tracker.leases = Leases(scene.tracker.leases)
    last = scene.queue()
    assert last.wait.snapshot.active == 1
    assert len(last.wait.snapshot.holders) == 1
    assert len(searched) == 1
