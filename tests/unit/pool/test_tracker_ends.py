"""How requests fail and pools end, with a fake pool on a fake clock."""

import gc
from typing import Any

import pytest

from opentelemetry.instrumentation.gluellm.pool.call import Call, CountedCall
from opentelemetry.instrumentation.gluellm.pool.call_site import CallSite
from opentelemetry.instrumentation.gluellm.pool.peak import Peak
from opentelemetry.instrumentation.gluellm.vocabulary import ANY_LLM, AWAITING_RESPONSE

# Failures


@pytest.mark.parametrize(
    ("error", "when", "counts"),
    [
        ("read_error", "reused", 1),
        ("write_error", "reused", 1),
        ("protocol_error", "reused", 1),
        ("read_timeout", "reused", 0),
        ("cancelled", "reused", 0),
        ("read_error", "new", 0),  # it never was idle
        ("read_error", "answered", 0),  # bytes had come
    ],
)
def test_failure_on_a_reused_connection_is_counted_as_one(scene, error, when, counts):
    """A load balancer that drops idle connections causes it; a slow provider does not."""
    lease = scene.enter()
    connection = scene.connection(established=when != "new")
    scene.tracker.assigned(lease, connection)
    scene.tracker.established(connection, "1.1")
    if when == "answered":
        scene.tracker.answered(lease, 200)
        lease.error = error
        scene.tracker.released(lease)
    else:
        scene.tracker.failed(lease, error)
    assert scene.requests() == {(200 if when == "answered" else 0, error, False): 1}
    assert scene.origin.reuse_failures == counts


def test_request_whose_own_pool_is_closed_is_no_failure_of_the_connection(scene):
    """Also while its answer is read. The line that closed the pool is known."""
    site = CallSite(interrupted.__code__, 0)
    scene.registry.find_call_site = lambda: site
    waiting, reading = scene.acquire(), scene.acquire()
    waiting.reused = reading.reused = True
    scene.tracker.answered(reading, 200)
    for lease in (waiting, reading):
        lease.connection.closing = "pool_closed"
    scene.tracker.discard("closed")
    scene.tracker.failed(waiting, "read_error")
    reading.note_error("protocol_error")
    scene.tracker.released(reading)
    assert scene.requests() == {(0, "client_closed", False): 1, (200, "client_closed", False): 1}
    assert scene.origin.reuse_failures == 0
    assert scene.ledger.closed_at is site


def test_invalid_response_is_about_the_head(scene):
    """In a body, not all libraries distinguish it from a connection that was closed."""
    for answered in (False, True):
        lease = scene.acquire()
        if answered:
            scene.tracker.answered(lease, 200)
        scene.tracker.failed(lease, "invalid_response")
    assert scene.requests() == {
        (0, "invalid_response", False): 1,
        (200, "protocol_error", False): 1,
    }


# Repeated and late ends


@pytest.mark.parametrize("first", ["released", "failed"])
@pytest.mark.parametrize("second", ["released", "failed"])
def test_lease_that_ends_twice_counts_once(scene, first, second):
    """A response can be closed after its reader failed, or again by a finalizer."""
    lease = scene.acquire()
    scene.tracker.answered(lease, 200)
    for end in (first, second):
        getattr(scene.tracker, end)(lease, *(["read_error"] if end == "failed" else []))
    assert scene.drain() == [lease, lease]  # answered and ended
    error = "read_error" if first == "failed" else None
    assert scene.requests() == {(200, error, False): 1}
    scene.settled()


def test_assignment_to_an_ended_request_has_no_effect(scene):
    """It was cancelled while another task assigned it, so the connection is not active."""
    lease = scene.enter()
    scene.tracker.failed(lease, "cancelled")
    scene.tracker.assigned(lease, scene.connection(established=True))
    assert lease.connection is None
    scene.settled()


def test_connection_closes_once(scene):
    """The first reason is kept."""
    connection = scene.connection(established=True)
    connection.close("evicted")
    connection.close("pool_closed")
    assert scene.ledger.closed == {"evicted": 1}
    assert [arguments[1] for arguments in scene.recorder.args("connection_closed")] == ["evicted"]


