"""urllib3's own: one number bounds idle connections, and all of them only where a pool blocks."""

from __future__ import annotations

import signal
import threading
from typing import Any

import pytest
import urllib3

from opentelemetry.instrumentation.gluellm.telemetry import semconv
from support.clients import Runner
from support.http1 import HTTP1Server
from support.libraries import Library
from support.outcomes import assert_rows, assert_settled, new, reused
from support.script import Reply
from support.telemetry import Telemetry
from support.waiting import wait_until

OLD = urllib3.__version__.startswith("1.")
pytestmark = pytest.mark.modes("sync")


class CtrlCError(BaseException):
    """What the signal raises. Not KeyboardInterrupt, which would end the test run."""


def test_pool_that_does_not_block_has_no_limit_and_discards_what_it_does_not_keep(
    runner: Runner, library: Library, server: HTTP1Server, telemetry: Telemetry
) -> None:
    """Three at once on a pool of one: three connections, no wait, and one is kept."""
    pool = runner.pool(library, maxsize=1)
    gate = server.gate()
    url = server.reply("/held", Reply(end_after=gate))
    exchanges = [pool.send(url) for _ in range(3)]
    for exchange in exchanges:
        exchange.head()
    assert telemetry.value(semconv.OPEN_CONNECTIONS, state="active") == 3
    assert telemetry.points(semconv.CONNECTION_MAX) == []
    assert telemetry.points(semconv.OCCUPANCY_RATIO) == []
    assert telemetry.value(semconv.CONNECTION_IDLE_MAX) == 1
    gate.open()
    for exchange in exchanges:
        exchange.read()
    assert_settled(telemetry, exchanges, new(), new(), new())
    assert telemetry.total(semconv.ACQUIRE_DURATION) == 0
    assert telemetry.by(semconv.CONNECTION_CLOSED, "reason") == {"keepalive_limit": 2}
    assert telemetry.value(semconv.OPEN_CONNECTIONS, state="idle") == 1
    assert telemetry.value(semconv.PEAK_ACTIVE) == 3


def test_place_of_a_response_that_was_only_closed_is_lost(
    runner: Runner, library: Library, server: HTTP1Server, telemetry: Telemetry
) -> None:
    """``close()`` without ``release_conn()``: the request is over, and a full pool stays full."""
    pool: Any = runner.pool(library, max_connections=1)
    never = server.gate()
    response = pool.open(server.reply("/held", Reply(end_after=never)))
    response.close()
    assert telemetry.value(semconv.ACTIVE_REQUESTS) == 0
    assert telemetry.by(semconv.CONNECTION_CLOSED, "reason") == {"response_incomplete": 1}
    late = pool.send(server.url(), pool=0.1)
    assert isinstance(late.failure(), library.raises("pool_timeout"))
    response.release_conn()
    assert pool.call(server.url()) == b"ok"
    assert telemetry.by(semconv.REQUESTS, "status", "error") == {
        (200, None): 2,
        (None, "pool_timeout"): 1,
    }
    assert telemetry.value(semconv.INSTRUMENTATION_ERRORS) == 0


@pytest.mark.skipif(OLD, reason="urllib3 1.26 throws the connection away and says nothing")
def test_interrupted_wait_leaves_the_queue(
    runner: Runner, library: Library, server: HTTP1Server, telemetry: Telemetry
) -> None:
    """It gives back a place that it never had, so that the holder finds none: told as it is."""
    pool: Any = runner.pool(library, max_connections=1)
    response = pool.open(server.url())
    main = threading.main_thread().ident
    assert main is not None

    def interrupt(*_: Any) -> None:
        raise CtrlCError

    def send_signal() -> None:
        wait_until(lambda: telemetry.current("queued") == 1)
        signal.pthread_kill(main, signal.SIGUSR1)

    before = signal.signal(signal.SIGUSR1, interrupt)
    thread = threading.Thread(target=send_signal)
    thread.start()
    try:
        with pytest.raises(CtrlCError):
            pool.call(server.url())
    finally:
        thread.join()
        signal.signal(signal.SIGUSR1, before)
    assert telemetry.current("queued") == 0
    with pytest.raises(urllib3.exceptions.FullPoolError):
        response.read()
    assert telemetry.by(semconv.REQUESTS, "status", "error") == {
        (200, None): 1,
        (None, "cancelled"): 1,
    }
    assert telemetry.count(semconv.ACQUIRE_DURATION, error="cancelled") == 1
    assert telemetry.by(semconv.CONNECTION_CLOSED, "reason") == {"keepalive_limit": 1}
    assert telemetry.value(semconv.ACTIVE_REQUESTS) == 0
    assert telemetry.value(semconv.INSTRUMENTATION_ERRORS) == 0


def test_pool_timeout_has_a_note(
    runner: Runner, library: Library, server: HTTP1Server, telemetry: Telemetry
) -> None:
    """The exception says who holds the connections; its type, message and cause stay."""
    pool: Any = runner.pool(library, max_connections=1)
    response = pool.open(server.url())
    with pytest.raises(
        urllib3.exceptions.EmptyPoolError, match=r"no more connections|Pool is empty"
    ) as caught:
        pool.open(server.url(), timeouts={"pool": 0.05})
    (note,) = caught.value.__notes__
    assert "1 of 1" in note or "active" in note
    assert caught.value.__cause__ is None
    assert response.read() == b"ok"
    assert telemetry.value(semconv.ACTIVE_REQUESTS) == 0


@pytest.mark.skipif(OLD, reason="urllib3 1.26 gives it back at once")
def test_connection_that_was_given_back_by_hand(
    runner: Runner, library: Library, server: HTTP1Server, telemetry: Telemetry
) -> None:
    """A response that is read to its end and kept: its connection is the next request's."""
    pool: Any = runner.pool(library)
    response = pool.open(server.url(), release_conn=False, preload_content=True)
    assert response.data == b"ok"
    assert telemetry.current("unread") == 1
    response.release_conn()
    assert telemetry.current("unread") == 0
    pool.call(server.url())
    assert_rows(telemetry, new(), reused())
