"""Sync requests that a signal interrupts, such as Ctrl-C in the main thread."""

import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import urllib3

from opentelemetry.instrumentation.gluellm.telemetry import semconv
from support.outcomes import assert_near, assert_rows
from support.rows import cancelled_in_queue, failed, new
from support.script import Reply
from support.telemetry import Telemetry
from support.waiting import wait_until

pytestmark = pytest.mark.modes("sync")


class CtrlCError(BaseException):
    """Raised by the signal handler: a KeyboardInterrupt would end the test run."""


@pytest.fixture(autouse=True)
def interruptible() -> Iterator[None]:
    """SIGUSR1 raises in the main thread, as SIGINT does by default."""

    def interrupt(*_: Any) -> None:
        raise CtrlCError

    before = signal.signal(signal.SIGUSR1, interrupt)
    yield
    signal.signal(signal.SIGUSR1, before)


def interrupted(ready: Callable[[], bool], action: Callable[[], Any]) -> float:
    """Interrupt an action of the main thread once `ready()` holds; return its duration."""
    main = threading.main_thread().ident
    assert main is not None

    def interrupt() -> None:
        wait_until(ready)
        signal.pthread_kill(main, signal.SIGUSR1)

    thread = threading.Thread(target=interrupt)
    began = time.monotonic()
    thread.start()
    with pytest.raises(CtrlCError):
        action()
    took = time.monotonic() - began
    thread.join()
    return took


def is_queued(telemetry: Telemetry) -> bool:
    """Whether the main thread waits. Its request counts as queued a moment earlier."""
    main = threading.main_thread().ident or 0
    return bool(
        telemetry.current("queued") and sys._current_frames()[main].f_code.co_name == "wait"
    )


def test_interrupted_waiter_leaves_the_queue(pool_of_one, server, telemetry):
    """It is counted like a cancelled waiter."""
    holder, gate = pool_of_one.hold(server)
    took = interrupted(lambda: is_queued(telemetry), lambda: pool_of_one.call(server.url()))
    assert telemetry.current("queued") == 0
    gate.open()
    holder.read()
    assert_rows(telemetry, new(), cancelled_in_queue())
    assert_near(sum(telemetry.phases().values()), took + holder.duration)


def test_interrupt_before_the_head_closes_the_connection(pool, server, telemetry):
    url = server.reply("/", Reply(head_after=server.gate()))

    def waits() -> bool:
        return bool(telemetry.current("awaiting_response") and server.timeline.count("request"))

    took = interrupted(waits, lambda: pool.call(url))
    assert_rows(telemetry, failed("cancelled"), closed={"cancelled": 1})
    assert_near(sum(telemetry.phases().values()), took)


def test_interrupt_in_the_body_keeps_the_status(pool, server, telemetry):
    url = server.reply("/", Reply(end_after=server.gate()))

    def reads() -> bool:
        return bool(telemetry.current("reading") and server.timeline.count("chunk"))

    took = interrupted(reads, lambda: pool.call(url))
    assert_rows(telemetry, failed("cancelled", status=200))
    assert_near(sum(telemetry.phases().values()), took)
    assert telemetry.value(semconv.OPEN_CONNECTIONS) == 0


@pytest.mark.only("urllib3")
def test_interrupted_wait_of_urllib3_releases_a_slot_it_never_had(pool_of_one, server, telemetry):
    """The holder then finds no slot to release to."""
    if urllib3.__version__.startswith("1."):
        pytest.skip("urllib3 1.26 throws the connection away and says nothing")
    response = pool_of_one.open(server.url())
    interrupted(lambda: is_queued(telemetry), lambda: pool_of_one.call(server.url()))
    assert telemetry.current("queued") == 0
    with pytest.raises(urllib3.exceptions.FullPoolError):
        response.read()
    requests = telemetry.requests()
    assert requests == {(200, None): 1, (None, "cancelled"): 1}
    assert telemetry.count(semconv.ACQUIRE_DURATION, error="cancelled") == 1
    assert telemetry.closed() == {"keepalive_limit": 1}
    telemetry.check(ACTIVE_REQUESTS=0, INSTRUMENTATION_ERRORS=0)
