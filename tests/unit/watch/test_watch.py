"""Findings of the watch on a fake clock, and the life of its thread."""

import contextlib
import gc
import threading
import weakref
from collections.abc import Iterator
from typing import Any
from unittest.mock import Mock

import pytest

from opentelemetry.instrumentation.gluellm.pool.call import Call
from opentelemetry.instrumentation.gluellm.pool.lease import TrackedConnection
from opentelemetry.instrumentation.gluellm.pool.observer import PoolObserver
from opentelemetry.instrumentation.gluellm.vocabulary import AWAITING_RESPONSE, READING, UNREAD
from opentelemetry.instrumentation.gluellm.watch import watch as watch_module
from opentelemetry.instrumentation.gluellm.watch.watch import Watch
from support.waiting import wait_until
from unit.pool.fakes import FakePool, Scene

THRESHOLD = 60.0


@pytest.fixture
def watch(scene: Scene) -> Watch:
    """A watch whose passes a test runs."""
    return Watch(scene.registry, leak_threshold=THRESHOLD, loop_lag=None)


def readable(scene: Scene) -> TrackedConnection:
    """A connection whose reads are recorded."""
    made = scene.connection(established=True)
    made.reports_reads = True
    return made


def unread(
    scene: Scene,
    connection: TrackedConnection | None = None,
    *,
    status: int = 200,
    call: Call | None = None,
) -> Any:
    """A request that was answered, and whose response is not read."""
    lease = scene.acquire(connection or readable(scene), call)
    scene.tracker.answered(lease, status)
    return lease


def suspected(scene: Scene, watch: Watch, **further: Any) -> Any:
    """A leak that the watch has detected."""
    lease = unread(scene, **further)
    scene.clock.advance(THRESHOLD)
    watch.run_pass()
    assert lease in watch.suspects()
    return lease


# Leaks


def test_leak_is_found_at_its_threshold_and_reported_once(scene, watch):
    """It is reported, counted, and in the state. Later passes do not report it again."""
    lease = unread(scene)
    scene.clock.advance(THRESHOLD - 0.001)
    assert watch.run_pass()
    assert scene.recorder.args("leak_suspected") == []
    scene.clock.advance(0.001)
    for _ in range(3):
        watch.run_pass()
        assert scene.recorder.args("leak_suspected") == [(lease, lease.phase_since)]
        assert scene.ledger.leaks == 1
        scene.clock.advance(THRESHOLD)
    assert watch.suspects() == (lease,)


def test_time_unread_counts_from_the_last_read(scene, watch):
    """A long stream is no leak, whenever its head came."""
    lease = unread(scene)
    scene.clock.advance(THRESHOLD - 1)
    lease.enter(READING, scene.clock())
    scene.clock.advance(THRESHOLD * 10)
    watch.run_pass()
    lease.enter(UNREAD, scene.clock())
    scene.clock.advance(THRESHOLD - 1)
    watch.run_pass()
    assert scene.recorder.args("leak_suspected") == []


@pytest.mark.parametrize(
    "what", ["reading", "awaiting", "reads are not noted", "another protocol", "threshold of 0"]
)
def test_unread_response_with_an_active_reader_is_no_leak(scene, watch, what):
    """For example a silent provider, or a WebSocket whose bytes bypass the response."""
    if what == "threshold of 0":
        watch = Watch(scene.registry, leak_threshold=0, loop_lag=None)
    connection = scene.connection(established=True) if what == "reads are not noted" else None
    lease = unread(scene, connection, status=101 if what == "another protocol" else 200)
    if what in ("reading", "awaiting"):
        lease.enter(READING if what == "reading" else AWAITING_RESPONSE, scene.clock())
    scene.clock.advance(86_400)
    assert watch.run_pass()
    assert scene.recorder.args("leak_suspected") == []
    assert scene.ledger.leaks == 0


@pytest.mark.parametrize(
    ("how", "reported"),
    [("released", "released"), ("pool closed", "closed"), ("pool collected", "released")],
)
def test_released_leak_is_reported_once(scene, watch, how, reported):
    """Afterwards the lease is not kept; a suspected leak keeps no pool alive."""
    lease = suspected(scene, watch)
    if how == "released":
        scene.tracker.released(lease)
    elif how == "pool closed":
        scene.tracker.discard("closed")
    else:
        scene.pool = None
    watch.run_pass()
    watch.run_pass()
    assert scene.recorder.args("leak_over") == [(lease, reported)]
    assert watch.suspects() == ()
    assert not watch._leases or watch._leases.keys() == scene.tracker.leases.keys()
    assert scene.ledger.leaks == 1


def test_leak_that_is_released_between_two_passes_is_reported(scene, watch):
    """It was unread for longer than the threshold, although no pass found it so."""
    lease = unread(scene)
    scene.clock.advance(THRESHOLD - 0.5)
    watch.run_pass()
    scene.clock.advance(0.6)
    scene.tracker.released(lease)
    scene.clock.advance(0.5)
    watch.run_pass()
    assert scene.recorder.args("leak_suspected") == [(lease, lease.phase_since)]
    assert scene.recorder.args("leak_over") == [(lease, "released")]
    assert scene.ledger.leaks == 1
    shorter = unread(scene)
    watch.run_pass()
    scene.clock.advance(THRESHOLD - 0.1)
    scene.tracker.released(shorter)
    scene.clock.advance(0.5)
    watch.run_pass()
    assert scene.ledger.leaks == 1


