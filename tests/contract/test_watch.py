"""Findings of the watch: anomalies of a pool, leaks, late event loops."""

import gc
import time
from typing import Any

import pytest

from opentelemetry.instrumentation.gluellm.telemetry import semconv
from support.clients import PoolUnderTest
from support.clock import Clock
from support.grpc_server import GrpcServer
from support.http1 import HTTP1Server
from support.http2 import HTTP2Server
from support.installation import instrument
from support.script import Reply
from support.telemetry import Telemetry
from support.waiting import LATENESS, wait_until

pytestmark = pytest.mark.usefixtures("quick_watch")


def anomalies(telemetry: Telemetry) -> dict[Any, int]:
    """Number of anomalies by kind, without zeros."""
    return telemetry.by(semconv.ANOMALIES, "anomaly")


@pytest.mark.modes("sync", "asyncio", "trio")
def test_full_pool_has_no_anomaly(runner, library, server, telemetry):
    """A request waits within its timeout, one is slow, another pool has an idle connection."""
    pool = runner.pool(library, max_connections=1)
    slow = pool.send(server.reply("/slow", Reply(head_after=0.6)))
    server.timeline.wait_for("request", "/slow")
    waiter = pool.send(server.url("/waiter"), pool=30)
    runner.pool(library).get(server.url("/elsewhere"))
    for exchange in (slow, waiter):
        exchange.finish()
    assert len(telemetry.points(semconv.ANOMALIES)) >= 3
    assert anomalies(telemetry) == {}


BLOCK = 0.3


@pytest.mark.modes("asyncio")
def test_blocked_loop_is_reported_as_late(runner, library, server, telemetry):
    """A request waits for its head while other code blocks the loop."""
    gate = server.gate()
    exchange = runner.pool(library).send(server.reply("/held", Reply(head_after=gate)))
    server.timeline.wait_for("request", "/held")
    assert telemetry.value(semconv.EVENT_LOOP_LAG_PEAK) < LATENESS.beside(BLOCK / 2)

    def blocked() -> bool:
        runner.portal.call(time.sleep, BLOCK)
        return telemetry.value(semconv.EVENT_LOOP_LAG_PEAK) >= BLOCK / 2

    # The watch starts the timer in its first pass.
    wait_until(blocked)
    for metric in (semconv.EVENT_LOOP_LAG_PEAK, semconv.EVENT_LOOP_LATE_TIME):
        (point,) = telemetry.points(metric)
        assert not point.attributes
    late = telemetry.value(semconv.EVENT_LOOP_LATE_TIME)
    assert late >= BLOCK / 2
    runner.portal.call(time.sleep, BLOCK)
    # Not at once: the timer may be firing.
    wait_until(lambda: telemetry.value(semconv.EVENT_LOOP_LATE_TIME) >= late + BLOCK / 2)
    gate.open()
    exchange.finish()


def test_loop_lag_off_leaves_no_series(runner, library, server, untouched):
    instrument(untouched, loop_lag=False)
    runner.pool(library).get(server.url())
    assert untouched.value(semconv.POOL_OPENED) == 1
    assert untouched.points(semconv.EVENT_LOOP_LAG_PEAK) == []
    assert untouched.points(semconv.EVENT_LOOP_LATE_TIME) == []


THRESHOLD = 60.0


@pytest.fixture
def watched(untouched: Telemetry) -> Telemetry:
    """The instrumentation, with a leak threshold that only the test's clock reaches."""
    instrument(untouched, leak_threshold=THRESHOLD)
    return untouched


@pytest.fixture
def clock(watched: Telemetry) -> Clock:
    """The clock of the instrumentation."""
    return Clock()


def check(
    pool: PoolUnderTest,
    server: HTTP1Server | HTTP2Server | GrpcServer,
    telemetry: Telemetry,
    clock: Clock,
) -> None:
    """Hold one response that is not read, and one whose reader waits for the provider."""
    leaked, _ = pool.hold(server, "/leaked")
    silent, gate = pool.hold(server)
    assert silent.chunk() == b"ok"
    rest = silent.begin_read()
    wait_until(lambda: telemetry.current("reading") == 1)
    clock.advance(2 * THRESHOLD)
    wait_until(lambda: telemetry.value(semconv.LEAK_SUSPECTED) == 1, "the leak")
    assert telemetry.value(semconv.REQUEST_OLDEST_AGE, phase="reading") > 2 * THRESHOLD
    assert telemetry.value(semconv.LEAK_SUSPECTED) == telemetry.value(semconv.LEAKS) == 1
    gate.open()
    assert rest.result(60) == b""
    leaked.close()
    wait_until(lambda: telemetry.value(semconv.LEAK_SUSPECTED) == 0)
    assert telemetry.value(semconv.LEAKS) == 1


def test_unread_response_is_a_leak_and_a_silent_provider_is_not(
    watched, clock, runner, library, server
):
    """Two connections, or two calls on one channel."""
    check(runner.pool(library), server, watched, clock)


def test_leak_is_detected_beside_a_silent_stream(watched, clock, runner, library, http2_server):
    """Two streams share a connection: either one's read receives for both."""
    pool = runner.pool(library, http1=False, http2=True)
    pool.get(http2_server.url())
    check(pool, http2_server, watched, clock)


@pytest.mark.only("aiohttp")
def test_leak_is_detected_on_a_connection_from_before_instrument(
    untouched, runner, library, server
):
    pool = runner.pool(library)
    pool.get(server.url())
    instrument(untouched, leak_threshold=THRESHOLD)
    clock = Clock()
    leaked, _ = pool.hold(server)
    clock.advance(2 * THRESHOLD)
    wait_until(lambda: untouched.value(semconv.LEAK_SUSPECTED) == 1, "the leak")
    leaked.close()
    untouched.check(LEAK_SUSPECTED=0, LEAKS=1, CONNECTION_OPENED=0)


@pytest.mark.only("grpc")
@pytest.mark.modes("asyncio")
def test_dropped_async_stream_is_a_leak(watched, clock, runner, library, server):
    """grpc.aio keeps a call that was left by ``break``, even after the server has ended it."""
    pool = runner.pool(library)
    dropped, end = pool.hold(server)
    dropped.abandon()
    del dropped
    gc.collect()
    clock.advance(2 * THRESHOLD)
    wait_until(lambda: watched.value(semconv.LEAK_SUSPECTED) == 1, "the leak is found")
    assert watched.value(semconv.LEAKS) == 1
    end.open()
    server.timeline.wait_for("body_end")
    assert watched.current("unread") == 1
    pool.close()
    assert watched.value(semconv.ACTIVE_REQUESTS) == 0
    wait_until(lambda: watched.value(semconv.LEAK_SUSPECTED) == 0)
    assert watched.by(semconv.REQUESTS, "rpc") == {"CANCELLED": 1}
