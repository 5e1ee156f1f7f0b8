"""Signal handlers that come at any place in our code: they may raise, send requests, and look."""

from __future__ import annotations

import faulthandler
import gc
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from types import FrameType

import pytest

from opentelemetry.instrumentation.gluellm import (
    GlueLLMInstrumentor,
    diagnose,
    snapshot,
)
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from support.http1 import HTTP1Server
from support.script import Failure, Reply
from support.telemetry import Telemetry

from .interruption import everywhere
from .requesting import LIBRARIES, Requesting

Record = Callable[[str, object], None]

everywhere_in_our_code = pytest.mark.skipif(
    not hasattr(sys, "monitoring"), reason="sys.monitoring is new in Python 3.12"
)


class CtrlCError(BaseException):
    """As KeyboardInterrupt, which would end the test run."""


class TimeIsUpError(Exception):
    """What a handler for SIGALRM raises to bound the time of whatever runs."""


REPLIES = {
    "answered": Reply(chunks=((0, b"o"), (0, b"k"))),
    "broken off": Reply(failure=Failure.EOF_BEFORE_HEAD),
    "broken off in its body": Reply(failure=Failure.RESET_IN_BODY),
}


def assert_nothing_left(pool: Requesting | None, place: str) -> None:
    """No lease but where the library itself lost a response, and no connection that counts."""
    installation = GlueLLMInstrumentor._installation
    assert installation is not None
    registry = installation.registry
    held = 0 if pool is None else pool.held()
    trackers = [tracker for tracker in registry.trackers if tracker.view() is not None]
    leases = [lease for tracker in trackers for lease in tracker.leases]
    assert len(leases) <= held, place
    assert len(trackers) <= (pool is not None), place
    assert not registry.failures.counts, place
    for ledger in registry.ledgers.values():
        assert not ledger.queued.value, place
        assert ledger.active.value <= held, place
        assert ledger.live <= (pool is not None), place


def assert_balanced(telemetry: Telemetry) -> None:
    """As many left their pool as entered it, and no request is under way."""
    gc.collect()
    telemetry.collect()
    assert telemetry.value(semconv.ACTIVE_REQUESTS) == 0
    installation = GlueLLMInstrumentor._installation
    assert installation is not None
    for totals in installation.snapshot().totals:
        for origin in totals.origins:
            assert sum(outcome.count for outcome in origin.outcomes) == origin.requests_entered
    assert telemetry.value(semconv.INSTRUMENTATION_ERRORS) == 0


@everywhere_in_our_code
@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize(
    ("first", "reply", "error"),
    [
        (True, "answered", CtrlCError),
        (True, "answered", TimeIsUpError),
        (False, "answered", CtrlCError),
        (False, "answered", TimeIsUpError),
        (False, "broken off", TimeIsUpError),
        (False, "broken off in its body", CtrlCError),
    ],
)
def test_what_a_handler_raises_reaches_the_program(
    first: bool,
    error: type[BaseException],
    library: str,
    reply: str,
    server: HTTP1Server,
    telemetry: Telemetry,
    record_property: Record,
) -> None:
    """Anywhere in our code: nothing of ours swallows it, and it leaves nothing behind.

    In the first request of a pool, and in one that finds everything there.
    """
    url = server.reply("/", REPLIES[reply])
    places = 0

    def handle(_number: int, _frame: FrameType | None) -> None:
        raise error

    for interruption in everywhere(handle):
        pool = Requesting.of(library, url)
        if not first:
            _try(pool.send)
        reached = False
        try:
            with interruption:
                pool.stream()
        except error:
            reached = True
        except Exception:
            assert reply != "answered", interruption.place
        assert reached == bool(interruption.place), f"swallowed: {interruption.place}"
        assert_nothing_left(pool, interruption.place)
        _try(pool.send)
        assert_nothing_left(pool, interruption.place)
        pool.close()
        places += 1
    assert places > (100 if first else 30)
    assert_balanced(telemetry)
    record_property("places of our code that were interrupted", places)


