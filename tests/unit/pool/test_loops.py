"""Lateness of timers on real event loops: a block is seen, and a loop that rests is not late."""

from __future__ import annotations

import asyncio
import gc
import importlib
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any

import pytest

from opentelemetry.instrumentation.gluellm.pool.connection import TrackedConnection
from opentelemetry.instrumentation.gluellm.pool.lease import READING
from opentelemetry.instrumentation.gluellm.pool.loops import LoopLag, running_loop
from opentelemetry.instrumentation.gluellm.pool.registry import NOWHERE
from opentelemetry.instrumentation.gluellm.pool.watch import Watch
from support.waiting import wait_until
from unit.pool.fakes import Clock, FakePool, Scene

BLOCK = 0.3
SEEN = 0.2
"""Of a block of 0.3 s: all but the time between two firings."""

MakeLoop = Callable[[], asyncio.AbstractEventLoop]


def _make_uvloop() -> asyncio.AbstractEventLoop:
    uvloop = importlib.import_module("uvloop")
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop


@pytest.fixture(params=["asyncio", "uvloop"])
def make_loop(request: pytest.FixtureRequest) -> MakeLoop:
    """Makes an event loop; uvloop's where that is installed."""
    if request.param == "asyncio":
        return asyncio.new_event_loop
    pytest.importorskip("uvloop")
    return _make_uvloop


class Loop:
    """An event loop in a thread of its own."""

    def __init__(self, make: MakeLoop) -> None:
        self.loop = make()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()

    def block(self, seconds: float) -> Future[None]:
        """Block it; the future is done when it goes on."""
        done: Future[None] = Future()

        def sleep() -> None:
            time.sleep(seconds)
            done.set_result(None)

        self.loop.call_soon_threadsafe(sleep)
        return done

    def turn(self) -> None:
        """Wait until it has done all that it was given so far."""
        turned = threading.Event()
        self.loop.call_soon_threadsafe(turned.set)
        assert turned.wait(10)

    def stop(self) -> None:
        """End the thread and close the loop."""
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(10)
        self.loop.close()


@pytest.fixture
def running(make_loop: MakeLoop) -> Iterator[Loop]:
    """A loop that runs."""
    loop = Loop(make_loop)
    yield loop
    loop.stop()


class Measured:
    """A pool on the real clock, and the lag of the loop that its requests are said to run in."""

    def __init__(self, loop: asyncio.AbstractEventLoop | None = None) -> None:
        self.scene = Scene(loop_lag=True)
        registry = self.scene.registry
        registry.clock = self.scene.tracker.clock = time.monotonic_ns
        self.lag = LoopLag(registry, window=75.0)
        self.watch = Watch(registry, leak_threshold=60, loop_lag=self.lag)
        if loop is not None:
            self.scene.tracker.loop = weakref.ref(loop)

    @property
    def peak(self) -> float:
        """The worst lateness in seconds."""
        return self.lag.peak(time.monotonic_ns()) / 1e9

    def read(self, tracker: Any = None) -> Any:
        """A request whose body is being read."""
        if tracker is None:
            tracker, lease = self.scene.tracker, self.scene.acquire()
        else:
            lease = tracker.begin(b"api.test", None, b"https", None)
            tracker.assigned(lease, TrackedConnection(tracker, lease.origin, time.monotonic_ns()))
        tracker.answered(lease, 200)
        lease.enter(READING, time.monotonic_ns())
        return lease

    def armed(self) -> bool:
        """Whether a timer waits."""
        return any(timer.armed for _, timer in self.lag._pending())

    def next_firing(self) -> None:
        """Wait until the timer has fired and waits anew."""
        (timer,) = [timer for _, timer in self.lag._pending()]
        due = timer.due
        wait_until(lambda: timer.due > max(due, time.monotonic_ns()), "a firing")


def test_block_is_seen(running: Loop) -> None:
    """All of it but the time between two firings, and it stays for the window."""
    measured = Measured(running.loop)
    measured.read()
    measured.watch.look()
    measured.next_firing()
    assert measured.peak < SEEN
    running.block(BLOCK).result(10)
    measured.next_firing()
    assert SEEN <= measured.peak < BLOCK + 1


def test_blocks_add_up_and_are_recent_for_a_while(running: Loop) -> None:
    """The peak of one block and of two is the same; the time that is lost is not."""
    measured = Measured(running.loop)
    measured.read()
    lag = measured.lag
    assert not lag.blocked_within(5_000_000_000, time.monotonic_ns())
    for blocks in (1, 2):
        measured.watch.look()
        running.loop.call_soon_threadsafe(time.sleep, BLOCK)
        wait_until(lambda blocks=blocks: lag.late(time.monotonic_ns()) / 1e9 >= blocks * SEEN)
    now = time.monotonic_ns()
    assert lag.late(now) / 1e9 < 2 * BLOCK + 1
    assert lag.blocked_within(5_000_000_000, now)
    wait_until(lambda: not lag.blocked_within(100_000_000, time.monotonic_ns()))


