"""Anomalies are counted once; transient states are not counted."""

from typing import Any

import pytest

from opentelemetry.instrumentation.gluellm.pool.lease import (
    ConnectionView,
    Lease,
    TrackedConnection,
)
from opentelemetry.instrumentation.gluellm.pool.registry import NOWHERE
from opentelemetry.instrumentation.gluellm.watch.watch import Watch
from unit.pool.fakes import SECOND, Scene, Unreadable

IDLE, ORPHAN, OVERRUN = (
    "waiter_with_idle_connection",
    "orphaned_connection",
    "pool_timeout_overrun",
)


class Lag:
    """Lateness of event loops, which a test sets."""

    def __init__(self) -> None:
        self.late = 0

    def watch(self, tracker: Any, now: int) -> None:
        """No timer."""

    def count(self, now: int) -> None:
        """No late time."""

    def blocked_within(self, nanoseconds: int, now: int) -> bool:
        """Whether a loop was late in the last nanoseconds."""
        assert nanoseconds > 2 * SECOND  # two passes
        return self.late > 0

    def stop(self) -> None:
        """Nothing to stop."""


class Odd:
    """A pool whose state a test sets, and a watch on it."""

    def __init__(self, **settings: Any) -> None:
        self.lag = Lag()
        self.scene = Scene(loop_lag=True, **settings)
        self.watch = Watch(self.scene.registry, leak_threshold=0, loop_lag=self.lag)

    def listed(
        self, state: str, *, wanted: bool = False, record: TrackedConnection | None = None
    ) -> TrackedConnection:
        """The only connection that the pool lists."""
        record = record or self.scene.connection(established=state != "connecting")
        self.scene.pool.views = [ConnectionView(record, state, wanted, None)]
        return record

    def waiter(self, timeout: float | None = None, host: bytes = b"api.test") -> Lease:
        """A request in the queue."""
        lease: Lease = self.scene.tracker.begin(host, None, b"https", None)
        self.scene.tracker.waiting(lease, timeout)
        return lease

    def look(self, times: int = 1, every: float = 1.0) -> None:
        """Run passes, ``every`` seconds apart."""
        for _ in range(times):
            self.scene.clock.advance(every)
            self.watch.run_pass()

    @property
    def counted(self) -> dict[str, int]:
        """Number of anomalies by kind, without zeros."""
        return {name: count for name, count in self.scene.ledger.anomalies.items() if count}


class Looked:
    """An active connection in a pool's list, which counts how often its state is read."""

    wanted = True

    def __init__(self, record: TrackedConnection) -> None:
        self.record = record
        self.looks = 0

    @property
    def state(self) -> str:
        """Its state."""
        self.looks += 1
        return "active"


@pytest.fixture
def odd() -> Odd:
    """A pool without oddities yet."""
    return Odd()


# A waiter beside an idle connection


@pytest.mark.parametrize("waiters", [1, 3])
def test_waiter_beside_an_idle_connection_is_counted_once(odd, waiters):
    """Each waiter that misses its wake-up counts once, however long it waits."""
    odd.listed("idle")
    for _ in range(waiters):
        odd.waiter()
    odd.look(10)
    assert odd.counted == {IDLE: waiters}


def test_waiter_beside_an_idle_connection_for_one_pass_is_no_anomaly(odd):
    """The pool passes through that state whenever a connection is released."""
    odd.listed("idle")
    lease = odd.waiter()
    odd.look()
    odd.scene.tracker.failed(lease, "cancelled")
    odd.waiter()
    odd.look()
    assert odd.counted == {}


@pytest.mark.parametrize("what", ["the connection", "the waiter"])
def test_waiter_served_between_two_passes_is_no_anomaly(odd, what):
    """A busy pool often has a waiter and an idle connection.

    httpcore 1.0 assigns the connection to all waiters, and refuses all but one.
    """
    record = odd.listed("idle")
    lease = odd.waiter()
    for _ in range(10):
        odd.look()
        if what == "the connection":
            record.served += 1
        else:
            odd.scene.tracker.waiting(lease, None)
    assert odd.counted == {}


@pytest.mark.parametrize(
    ("state", "wanted", "host", "max_origins"),
    [
        ("active", True, b"api.test", 20),
        ("connecting", True, b"api.test", 20),
        ("idle", True, b"api.test", 20),  # it is assigned already
        ("idle", False, b"other.test", 20),  # the pool decides whether to evict it
        ("idle", False, b"api.test", 0),  # all origins beyond the bound share one name
        ("idle", False, b"", 20),
    ],
)
def test_connection_that_could_not_serve_the_waiter_is_no_anomaly(state, wanted, host, max_origins):
    """An idle connection without a waiter is no anomaly either."""
    odd = Odd(max_origins=max_origins)
    odd.listed(state, wanted=wanted)
    if host:
        odd.waiter(host=host)
    odd.look(5)
    assert odd.counted == {}