def test_request_of_an_ended_installation_counts_in_the_state_only(scene):
    """It still holds a connection, but counters and durations exclude it."""
    lease = scene.acquire()
    lease.accounted = True
    assert scene.current()[AWAITING_RESPONSE] == 1
    assert scene.ledger.active.value == 1
    scene.tracker.failed(lease, "read_error")
    timed_out = scene.enter()
    timed_out.accounted = True
    scene.tracker.waiting(timed_out)
    scene.tracker.failed(timed_out, "pool_timeout")
    assert scene.drain() == []
    assert scene.requests() == {}
    assert scene.origin.timeouts["pool"] == 0
    assert scene.origin.reuse_failures == 0
    assert scene.recorder.names == []
    scene.settled()


# The pool's end


def test_garbage_collected_pool_ends_its_leases_and_connections(scene):
    """Leases end, connections are closed. A finalizer of a response may come afterwards."""
    answered = scene.acquire()
    scene.tracker.answered(answered, 200)
    scene.acquire()
    queued = scene.queue()
    scene.connection(established=True)
    scene.connection()
    scene.pool = None
    gc.collect()
    assert scene.requests() == {(200, None, False): 1, (0, "cancelled", False): 2}
    assert scene.ledger.closed == {"garbage_collected": 3}
    assert not scene.tracker.connections
    assert scene.ledger.discarded == {"closed": 0, "garbage_collected": 1}
    assert scene.recorder.args("lease_waited") == [(queued, True)]
    scene.settled()
    events = list(scene.recorder.events)
    scene.tracker.released(answered)
    answered.connection.close("pool_closed")
    assert scene.recorder.events == events
    scene.settled()


# Signal handlers that raise. Python runs them where a function begins, for example.


def interrupted(*_: Any) -> None:
    raise KeyboardInterrupt


def test_connection_of_a_closed_pool_ends_with_the_pool(scene):
    """It was established after the close. The pool and its tracker are garbage at the same time."""
    connection = scene.connection()
    lease = scene.acquire(connection)
    scene.tracker.discard("closed")
    scene.tracker.established(connection, "1.1")
    scene.serve(lease)
    scene.registry.state(scene.clock())
    pool, scene.pool = scene.pool, None
    pool.itself, pool.tracker = pool, scene.tracker
    del pool, scene.tracker, connection, lease
    scene.drain()
    scene.recorder.events.clear()
    gc.collect()
    assert scene.ledger.closed == {"garbage_collected": 1}
    scene.registry.state(scene.clock())
    assert not scene.registry.ending


@pytest.mark.parametrize("again", [False, True])
def test_interrupt_while_the_peak_turns_leaves_no_connection_active(scene, monkeypatch, again):
    """The peak turns in an assignment, or in a second attempt to connect."""
    connection = scene.connection(established=True)
    scene.clock.advance(3600)  # the peak's slice has ended
    lease = scene.enter()
    begin, arguments = scene.tracker.assigned, (lease, connection)
    if again:
        begin(*arguments)
        connection.deactivate()
        scene.clock.advance(3600)
        begin, arguments = connection.activate, (scene.clock(),)
    with monkeypatch.context() as patch:
        patch.setattr(Peak, "turn", interrupted)
        with pytest.raises(KeyboardInterrupt):
            begin(*arguments)
    scene.tracker.ensure_ended(lease)
    scene.settled()


def test_interrupt_while_a_request_leaves_its_call_loses_no_outcome(scene, monkeypatch):
    call = Call("openai")
    call.counted = scene.registry.calls.begin(ANY_LLM, "chat", provider="openai")
    lease, _ = scene.enter(call), scene.enter(call)
    with monkeypatch.context() as patch:
        patch.setattr(CountedCall, "request_left", interrupted)
        with pytest.raises(KeyboardInterrupt):
            scene.tracker.failed(lease, "read_error")
    assert scene.requests() == {(0, "read_error", False): 1}