@pytest.mark.parametrize("how", ["read", "step of the call"])
def test_leak_that_is_read_again_ends_and_can_recur(scene, watch, how):
    """A slow consumer is suspected again after the next pause, but counted once."""
    call = Call("openai", "m")
    lease = suspected(scene, watch, call=call)
    if how == "read":
        lease.enter(READING, scene.clock())
        lease.enter(UNREAD, scene.clock())
    else:
        call.steps += 1
    scene.clock.advance(1)
    watch.run_pass()
    assert scene.recorder.args("leak_over") == [(lease, "read")]
    assert watch.suspects() == ()
    assert not watch._leases or watch._leases.keys() == scene.tracker.leases.keys()
    scene.clock.advance(THRESHOLD)
    watch.run_pass()
    assert len(scene.recorder.args("leak_suspected")) == 2
    assert scene.ledger.leaks == 1


def test_reader_of_data_that_the_sdk_read_ahead_is_no_leak(scene, watch):
    """The threshold counts from the pass that saw its last step."""
    call = Call("openai", "m")
    lease = unread(scene, call=call)
    for _ in range(int(THRESHOLD * 3)):
        call.steps += 1
        scene.clock.advance(1)
        watch.run_pass()
    scene.clock.advance(THRESHOLD - 1)
    watch.run_pass()
    assert scene.recorder.args("leak_suspected") == []
    last_step = scene.clock() - int((THRESHOLD - 1) * 1e9)
    scene.clock.advance(1)
    watch.run_pass()
    assert scene.recorder.args("leak_suspected") == [(lease, last_step)]


# One pass


@pytest.mark.parametrize("error", [SystemExit(), ValueError("secret")], ids=repr)
@pytest.mark.parametrize("where", ["observer", "clock"])
def test_failing_pass_is_counted_and_raises_nothing(scene, watch, monkeypatch, where, error):
    """The thread continues: no log handler or test may end it."""
    unread(scene)
    fail = Mock(side_effect=error)
    if where == "clock":
        scene.registry.clock = fail
    else:
        monkeypatch.setattr(scene.registry.observer, "watch_passed", fail)
    watch.run_pass()
    assert scene.registry.failures.counts == {"watch": 1}


# The thread


class Passes(PoolObserver):
    """Counts passes."""

    def __init__(self) -> None:
        self.passed = 0
        self.threads: set[threading.Thread] = set()

    def watch_passed(self) -> None:
        self.passed += 1
        self.threads.add(threading.current_thread())