# A connection without references


@pytest.mark.parametrize("waits", [True, False])
@pytest.mark.parametrize("state", ["active", "connecting"])
def test_connection_without_references_is_counted_once(odd, state, waits):
    """It takes a slot of the pool forever, even if no request waits."""
    odd.listed(state)
    if waits:
        odd.waiter()
    odd.look(10)
    assert odd.counted == {ORPHAN: 1}


def test_connection_without_references_in_one_pass_is_no_anomaly(odd):
    """It is being closed or assigned."""
    record = odd.listed("active")
    odd.look()
    odd.listed("active", wanted=True, record=record)
    odd.look()
    odd.listed("active", record=record)
    odd.look()
    assert odd.counted == {}


@pytest.mark.parametrize("state", ["active", "connecting"])
def test_connection_that_a_request_of_the_pool_has_is_no_orphan(odd, state):
    """The request is tracked or, from before instrument(), known to the pool alone."""
    record = odd.listed(state)
    odd.scene.tracker.assigned(odd.scene.enter(), record)
    odd.look(5)
    odd.listed(state, wanted=True)
    odd.look(5)
    assert odd.counted == {}


# A waiter past its own timeout


@pytest.mark.parametrize(
    ("timeout", "looks", "counted"), [(5.0, 20, {OVERRUN: 1}), (5.0, 6, {}), (None, 100, {})]
)
def test_waiter_past_its_timeout_and_a_second_is_counted_once(odd, timeout, looks, counted):
    """Timers can be late on a busy machine."""
    odd.waiter(timeout)
    odd.look(looks)
    assert odd.counted == counted


def test_timeout_restarts_with_each_requeue(odd):
    lease = odd.waiter(timeout=5.0)
    for _ in range(5):
        odd.look(4)
        odd.scene.tracker.waiting(lease, 5.0)
    assert odd.counted == {}


def test_process_that_was_stopped_is_no_anomaly(odd):
    """After a minute of SIGSTOP the first pass may come before the waiter wakes up."""
    lease = odd.waiter(timeout=5.0)
    odd.look(1, every=60)
    odd.scene.tracker.failed(lease, "pool_timeout")
    odd.look(5)
    assert odd.counted == {}


def test_waiter_on_an_unwatched_loop_has_a_longer_grace(odd):
    """Its loop's lateness is unknown: trio's, or with ``loop_lag=False``."""
    odd.scene.tracker.loop = NOWHERE
    odd.waiter(timeout=5.0)
    odd.look(30)
    assert odd.counted == {}
    odd.look(10)
    assert odd.counted == {OVERRUN: 1}


# Not while a loop is late, and not for what can't be read


@pytest.mark.parametrize(
    "provoke",
    [
        lambda odd: (odd.listed("idle"), odd.waiter()),
        lambda odd: odd.listed("active"),
        lambda odd: odd.waiter(timeout=1.0),
    ],
)
def test_no_anomaly_is_counted_while_an_event_loop_is_late(odd, provoke):
    """The observed state may then be a second old."""
    provoke(odd)
    for late, looks, counted in ((SECOND, 10, 0), (0, 2, 1), (SECOND, 2, 1), (0, 8, 1)):
        odd.lag.late = late
        odd.look(looks)
        assert sum(odd.counted.values()) == counted


def test_anomaly_needs_two_passes_after_a_late_loop(odd):
    odd.listed("active")
    odd.look()
    odd.lag.late = SECOND
    odd.look()
    odd.lag.late = 0
    odd.look()
    assert odd.counted == {}


def test_pool_that_can_not_be_read_has_no_anomalies(odd):
    """The failure is counted instead."""
    pool = Unreadable()
    tracker = odd.scene.track(pool)
    tracker.waiting(tracker.begin(b"api.test", None, b"https", None), 1.0)
    odd.look(5)
    assert odd.counted == {}
    assert odd.scene.registry.failures.counts == {"view": 5}


@pytest.mark.parametrize("waiters", [1, 50])
def test_pass_does_not_compare_each_waiter_with_each_connection(odd, waiters):
    view = Looked(odd.scene.connection())
    odd.scene.pool.views = [view]
    for _ in range(waiters):
        odd.waiter()
    odd.look()
    assert view.looks <= 3
