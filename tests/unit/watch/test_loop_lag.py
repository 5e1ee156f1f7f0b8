"""Lateness of event loops: a block is detected, and an idle loop is not late."""

import asyncio
import gc
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from opentelemetry.instrumentation.gluellm.pool.registry import NOWHERE, running_loop
from opentelemetry.instrumentation.gluellm.vocabulary import READING
from opentelemetry.instrumentation.gluellm.watch import loop_lag
from opentelemetry.instrumentation.gluellm.watch.loop_lag import LoopLag
from opentelemetry.instrumentation.gluellm.watch.watch import Watch
from unit.pool.fakes import SECOND, Clock, FakePool, Scene

BLOCK, SEEN = 0.35, 0.25
"""Seconds of a block, and the part that is detected: all but the timer's interval."""


class FakeLoop:
    """An event loop that a test runs step by step."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.running, self.closed = True, False
        self.scheduled: list[tuple[int, Callable[[], None]]] = []

    def call_soon_threadsafe(self, callback: Callable[[], None]) -> None:
        if self.closed:
            raise RuntimeError("Event loop is closed")
        self.scheduled.append((self._clock(), callback))

    def call_later(self, delay: float, callback: Callable[[], None]) -> None:
        self.scheduled.append((self._clock() + round(delay * SECOND), callback))

    def is_running(self) -> bool:
        return self.running

    def is_closed(self) -> bool:
        return self.closed

    def turn(self) -> None:
        """One pass of the loop."""
        due = [(at, callback) for at, callback in self.scheduled if at <= self._clock()]
        self.scheduled = [each for each in self.scheduled if each not in due]
        for _, callback in due:
            callback()


class Measured:
    """A pool, the lag of the loop that its requests run in, and a watch."""

    def __init__(self) -> None:
        self.scene = Scene(loop_lag=True)
        self.clock = self.scene.clock
        self.lag = LoopLag(self.scene.registry, window=75.0)
        self.watch = Watch(self.scene.registry, leak_threshold=60, loop_lag=self.lag)
        self.loop = FakeLoop(self.clock)
        self.scene.tracker.loop = weakref.ref(self.loop)

    def read(self, *, turn: bool = True) -> Any:
        """Begin a request whose body is read, and run a pass, which starts the timer."""
        lease = self.scene.acquire()
        self.scene.tracker.answered(lease, 200)
        lease.enter(READING, self.clock())
        self.watch.run_pass()
        if turn:
            self.loop.turn()
        return lease

    def run(self, seconds: float) -> None:
        """Let the loop run, pass by pass."""
        for _ in range(round(seconds / 0.05)):
            self.clock.advance(0.05)
            self.loop.turn()

    def block(self, seconds: float = BLOCK) -> None:
        """Let time pass in which the loop does nothing, and then run it."""
        self.clock.advance(seconds)
        self.loop.turn()

    @property
    def peak(self) -> float:
        return self.lag.peak(self.clock()) / SECOND

    @property
    def late(self) -> float:
        return self.lag.late(self.clock()) / SECOND

    @property
    def armed(self) -> list[bool]:
        return [timer.armed for _, timer in self.lag._timers.items()]


@pytest.fixture
def measured() -> Measured:
    return Measured()


def test_block_is_detected_during_and_after_it_and_a_healthy_loop_is_not_late(measured):
    measured.read()
    measured.run(1)
    assert (measured.peak, measured.late) == (0, 0)
    measured.clock.advance(BLOCK)
    assert measured.peak == measured.late == pytest.approx(SEEN)
    measured.loop.turn()
    measured.run(1)
    assert measured.peak == pytest.approx(SEEN)
    measured.clock.advance(200)
    measured.loop.running = False
    assert measured.peak == 0


def test_blocks_add_up_and_are_recent_for_a_while(measured):
    """The peak of one block and of two is the same; the time that is lost is not."""
    measured.read()
    measured.run(0.1)
    measured.block(0.15)
    assert measured.late == pytest.approx(0.05)
    assert not measured.lag.blocked_within(SECOND, measured.clock())  # too short for that
    measured.run(0.1)
    measured.watch.run_pass()
    for blocks in (1, 2):
        assert not measured.lag.blocked_within(SECOND, measured.clock())
        measured.run(0.1)
        measured.block()
        assert measured.late == pytest.approx(0.05 + blocks * SEEN)
        measured.watch.run_pass()
        assert measured.late == pytest.approx(0.05 + blocks * SEEN)
        assert measured.lag.blocked_within(SECOND, measured.clock())
        measured.run(1.1)
        measured.watch.run_pass()
    assert measured.peak == pytest.approx(SEEN)
    measured.clock.advance(BLOCK)
    assert measured.lag.blocked_within(SECOND, measured.clock())  # at this moment


def test_latest_of_several_loops_counts(measured):
    """Two loops that are blocked at the same time lose that time once."""
    pool, loop = FakePool(), FakeLoop(measured.clock)
    other = measured.scene.track(pool, name="anthropic")
    other.loop = weakref.ref(loop)
    lease = other.begin(b"api.test", None, b"https", None)
    other.assigned(lease, measured.scene.connection(established=True))
    measured.read()
    for _ in range(2):
        measured.loop.turn()
        loop.turn()
        measured.clock.advance(0.6)
        measured.watch.run_pass()
    loop.turn()
    measured.loop.turn()
    measured.watch.run_pass()
    assert measured.late == pytest.approx(1.0)
    assert sum(timer.late for _, timer in measured.lag._timers.items()) == pytest.approx(2 * SECOND)


def test_late_time_never_falls(measured):
    """It is read during a block, at its end, and in the next installation on this Meter."""
    lease = measured.read()
    measured.run(0.2)
    seen = [0]
    for step in range(12):
        measured.clock.advance(0.05)
        seen.append(measured.lag.late_time(measured.clock()))
        if step % 3 == 0:
            measured.watch.run_pass()
    measured.loop.turn()
    measured.scene.tracker.released(lease)
    seen.append(measured.lag.late_time(measured.clock()))
    assert seen == sorted(seen)
    assert seen[-1] == pytest.approx(0.5 * SECOND)
    next_one = LoopLag(measured.scene.registry, window=75.0)
    assert next_one.late_time(measured.clock()) == seen[-1]
    assert next_one.late(measured.clock()) == 0


def test_lateness_of_a_loop_that_ends_before_the_next_pass_counts(measured):
    """For example with ``asyncio.run`` for each call."""
    measured.read()
    measured.run(0.1)
    measured.block()
    measured.loop = FakeLoop(measured.clock)
    gc.collect()
    measured.watch.run_pass()
    assert measured.late == pytest.approx(SEEN)
    assert measured.scene.tracker.loop is None


def test_late_share_is_of_the_last_minute():
    """For a younger process it is the share of all its time."""
    scene = Scene(loop_lag=True)
    lag = LoopLag(scene.registry, window=75.0)
    ledgers, clock = scene.registry.ledgers, scene.clock
    assert lag.recent_share(clock()) == 0
    for late in (0.0, 5.0, 0.0):
        clock.advance(10)
        ledgers.late_time += round(late * 1e9)
        lag.count(clock())
    assert lag.recent_share(clock()) == pytest.approx(5 / 30)
    clock.advance(45)  # the watch rests: no request is in flight
    assert lag.recent_share(clock()) == pytest.approx(5 / 60)
    clock.advance(10)
    lag.count(clock())
    assert lag.recent_share(clock()) == 0
    assert len(lag._history) <= 3
    lag.forget()
    assert lag.recent_share(clock()) == 0


def test_block_that_starts_before_the_first_pass_is_detected(measured):
    """Only its part after the pass is measured."""
    measured.read(turn=False)
    measured.block()
    assert measured.peak == pytest.approx(BLOCK)


@pytest.mark.parametrize(
    ("what", "seen"),
    [("no request", 0), ("ends with it", SEEN), ("of another loop", 0), ("began later", 0)],
)
def test_only_a_block_of_a_loop_that_a_request_needs_counts(measured, what, seen):
    """The timer still runs for a while after the last request."""
    lease = measured.read()
    measured.run(0.1)
    if what == "ends with it":
        measured.clock.advance(BLOCK)
        measured.scene.tracker.released(lease)
        measured.loop.turn()
    else:
        measured.scene.tracker.released(lease)
        measured.scene.drain()
        other = FakeLoop(measured.clock)
        if what == "of another loop":
            measured.scene.tracker.loop = weakref.ref(other)
            measured.scene.acquire()
        elif what == "began later":
            measured.clock.advance(BLOCK)
            measured.scene.acquire()
        measured.block()
    assert measured.peak == pytest.approx(seen)


@pytest.mark.parametrize("chunks", [False, True], ids=["one call at a time", "one chunk at a time"])
def test_loop_that_runs_intermittently_is_not_late(measured, chunks):
    """Between runs nothing is in flight, or responses are unread."""
    tracker = measured.scene.tracker
    lease = measured.read()
    for _ in range(3):
        measured.run(0.2)
        if chunks:
            tracker.answered(lease, 200)
        else:
            tracker.released(lease)
        measured.loop.running = False
        measured.clock.advance(BLOCK)
        measured.watch.run_pass()
        measured.clock.advance(BLOCK)
        assert measured.peak == 0
        measured.loop.running = True
        if chunks:
            lease.enter(READING, measured.clock())
        measured.loop.turn()
        assert measured.peak == 0
        if not chunks:
            lease = measured.read()


def test_timer_ends_when_no_request_needs_it(measured):
    """The watch must renew it repeatedly."""
    lease = measured.read()
    measured.run(2.4)
    assert measured.armed == [True]
    measured.scene.tracker.released(lease)
    measured.run(0.3)
    assert measured.armed == [False]
    assert not measured.loop.scheduled
    measured.read()
    assert measured.armed == [True]
    measured.run(0.1)
    measured.watch.stop()
    measured.run(0.2)
    assert measured.armed == [False]


def test_timer_that_fails_does_not_reach_the_loop(measured):
    """It is counted as an own failure, and the watch starts another."""

    def fail():
        raise ValueError

    measured.lag.clock = fail
    measured.read()
    assert measured.scene.registry.failures.counts == {"loop_lag": 1}
    measured.lag.clock = measured.clock
    measured.watch.run_pass()
    measured.loop.turn()
    assert measured.armed == [True]


def test_pools_of_a_loop_share_one_timer(measured):
    for _ in range(20):
        measured.read()
    measured.run(0.05)
    assert len(measured.loop.scheduled) == len(measured.armed) == 1


@pytest.mark.parametrize("when", ["before", "after"])
def test_closed_loop_gets_no_timer(measured, when):
    """There is no failure and no lateness. The pool's next request sets its new loop."""
    if when == "after":
        measured.read()
        measured.run(0.1)
    measured.loop.closed = True
    measured.clock.advance(BLOCK)
    assert (measured.peak, measured.late) == (0, 0)
    measured.scene.acquire()
    measured.watch.run_pass()
    assert measured.scene.tracker.loop is None
    assert measured.scene.registry.failures.counts == {}


