"""Copies of collections that other threads change, and threads in a sub-interpreter."""

import sys
import threading
from collections import deque
from collections.abc import Iterator
from types import ModuleType

import pytest

from opentelemetry.instrumentation.gluellm.concurrency import (
    DaemonThread,
    daemon_thread,
    newest_of_queue,
    snapshot_of,
    snapshot_of_queue,
)
from opentelemetry.instrumentation.gluellm.failures import Failures
from opentelemetry.instrumentation.gluellm.watch.watch import Watch
from support.waiting import wait_until


class Changing(deque[int]):
    """A queue that is changed within each iteration, as without the interpreter lock."""

    def __iter__(self) -> Iterator[int]:
        for item in super().__iter__():
            self.append(item)
            yield item


def test_queue_that_changes_during_each_copy_is_read_item_by_item():
    """No item is missing. A queue that gets shorter is copied as far as possible."""

    class Emptied(Changing):
        def __getitem__(self, index):
            item = super().__getitem__(index)
            self.clear()
            return item

    queue = Changing((1, 2, 3))
    with pytest.raises(RuntimeError):
        tuple(queue)
    assert snapshot_of_queue(queue)[:3] == (1, 2, 3)
    assert snapshot_of_queue(Emptied((1, 2, 3))) == (1,)


def test_newest_items_of_a_queue_are_read_without_the_older_ones():
    class Whole(deque[int]):
        def __iter__(self) -> Iterator[int]:
            raise AssertionError

    class ChangingBackwards(Changing):
        def __reversed__(self):
            raise RuntimeError

    assert newest_of_queue(Whole(range(9)), 3) == (8, 7, 6)
    assert newest_of_queue(Whole((1, 2)), 3) == (2, 1)
    assert len(newest_of_queue(ChangingBackwards(range(9)), 3)) == 3


@pytest.mark.parametrize(
    "copy", [lambda d, q: snapshot_of(d.items), lambda d, q: snapshot_of_queue(q)]
)
def test_copies_of_changing_collections_never_fail(copy):
    """Both with and without the interpreter lock; unchanged items are in each copy."""
    numbers = dict.fromkeys(range(300), 0)
    queue = deque(range(3000))
    over = threading.Event()

    def change(own):
        while not over.is_set():
            numbers[own] = 0
            del numbers[own]
            queue.append(own)
            queue.popleft()

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    threads = [threading.Thread(target=change, args=(1000 + n,)) for n in range(3)]
    try:
        for thread in threads:
            thread.start()
        for _ in range(100):
            assert len(copy(numbers, queue)) >= 300
    finally:
        sys.setswitchinterval(before)
        over.set()
        for thread in threads:
            thread.join(30)


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let both of Python's modules report that this is not the main interpreter."""
    module = ModuleType("_interpreters")
    vars(module).update(get_current=lambda: 1, get_main=lambda: 0)
    monkeypatch.setitem(sys.modules, "_interpreters", module)
    monkeypatch.setitem(sys.modules, "_xxsubinterpreters", module)


@pytest.mark.usefixtures("elsewhere")
def test_sub_interpreter_gets_no_thread():
    """A daemon that is left when the sub-interpreter ends aborts the process."""
    with pytest.raises(RuntimeError):
        daemon_thread(lambda: None, name="any")


@pytest.mark.parametrize("functions", [None, {"get_current": lambda _: 1, "get_main": None}])
def test_python_without_interpreter_modules_gets_a_thread(monkeypatch, functions):
    """The modules are missing, or their private functions are incompatible."""
    module = None if functions is None else ModuleType("_interpreters")
    vars(module).update(functions or {}) if module else None
    monkeypatch.setitem(sys.modules, "_interpreters", module)
    monkeypatch.setitem(sys.modules, "_xxsubinterpreters", module)
    assert daemon_thread(lambda: None, name="any").daemon


def test_thread_that_is_stopped_before_it_starts_ends_at_once(monkeypatch):
    """Python refuses to join a thread that has not started."""
    failures, start = Failures(), threading.Thread.start
    thread = DaemonThread(lambda: ran.append(True), "any", failures, "any")
    made = []
    ran = []

    def stopped(one):
        made.append(one)
        thread.stop()
        start(one)

    monkeypatch.setattr(threading.Thread, "start", stopped)
    thread.start()
    made[0].join(60)
    assert thread.current is None
    assert not ran
    assert not failures.counts


@pytest.mark.parametrize("requests_before", [0, 1])
def test_thread_that_begins_after_its_start_was_interrupted_is_the_only_one(
    monkeypatch, requests_before
):
    """A signal handler raises before Python lists the thread. A request may start another one."""
    start, made, ran = threading.Thread.start, list[threading.Thread](), list[object]()

    def run():
        ran.append(threading.current_thread())
        thread.stopped.wait(60)

    def interrupted(one):
        made.append(one)
        raise KeyboardInterrupt

    thread = DaemonThread(run, "any", Failures(), "any")
    with monkeypatch.context() as interrupting:
        interrupting.setattr(threading.Thread, "start", interrupted)
        with pytest.raises(KeyboardInterrupt):
            thread.start()
    for _ in range(requests_before):
        thread.start()
    start(made[0])
    wait_until(lambda: ran != [])
    thread.start()
    assert ran == [thread.current]
    assert (thread.current is made[0]) is (requests_before == 0)
    thread.stop()
    made[0].join(60)
    assert len(ran) == 1


@pytest.mark.usefixtures("elsewhere")
def test_watch_without_a_thread_counts_that_once_and_loses_no_request(scene):
    watch = Watch(scene.registry, leak_threshold=60, loop_lag=None)
    watch.start()
    for _ in range(3):
        scene.enter()
    assert len(scene.tracker.leases) == 3
    assert scene.registry.failures.counts == {"watch.start": 1}
    watch.stop()
