"""Exceptions of observers do not reach the application."""

import functools
import gc
import inspect
import logging
import signal
import sys
import threading
import weakref
from collections.abc import Iterator

import pytest

from opentelemetry.instrumentation.gluellm.adapters.httpcore.responses import reads_as_known
from opentelemetry.instrumentation.gluellm.failures import Failures, warn
from opentelemetry.instrumentation.gluellm.pool.ledger import Owner
from opentelemetry.instrumentation.gluellm.pool.observer import (
    CAUGHT_BY_CALLERS,
    Guard,
    PoolObserver,
)
from opentelemetry.instrumentation.gluellm.pool.registry import PoolRegistry
from opentelemetry.instrumentation.gluellm.vocabulary import ANY_LLM
from unit.pool.fakes import FakePool, Recorder, read

EVENTS = [name for name in vars(PoolObserver) if not name.startswith("_")]


def _fail(self: object, *arguments: object) -> None:
    raise RuntimeError("sk-secret")


class Broken(PoolObserver):
    """Overrides every event with a method that raises."""


for _event in EVENTS:
    setattr(Broken, _event, _fail)


def arguments_of(event: str) -> list[object]:
    """As many arguments as the event takes."""
    return [object()] * (len(inspect.signature(getattr(PoolObserver, event)).parameters) - 1)


@pytest.mark.parametrize("event", EVENTS)
def test_raising_observer_is_caught_and_counted_and_others_are_called(event):
    """Every event, with the raising observer between others and alone."""
    failures, first, last = Failures(), Recorder(), Recorder()
    arguments = arguments_of(event)
    getattr(Guard((first, Broken(), last), failures), event)(*arguments)
    assert first.events == last.events == [(event, tuple(arguments))]
    assert failures.counts == {f"observer.{event}": 1}
    alone = getattr(Guard((Broken(),), failures), event)
    if event in CAUGHT_BY_CALLERS:
        with pytest.raises(RuntimeError):
            alone(*arguments)
    else:
        alone(*arguments)
        assert failures.counts == {f"observer.{event}": 2}
    counts = dict(failures.counts)
    getattr(Guard((PoolObserver(),), failures), event)(*arguments)  # no observer overrides it
    assert failures.counts == counts


def test_failure_at_the_entry_of_a_request_or_a_call_is_counted():
    """A single observer is not guarded there. Requests and calls count anyway."""
    registry = PoolRegistry((Broken(),), entry_context=lambda: "any")
    pool = FakePool()
    tracker = registry.track(pool, read, owner=Owner("name", None), library="httpx2")
    lease = tracker.begin(b"api.test", None, b"https")
    assert lease in tracker.leases
    assert registry.calls.begin(ANY_LLM, "chat", "openai").ledger is not None
    assert dict(registry.failures.counts) == {"entry": 1, "observer.call_began": 1}


def test_guard_raises_keyboard_interrupt_and_cancellation():

    class Interrupted(PoolObserver):
        def lease_answered(self, lease):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Guard((Interrupted(),), Failures()).lease_answered(object())


def test_failures_are_reported_once_per_kind_and_without_their_message():
    """Messages can contain a URL or a key, so only the exception's type is reported."""
    failures = Failures()
    for _ in range(3):
        failures.caught("read", ValueError("https://api.test/?key=sk-secret"))
    failures.caught("collection", KeyError("y"))
    assert list(failures.unreported()) == [("read", "ValueError"), ("collection", "KeyError")]
    failures.caught("read", ValueError("x"))
    assert list(failures.unreported()) == []
    assert failures.counts == {"read": 4, "collection": 1}


class _TimeIsUpError(Exception):
    """What the handlers below raise."""


def _keeping(number: int, frame: object) -> None:
    raise _TimeIsUpError


def _deleting(number: int, frame: object) -> None:
    del number, frame
    raise _TimeIsUpError


class _Callable:
    def __call__(self, *arguments: object) -> None:
        del arguments
        raise _TimeIsUpError


@pytest.fixture
def own_signal() -> Iterator[int]:
    """A signal whose handler is restored."""
    before = signal.getsignal(signal.SIGUSR2)
    yield signal.SIGUSR2
    signal.signal(signal.SIGUSR2, before)


@pytest.mark.parametrize(
    "handler", [_keeping, _deleting, _Callable(), functools.partial(_deleting)]
)
def test_exception_from_a_signal_handler_is_raised(handler, own_signal):
    """Handlers are functions, methods and others, and may change their arguments."""
    failures = Failures()
    signal.signal(own_signal, handler)

    def guarded():
        try:
            signal.raise_signal(own_signal)
        except Exception as error:
            failures.caught("read", error)

    with pytest.raises(_TimeIsUpError):
        guarded()
    assert failures.counts == {}


def test_warning_that_a_signal_handler_interrupts_raises_its_exception(own_signal):
    """The exception reaches the application. One that the log itself raises is dropped."""
    logger = logging.getLogger("opentelemetry.instrumentation.gluellm")

    def interrupted(_):
        signal.raise_signal(own_signal)

    signal.signal(own_signal, _keeping)
    logger.addFilter(interrupted)
    try:
        with pytest.raises(_TimeIsUpError):
            warn("any")
    finally:
        logger.removeFilter(interrupted)


def test_kind_of_network_stream_is_not_kept():
    """Its entry ends with the last reference to its ``read``."""

    class Kind:
        pass

    def made(kind):
        def read(self, max_bytes, timeout=None):
            return kind

        return read

    read = made(Kind())
    gone = weakref.ref(read.__closure__[0].cell_contents)
    assert reads_as_known(read, False)
    assert reads_as_known(read, False)
    del read
    gc.collect()
    assert gone() is None


def test_failures_in_several_threads_are_all_counted():
    """A thread that is interrupted during the count loses none."""
    failures = Failures()
    error = RuntimeError()

    def fail():
        for _ in range(5_000):
            failures.caught("kind", error)

    threads = [threading.Thread(target=fail) for _ in range(4)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert failures.counts == {"kind": 20_000}