def test_latest_of_several_loops_counts(make_loop: MakeLoop) -> None:
    """Two loops that are blocked at the same time lose that time once."""
    loops = [Loop(make_loop), Loop(make_loop)]
    measured = Measured(loops[0].loop)
    lag = measured.lag
    pool = FakePool()
    other = measured.scene.track(pool, name="anthropic")
    other.loop = weakref.ref(loops[1].loop)
    other.clock = time.monotonic_ns
    measured.read()
    measured.read(other)
    measured.watch.look()
    wait_until(lambda: all(timer.due > time.monotonic_ns() for _, timer in lag._pending()))
    blocked = [loop.block(1.0) for loop in loops]
    while not all(done.done() for done in blocked):
        measured.watch.look()
        time.sleep(0.05)
    for loop in loops:
        loop.turn()
    measured.watch.look()
    late = lag.late(time.monotonic_ns()) / 1e9
    assert 0.8 <= late < 1.5
    assert sum(timer.late for _, timer in lag._pending()) / 1e9 >= 1.6
    for loop in loops:
        loop.stop()


def test_late_time_never_falls(running: Loop) -> None:
    """Not while a block lasts, nor when it ends, nor with the next installation on this Meter."""
    measured = Measured(running.loop)
    lease = measured.read()
    measured.watch.look()
    measured.next_firing()
    done = running.block(0.6)
    seen = [0]
    while not done.done():
        seen.append(measured.lag.late_time(time.monotonic_ns()))
        if len(seen) % 10 == 0:
            measured.watch.look()
        time.sleep(0.005)
    measured.next_firing()
    measured.scene.tracker.released(lease)
    seen.append(measured.lag.late_time(time.monotonic_ns()))
    assert seen == sorted(seen)
    assert 0.45 <= seen[-1] / 1e9 < 2
    next_one = LoopLag(measured.scene.registry, window=75.0)
    assert next_one.late_time(time.monotonic_ns()) == seen[-1]
    assert next_one.late(time.monotonic_ns()) == 0


def test_lateness_of_a_loop_that_is_gone_by_the_next_look_counts(make_loop: MakeLoop) -> None:
    """As of ``asyncio.run`` for each call."""
    loop = make_loop()
    measured = Measured(loop)

    async def call() -> None:
        measured.read()
        measured.watch.look()
        await asyncio.sleep(0.05)
        time.sleep(BLOCK)
        await asyncio.sleep(0.05)

    loop.run_until_complete(call())
    loop.close()
    del loop
    gc.collect()
    measured.watch.look()
    assert measured.lag.late(time.monotonic_ns()) / 1e9 >= SEEN


def test_share_is_of_the_last_minute() -> None:
    """Of a younger process, of all its time."""
    scene = Scene(loop_lag=True)
    lag = LoopLag(scene.registry, window=75.0)
    books, clock = scene.registry.books, scene.clock
    assert lag.recent_share(clock()) == 0
    for late in (0.0, 5.0, 0.0):
        clock.advance(10)
        books.late_time += round(late * 1e9)
        lag.look(clock())
    assert lag.recent_share(clock()) == pytest.approx(5 / 30)
    clock.advance(45)  # the watch rests: no request is in flight
    assert lag.recent_share(clock()) == pytest.approx(5 / 60)
    clock.advance(10)
    lag.look(clock())
    assert lag.recent_share(clock()) == 0
    assert len(lag._history) <= 3
    lag.forget()
    assert lag.recent_share(clock()) == 0


def test_block_is_seen_while_it_lasts(running: Loop) -> None:
    """By another thread: who is stuck can't tell it himself."""
    measured = Measured(running.loop)
    measured.read()
    measured.watch.look()
    measured.next_firing()
    release, released = threading.Event(), threading.Event()

    def block() -> None:
        release.wait(10)
        released.set()

    running.loop.call_soon_threadsafe(block)
    wait_until(lambda: measured.peak >= 0.5)
    assert not released.is_set()
    release.set()
    assert released.wait(10)


def test_block_from_before_the_first_look_is_seen(running: Loop) -> None:
    """As far as it lasts after the look."""
    measured = Measured(running.loop)
    measured.read()
    done = running.block(BLOCK)
    measured.watch.look()
    done.result(10)
    wait_until(lambda: measured.peak >= BLOCK / 3)


