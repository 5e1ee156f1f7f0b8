"""The queue between the request's path and the SDK: bounded, and no request is lost in it."""

import pytest

from opentelemetry.instrumentation.gluellm.pool.ledger import Ledgers, OriginLedger
from opentelemetry.instrumentation.gluellm.pool.outbox import Outbox
from unit.pool.fakes import Scene


def scene(capacity: int) -> Scene:
    """A pool with a small outbox."""
    return Scene(ledgers=Ledgers(Outbox(capacity)))


def request(scene: Scene, status: int = 200) -> None:
    """A request that succeeds on an idle connection."""
    lease = scene.acquire(next(iter(scene.tracker.connections), None))
    scene.tracker.answered(lease, status)
    scene.tracker.released(lease)


def test_outbox_is_bounded_and_no_request_is_lost_beyond_the_bound():
    """The oldest items stay. Each request is added twice; only durations are dropped."""
    outbox = Outbox(10)
    for number in range(25):
        outbox.put(number)
    assert (list(outbox.items), outbox.dropped) == (list(range(10)), 15)
    made = scene(10)
    for _ in range(50):
        request(made)
    assert (len(made.registry.outbox.items), made.registry.outbox.dropped) == (10, 90)
    for _ in range(5):
        late = made.queue()
        made.tracker.failed(late, "pool_timeout")
    assert made.requests() == {(200, None, False): 50, (0, "pool_timeout", False): 5}
    assert made.origin.timeouts["pool"] == 5


def test_request_counts_once_when_only_its_end_found_no_room():
    """It was answered while there was room, and ended when there was none."""
    made = scene(1)
    request(made)
    taken = made.drain()
    assert len(taken) == 1
    assert made.registry.outbox.dropped == 1
    assert made.requests() == {(200, None, False): 1}


def test_request_counts_once_when_two_threads_count_it(monkeypatch):
    """One takes it from the outbox while another finds no room for its end."""
    made = scene(10)
    lease = made.enter()
    lease.tracker.failed(lease, "read_error")
    outcome = OriginLedger.outcome

    def comes_in_between(self, *known):
        monkeypatch.undo()
        lease.account()
        return outcome(self, *known)

    monkeypatch.setattr(OriginLedger, "outcome", comes_in_between)
    lease.account()
    assert made.requests() == {(0, "read_error", False): 1}


@pytest.mark.parametrize(("requests", "expected"), [(2, False), (3, True), (20, True)])
def test_entering_request_is_asked_to_drain_a_half_full_outbox(requests, expected):
    """Below that it only appends. The watch is woken once, and not by the outbox."""
    made = scene(10)
    woken = []
    made.registry.wake_watch(lambda: woken.append(True))
    for _ in range(requests):
        request(made)
    assert made.registry.outbox.filling is expected
    made.recorder.events.clear()
    made.enter()
    assert made.recorder.names == ["outbox_filling"] * expected
    assert woken == [True]