def test_forked_child_has_no_lateness_of_its_parent(measured):
    """Loops and their lateness belong to the parent."""
    measured.read()
    measured.run(0.1)
    measured.block()
    measured.watch.run_pass()
    measured.lag.forget()
    assert (measured.peak, measured.late, measured.armed) == (0, 0, [])
    assert not measured.lag.blocked_within(SECOND, measured.clock())


# Real loops


@pytest.fixture(params=["asyncio", "uvloop"])
def make_loop(request: pytest.FixtureRequest) -> Callable[[], asyncio.AbstractEventLoop]:
    return pytest.importorskip(request.param).new_event_loop


class Real(Measured):
    """`Measured` on a real loop and the real clock."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        registry = self.scene.registry
        registry.clock = self.scene.tracker.clock = self.clock = time.monotonic_ns
        self.lag = LoopLag(registry, window=75.0)
        self.watch = Watch(registry, leak_threshold=60, loop_lag=self.lag)
        self.scene.tracker.loop = weakref.ref(loop)


def test_block_of_a_real_loop_is_detected_and_its_timer_does_not_keep_the_loop(make_loop):
    loop = make_loop()
    real = Real(loop)

    async def call():
        real.read()
        await asyncio.sleep(0.02)
        time.sleep(BLOCK)
        await asyncio.sleep(0.02)

    loop.run_until_complete(call())
    assert real.late >= SEEN - 0.1
    assert real.armed == [True]
    gone = weakref.ref(loop)
    loop.close()
    del loop
    gc.collect()
    assert gone() is None
    real.watch.run_pass()
    assert real.scene.tracker.loop is None
    assert real.armed == []


# The loop of a pool's requests


def test_running_loop_is_referenced_weakly(measured):
    """Without one, as in trio's tasks, there is no timer and no repeated query."""

    async def find():
        return running_loop()

    loop = asyncio.new_event_loop()
    assert loop.run_until_complete(find())() is loop
    loop.close()
    assert running_loop() is NOWHERE
    measured.scene.tracker.loop = NOWHERE
    measured.read()
    assert measured.scene.tracker.loop is NOWHERE
    assert measured.armed == []