@everywhere_in_our_code
@pytest.mark.parametrize("library", LIBRARIES)
def test_handler_sends_and_looks(
    library: str, server: HTTP1Server, telemetry: Telemetry, record_property: Record
) -> None:
    """Anywhere in our code a handler may use the same pool, take a snapshot and ask what it means.

    Its request is counted, unless it comes amid the very first one of its pool.
    """
    url = server.reply("/", REPLIES["answered"])
    pool: Requesting
    handled = unseen = places = 0

    def handle(_number: int, _frame: FrameType | None) -> None:
        nonlocal handled
        pool.send()
        diagnose(snapshot())
        handled += 1

    for interruption in everywhere(handle):
        pool = Requesting.of(library, url)
        before = _entered()
        with interruption:
            pool.stream()
        unseen += 1 + bool(interruption.place) - (_entered() - before)
        assert_nothing_left(pool, interruption.place)
        pool.close()
        places += 1
    assert handled == places - 1 > 50
    # What it takes to begin to follow a pool, and by far not every place.
    assert 0 <= unseen < places / 2
    assert_balanced(telemetry)
    record_property("places of our code that a handler sent a request from", handled)


@everywhere_in_our_code
@pytest.mark.parametrize("error", [CtrlCError, TimeIsUpError, None])
def test_handler_amid_a_collection(
    error: type[BaseException] | None,
    server: HTTP1Server,
    telemetry: Telemetry,
    record_property: Record,
) -> None:
    """A main thread that collects: what it was telling is told the next time, and once."""
    pool = Requesting.of("httpx", server.url())
    handled = places = 0

    def handle(_number: int, _frame: FrameType | None) -> None:
        nonlocal handled
        handled += 1
        if error is not None:
            raise error
        pool.send()
        diagnose(snapshot())

    for interruption in everywhere(handle):
        pool.send()
        try:
            with interruption:
                telemetry.collect()
        except CtrlCError:
            assert error is CtrlCError
        places += 1
        if places > 400:  # the rest is one look at a number after the other
            break
    assert handled >= places - 1 > 50
    assert telemetry.value(semconv.REQUESTS) == places + handled * (error is None)
    pool.close()
    assert_balanced(telemetry)
    record_property("places of our code that were interrupted", handled)


@pytest.fixture
def timer() -> Iterator[Callable[[Callable[[int, FrameType | None], None]], None]]:
    """A timer that fires every millisecond, with faulthandler's own handlers beside it."""
    with tempfile.TemporaryFile() as stacks:
        was_enabled = faulthandler.is_enabled()
        faulthandler.enable(stacks)
        faulthandler.register(signal.SIGUSR1, stacks, chain=False)
        before = signal.getsignal(signal.SIGALRM)

        def start(handler: Callable[[int, FrameType | None], None]) -> None:
            signal.signal(signal.SIGALRM, handler)
            signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)

        yield start
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        faulthandler.unregister(signal.SIGUSR1)
        faulthandler.disable()
        if was_enabled:
            faulthandler.enable()


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("deed", ["looks", "sends", "raises"])
def test_timer_that_fires_all_the_time(
    deed: str,
    library: str,
    server: HTTP1Server,
    telemetry: Telemetry,
    timer: Callable[[Callable[[int, FrameType | None], None]], None],
    record_property: Record,
) -> None:
    """A millisecond apart, while the main thread sends and another one collects."""
    url = server.url()
    pool, other = Requesting.of(library, url), Requesting.of(library, url)
    told: Counter[str] = Counter()
    over = threading.Event()
    within = False

    def handle(_number: int, _frame: FrameType | None) -> None:
        nonlocal within
        told["signals"] += 1
        if deed == "raises":
            if within:
                raise TimeIsUpError
        elif deed == "looks":
            diagnose(snapshot())
            signal.raise_signal(signal.SIGUSR1)  # faulthandler's
        elif not within:
            within = True
            try:
                other.send()
                told["sent"] += 1
            finally:
                within = False

    def collect() -> None:
        while not over.wait(0.005):
            telemetry.collect()

    collecting = threading.Thread(target=collect)
    collecting.start()
    try:
        deadline = time.monotonic() + 30
        timer(handle)
        while told["signals"] < 150 and time.monotonic() < deadline:
            try:
                if deed == "raises":
                    within = True
                pool.send()
                within = within and deed != "raises"
            except TimeIsUpError:
                within = False
                told["interrupted"] += 1
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        within = False
        over.set()
        collecting.join()
    assert told["signals"] >= 150
    assert deed != "sends" or told["sent"]
    assert deed != "raises" or told["interrupted"]
    pool.close()
    other.close()
    assert_balanced(telemetry)
    record_property("signals handled while requests were sent", told["signals"])


def _entered() -> int:
    installation = GlueLLMInstrumentor._installation
    assert installation is not None
    return sum(
        origin.entered
        for ledger in installation.registry.ledgers.values()
        for origin in ledger.origins.values()
    )


def _try(send: Callable[[], None]) -> None:
    try:
        send()
    except Exception:
        return