def test_healthy_loop_is_not_late(running: Loop) -> None:
    """Half a second of firings."""
    measured = Measured(running.loop)
    measured.read()
    measured.watch.look()
    for _ in range(5):
        measured.next_firing()
    assert measured.peak < SEEN


def test_block_without_a_request_does_not_count(running: Loop) -> None:
    """The timer still runs for a while after the last request, and nobody waits for the loop."""
    measured = Measured(running.loop)
    lease = measured.read()
    measured.watch.look()
    measured.next_firing()
    measured.scene.tracker.released(lease)
    measured.scene.work_off()
    running.block(BLOCK).result(10)
    measured.next_firing()
    assert measured.peak < SEEN


def test_block_that_a_request_ends_with_counts(running: Loop) -> None:
    """It was under way while the loop was blocked, and over before the timer came."""
    measured = Measured(running.loop)
    lease = measured.read()
    measured.watch.look()
    measured.next_firing()

    def block_and_end() -> None:
        time.sleep(BLOCK)
        measured.scene.tracker.released(lease)

    running.loop.call_soon_threadsafe(block_and_end)
    measured.next_firing()
    wait_until(lambda: measured.peak >= SEEN)


def test_request_of_another_loop_does_not_count(make_loop: MakeLoop, running: Loop) -> None:
    """Each loop's lateness concerns its own requests."""
    measured = Measured(running.loop)
    lease = measured.read()
    measured.watch.look()
    measured.next_firing()
    measured.scene.tracker.released(lease)
    measured.scene.work_off()
    other = Loop(make_loop)
    measured.scene.tracker.loop = weakref.ref(other.loop)
    measured.read()
    running.block(BLOCK).result(10)
    running.turn()
    assert measured.peak < SEEN
    other.stop()


# Loops that are run now and then


def test_loop_that_is_run_for_one_call_at_a_time_is_not_late(make_loop: MakeLoop) -> None:
    """Between two calls nobody runs it, and no request is under way."""
    loop = make_loop()
    measured = Measured(loop)

    async def call() -> None:
        lease = measured.read()
        measured.watch.look()
        await asyncio.sleep(0.02)
        measured.scene.tracker.released(lease)

    for _ in range(3):
        loop.run_until_complete(call())
        time.sleep(BLOCK)
        assert measured.peak < SEEN
    loop.run_until_complete(asyncio.sleep(0.15))
    assert measured.peak < SEEN
    loop.close()


def test_loop_that_is_run_for_one_chunk_at_a_time_is_not_late(make_loop: MakeLoop) -> None:
    """A stream that plain code reads: in between its request is under way, and unread."""
    loop = make_loop()
    measured = Measured(loop)
    tracker = measured.scene.tracker
    lease = measured.scene.acquire()
    tracker.answered(lease, 200)

    async def chunk() -> None:
        lease.enter(READING, time.monotonic_ns())
        await asyncio.sleep(0.02)
        tracker.answered(lease, 200)

    for _ in range(3):
        loop.run_until_complete(chunk())
        time.sleep(BLOCK)
        measured.watch.look()  # in a thread of its own, in truth
        time.sleep(BLOCK)
        assert measured.peak < SEEN
    loop.run_until_complete(asyncio.sleep(0.15))
    assert measured.peak < SEEN
    loop.close()


# Timers and what they keep


def test_timer_ends_when_no_request_needs_it(running: Loop, monkeypatch: Any) -> None:
    """The watch has to ask for it again and again."""
    wanted = "opentelemetry.instrumentation.gluellm.pool.loops._WANTED_FOR"
    monkeypatch.setattr(wanted, 50_000_000)
    measured = Measured(running.loop)
    lease = measured.read()
    measured.watch.look()
    assert measured.armed()
    measured.scene.tracker.released(lease)
    wait_until(lambda: not measured.armed())
    measured.read()
    measured.watch.look()
    assert measured.armed()


def test_timer_ends_with_the_installation(running: Loop) -> None:
    """None is armed after ``stop()``."""
    measured = Measured(running.loop)
    measured.read()
    measured.watch.look()
    measured.next_firing()
    measured.watch.stop()
    wait_until(lambda: not measured.armed())


def test_timer_that_fails_does_not_reach_the_applications_handler(running: Loop) -> None:
    """It is counted as ours, and the watch starts another."""
    handled: list[Any] = []
    running.loop.set_exception_handler(lambda _, context: handled.append(context))
    measured = Measured(running.loop)
    measured.read()

    def fail() -> int:
        raise ValueError

    measured.lag.clock = fail
    measured.watch.look()
    wait_until(lambda: measured.scene.registry.failures.counts == {"loop_lag": 1})
    running.turn()
    assert handled == []
    measured.lag.clock = time.monotonic_ns
    measured.watch.look()
    measured.next_firing()