class Watched:
    """A scene with a watch whose thread runs a pass every few milliseconds."""

    def __init__(self) -> None:
        self.passes = Passes()
        self.scene = Scene(self.passes)
        self.watch = Watch(self.scene.registry, leak_threshold=THRESHOLD, loop_lag=None)

    @property
    def thread(self) -> threading.Thread | None:
        """The watch's thread, while it has one."""
        return self.watch._thread.current

    def request(self) -> None:
        """A whole request."""
        self.scene.tracker.released(self.scene.acquire())

    def seen(self) -> None:
        """Wait until a whole pass has run."""
        passed = self.passes.passed
        wait_until(lambda: self.passes.passed >= passed + 2, "a pass")

    @contextlib.contextmanager
    def may_rest(self) -> Iterator[None]:
        """Let the thread end after the first pass that finds no request."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(watch_module, "_REST_AFTER", 1)
            yield


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> Iterator[Watched]:
    """A watch that is stopped at the end."""
    # A busy machine may stop a test between a request and the next pass.
    monkeypatch.setattr(watch_module, "_REST_AFTER", 10**9)
    monkeypatch.setattr(watch_module, "INTERVAL", 0.005)
    made = Watched()
    made.watch.start()
    yield made
    made.watch.stop()


def test_thread_stays_while_a_request_is_in_flight_and_then_ends(watched):
    """A request starts it, and after its end the next request starts another."""
    assert watched.thread is None
    lease = watched.scene.acquire()
    first = watched.thread
    assert first.daemon
    with watched.may_rest():
        for _ in range(3):
            watched.seen()
        assert watched.thread is first
        watched.scene.tracker.released(lease)
        wait_until(lambda: watched.thread is None)
    first.join(60)
    assert not first.is_alive()
    watched.request()
    assert watched.thread not in (None, first)


def test_thread_stays_while_a_leak_is_suspected(watched):
    """The watch must report its end."""
    scene = watched.scene
    lease = unread(scene)
    scene.clock.advance(THRESHOLD)
    wait_until(lambda: lease in watched.watch.suspects())
    with watched.may_rest():
        for _ in range(5):
            watched.seen()
        scene.tracker.released(lease)
        wait_until(lambda: scene.recorder.args("leak_over"))
        wait_until(lambda: watched.thread is None)


def test_passes_are_not_in_step_with_a_loop_that_blocks_once_a_second(scene, watch):
    """Passes come at any moment of a second, and each second on average."""
    scene.acquire()
    waits = []

    class Stopped(threading.Event):
        def wait(self, timeout=None):
            waits.append(timeout or 0.0)
            return len(waits) == 200

    watch._thread.stopped = Stopped()
    watch._run()
    assert 0.9 < sum(waits) / len(waits) < 1.1
    moments = {int(10 * (sum(waits[:n]) % 1.0)) for n in range(200)}
    assert moments == set(range(10))


def test_request_during_the_watchs_exit_keeps_it_running(scene, watch, monkeypatch):
    """The watch asks to be woken, a request arrives, and the thread may not end."""
    monkeypatch.setattr(watch_module, "INTERVAL", 3600)
    watch.start()
    unread(scene)
    try:
        assert watch._thread.current is not None
        assert not watch._rests()
        scene.enter()
        assert not watch._rests()
        assert watch._rests()  # no request arrived this time
        assert scene.registry.attention  # the next request wakes it
    finally:
        watch.stop()


def test_request_in_the_last_moment_of_the_watch_keeps_it_running(scene, watch):
    """Its thread is about to end, and the request still finds it."""
    watch._thread.current = threading.current_thread()
    watch.start()
    assert not watch._rests()
    watch.account.rest = scene.enter
    assert not watch._rests()
    assert watch._thread.current is threading.current_thread()


def test_request_does_not_wait_while_another_one_starts_the_thread(watched, monkeypatch):
    """One thread is started, and the second request need not try again."""
    start, starting, go_on = threading.Thread.start, threading.Event(), threading.Event()

    def slow(thread):
        if thread.name == "gluellm-pool-watch":
            starting.set()
            assert go_on.wait(60)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", slow)
    first = threading.Thread(target=watched.watch.wake)
    first.start()
    assert starting.wait(60)
    watched.scene.acquire()
    assert not watched.scene.registry.attention
    go_on.set()
    first.join(60)
    watched.seen()
    assert len(watched.passes.threads) == 1


def test_notes_on_leases_and_pools_are_dropped_with_them(watched):
    """While the watch rests, the notes keep no tracker alive."""
    scene = watched.scene
    lease = unread(scene, call=Call("openai", "m"))
    watched.seen()
    assert watched.watch._leases.keys() == {lease}
    scene.tracker.released(lease)
    with watched.may_rest():
        wait_until(lambda: watched.thread is None)
    assert not watched.watch._leases
    assert list(watched.watch._pools) == [scene.tracker]
    gone = weakref.ref(scene.tracker)
    lease.tracker = scene.tracker = scene.pool = None
    scene.recorder.events.clear()
    scene.registry.outbox.items.clear()
    del lease
    gc.collect()
    assert gone() is None


def test_stop_ends_the_thread_and_no_request_starts_another(watched):
    """None is left after uninstrument()."""
    watched.scene.acquire()
    thread = watched.thread
    watched.watch.stop()
    thread.join(60)  # stop() waits for a second
    assert not thread.is_alive()
    watched.scene.registry.attention = True
    for start in (watched.request, watched.watch.wake):
        start()
        assert watched.thread is None
    watched.watch.stop()


def test_stop_can_be_called_in_the_watch_thread(watched):
    """An observer or a log handler may uninstrument."""
    done = threading.Event()

    def stop():
        watched.watch.stop()
        done.set()

    watched.scene.registry.observer.watch_passed = stop
    watched.watch.start()
    watched.scene.acquire()
    assert done.wait(60)


def test_thread_that_can_not_be_started_is_tried_again(watched, monkeypatch):
    """The request continues, and the next one tries again."""

    def fail(_):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as failing:
        failing.setattr(threading.Thread, "start", fail)
        watched.request()
        assert watched.thread is None
        assert watched.scene.registry.failures.counts == {"watch.start": 1}
    watched.request()
    assert watched.thread is not None
    watched.seen()


def test_interrupted_wake_is_repeated_by_the_next_request(scene):
    """A signal handler may raise before the thread is started."""
    wake = Mock(side_effect=[KeyboardInterrupt, None])
    scene.registry.wake_watch(wake)
    with pytest.raises(KeyboardInterrupt):
        scene.enter()
    for _ in range(2):
        scene.enter()
    assert wake.call_count == 2


def test_after_fork_the_next_request_starts_a_thread(scene, watch, monkeypatch):
    """The parent's thread does not exist in the child."""
    monkeypatch.setattr(watch_module, "INTERVAL", 3600)
    watch.start()
    scene.acquire()
    parents = watch._thread.current
    assert parents is not None
    parents_stop = watch._thread.stopped
    pool = FakePool()
    scene.registry.forget()
    watch.after_fork_in_child()
    scene.tracker = scene.track(pool)
    scene.enter()
    assert watch._thread.current not in (None, parents)
    watch.stop()
    parents_stop.set()