def test_stack_of_a_blocked_loop_is_kept_for_a_minute(measured, monkeypatch):
    """Passes that find no timer overdue do not read stacks."""
    stacks = [("app.py:9 in load", "app.py:9 in load"), ("app.py:4 in rank", "ssl.py:7 in read")]
    monkeypatch.setattr(loop_lag, "busy_loops", lambda: [stacks[0]])
    measured.read()
    measured.run(1)
    measured.watch.run_pass()
    assert measured.lag.busy(measured.clock()) == ({}, ())
    for stack in (*stacks, stacks[1]):
        monkeypatch.setattr(loop_lag, "busy_loops", lambda stack=stack: [stack])
        measured.clock.advance(BLOCK)
        measured.watch.run_pass()
    sites, stack = measured.lag.busy(measured.clock())
    assert [*sites.items()] == [("app.py:4 in rank", 2), ("app.py:9 in load", 1)]
    assert stack == ("ssl.py:7 in read",)
    for frame in ("ssl.py:8 in read", "json.py:7 in loads"):
        monkeypatch.setattr(loop_lag, "busy_loops", lambda f=frame: [("app.py:4 in rank", f)])
        measured.clock.advance(BLOCK)
        measured.watch.run_pass()
    assert measured.lag.busy(measured.clock())[1] == ()  # half of the innermost frames differ
    measured.clock.advance(60)
    assert measured.lag.busy(measured.clock()) == ({}, ())


@pytest.mark.parametrize("greenlets", [True, False])
def test_hub_of_greenlets_is_late_when_the_watch_is(measured, monkeypatch, greenlets):
    """This needs a request in flight without a loop. A late thread is not a late loop."""
    monkeypatch.setattr(loop_lag, "threads_are_greenlets", lambda: greenlets)
    late = [0.0]

    class Stopped(threading.Event):
        def wait(self, timeout=None):
            measured.clock.advance((timeout or 0.0) + late[0])
            return False

    def sleep():
        measured.lag.sleep(Stopped(), 1.0)
        measured.watch.run_pass()
        return measured.late

    measured.scene.tracker.loop = None
    assert sleep() == 0
    late = [BLOCK]
    assert sleep() == 0  # nothing is in flight
    late = [0.0]
    measured.scene.acquire()
    assert sleep() == 0
    late = [BLOCK]
    assert sleep() == pytest.approx(3 * BLOCK if greenlets else 0)
    assert measured.peak == pytest.approx(BLOCK if greenlets else 0)
    assert measured.lag.blocked_within(SECOND, measured.clock()) is greenlets
