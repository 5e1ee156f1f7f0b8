"""Sync requests that end by an exception out of nowhere: Ctrl-C in the main thread."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from opentelemetry.instrumentation.gluellm.telemetry import semconv
from support.clients import PoolUnderTest, Runner
from support.http1 import HTTP1Server
from support.libraries import Library
from support.outcomes import assert_near, assert_rows, cancelled_in_queue, failed, new
from support.script import Reply
from support.telemetry import Telemetry
from support.waiting import wait_until

pytestmark = pytest.mark.modes("sync")


class CtrlCError(BaseException):
    """What the signal raises. Not KeyboardInterrupt, which would end the test run."""


@pytest.fixture(autouse=True)
def interruptible() -> Iterator[None]:
    """SIGUSR1 raises in the main thread, as SIGINT does by default."""

    def interrupt(*_: Any) -> None:
        raise CtrlCError

    before = signal.signal(signal.SIGUSR1, interrupt)
    yield
    signal.signal(signal.SIGUSR1, before)


def interrupted(ready: Callable[[], bool], action: Callable[[], Any]) -> float:
    """Run an action in the main thread, interrupt it once it is ready; seconds that it took."""
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


def in_main_thread(pool: PoolUnderTest, url: str) -> Callable[[], Any]:
    """A whole request as a plain call."""
    return lambda: pool.call(url)


def test_interrupted_while_queued(
    runner: Runner, library: Library, server: HTTP1Server, telemetry: Telemetry
) -> None:
    """It leaves the queue like a cancelled one."""
    pool = runner.pool(library, max_connections=1)
    gate = server.gate()
    holder = pool.send(server.reply("/held", Reply(end_after=gate)))
    holder.head()
    took = interrupted(lambda: telemetry.current("queued") == 1, in_main_thread(pool, server.url()))
    assert telemetry.current("queued") == 0
    gate.open()
    holder.read()
    assert_rows(telemetry, new(), cancelled_in_queue())
    assert telemetry.value(semconv.ACTIVE_REQUESTS) == 0
    assert_near(sum(telemetry.phases().values()), took + holder.duration)


def test_interrupted_before_the_head(
    runner: Runner, library: Library, server: HTTP1Server, telemetry: Telemetry
) -> None:
    """The connection is lost, and so is the request."""
    never = server.gate()
    pool = runner.pool(library)
    url = server.reply("/", Reply(head_after=never))
    took = interrupted(
        lambda: (
            telemetry.current("awaiting_response") == 1 and server.timeline.count("request") == 1
        ),
        in_main_thread(pool, url),
    )
    assert_rows(telemetry, failed("cancelled"))
    assert_near(sum(telemetry.phases().values()), took)
    assert telemetry.by(semconv.CONNECTION_CLOSED, "reason") == {"cancelled": 1}
    assert telemetry.value(semconv.ACTIVE_REQUESTS) == 0


def test_interrupted_in_the_body(
    runner: Runner, library: Library, server: HTTP1Server, telemetry: Telemetry
) -> None:
    """With the status that came."""
    never = server.gate()
    pool = runner.pool(library)
    url = server.reply("/", Reply(end_after=never))
    took = interrupted(
        lambda: bool(telemetry.current("reading") and server.timeline.count("chunk")),
        in_main_thread(pool, url),
    )
    assert_rows(telemetry, failed("cancelled", status=200))
    assert_near(sum(telemetry.phases().values()), took)
    assert telemetry.value(semconv.ACTIVE_REQUESTS) == 0
    assert telemetry.value(semconv.OPEN_CONNECTIONS) == 0