def test_one_timer_for_all_pools_of_a_loop(running: Loop) -> None:
    """However often the watch looks."""
    measured = Measured(running.loop)
    measured.read()
    for _ in range(20):
        measured.watch.look()
    running.turn()
    assert len(measured.lag._pending()) == 1
    scheduled = getattr(running.loop, "_scheduled", None)
    if scheduled is not None:  # uvloop doesn't say
        assert len(scheduled) == 1


def test_timer_does_not_keep_a_loop_running(make_loop: MakeLoop) -> None:
    """``run_until_complete`` ends when its own work is done."""
    loop = make_loop()
    measured = Measured(loop)

    async def call() -> None:
        measured.read()
        measured.watch.look()

    began = time.monotonic()
    loop.run_until_complete(call())
    assert time.monotonic() - began < 1
    loop.close()


@pytest.mark.parametrize("closed", [True, False], ids=["closed", "dropped"])
def test_loop_is_collected_although_a_timer_ran(make_loop: MakeLoop, closed: bool) -> None:
    """Nothing of ours holds it, and the pool finds its next loop by itself."""
    if make_loop is _make_uvloop and not closed:
        pytest.skip("uvloop 0.23 never frees a loop that ran and was not closed")
    loop = make_loop()
    measured = Measured(loop)

    async def call() -> None:
        measured.read()
        measured.watch.look()
        await asyncio.sleep(0.15)
        assert measured.armed()

    loop.run_until_complete(call())
    gone = weakref.ref(loop)
    if closed:
        loop.close()
    del loop
    gc.collect()
    assert gone() is None
    measured.watch.look()
    assert measured.scene.tracker.loop is None
    assert measured.lag._pending() == []


def test_closed_loop_is_left_alone(make_loop: MakeLoop) -> None:
    """No timer, no failure, and the pool's next request tells its new loop."""
    loop = make_loop()
    loop.close()
    measured = Measured(loop)
    measured.read()
    measured.watch.look()
    assert measured.scene.tracker.loop is None
    assert measured.scene.registry.failures.counts == {}
    assert measured.peak == 0


def test_closed_loop_with_a_timer_is_not_late(make_loop: MakeLoop) -> None:
    """Its timer will never fire."""
    loop = make_loop()
    measured = Measured(loop)

    async def call() -> None:
        measured.read()
        measured.watch.look()
        await asyncio.sleep(0.15)

    loop.run_until_complete(call())
    loop.close()
    time.sleep(BLOCK)
    assert measured.peak < SEEN


def test_forked_child_starts_anew(running: Loop) -> None:
    """The parent's loops and their lateness are the parent's."""
    measured = Measured(running.loop)
    measured.read()
    measured.watch.look()
    measured.next_firing()
    running.block(BLOCK).result(10)
    measured.next_firing()
    assert measured.peak >= SEEN
    measured.lag.forget()
    assert measured.peak == 0
    assert measured.lag._pending() == []


def test_lateness_goes_with_the_window() -> None:
    """Seventy-five seconds later nobody asks for it any more."""
    scene = Scene(loop_lag=True)
    clock: Clock = scene.clock
    lag = LoopLag(scene.registry, window=75.0)
    scene.acquire()
    lag._peak.raise_to(500_000_000, clock())
    clock.advance(74)
    assert lag.peak(clock()) == 500_000_000
    clock.advance(75)
    assert lag.peak(clock()) == 0


# Where a pool's requests run


def test_running_loop_is_held_weakly() -> None:
    """A reference that dies with it."""

    async def find() -> Any:
        return running_loop()

    loop = asyncio.new_event_loop()
    found = loop.run_until_complete(find())
    assert found() is loop
    loop.close()


def test_without_an_asyncio_loop_there_is_none_to_be_watched() -> None:
    """As in trio's tasks: no timer, and no question asked again."""
    assert running_loop() is NOWHERE
    measured = Measured()
    measured.scene.tracker.loop = NOWHERE
    measured.read()
    measured.watch.look()
    assert measured.scene.tracker.loop is NOWHERE
    assert measured.lag._pending() == []


def test_turned_off_no_pool_asks_for_its_loop(running: Loop) -> None:
    """With ``loop_lag=False`` a pool's loop is nowhere from the start, and no timer is made."""
    scene = Scene()
    assert scene.tracker.loop is NOWHERE
    Watch(scene.registry, leak_threshold=60, loop_lag=None).look()
    running.turn()
    assert not getattr(running.loop, "_scheduled", ())
