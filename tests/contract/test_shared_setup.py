"""HTTP/2 requests that wait for the set-up of one connection."""

import time
from typing import Any

import pytest

from opentelemetry.instrumentation.gluellm.telemetry import semconv
from support.clients import PoolUnderTest, Runner
from support.exchange import Exchange
from support.http1 import HTTP1Server
from support.http2 import HTTP2Server
from support.libraries import Library
from support.listener import Listen, Listener
from support.network import Certificates
from support.outcomes import SLACK, assert_near, assert_settled
from support.rows import connect_failed, failed, new, reused
from support.script import Reply
from support.telemetry import Telemetry
from support.waiting import LATENESS, wait_until


@pytest.fixture
def server(listen: Listen, certificates: Certificates) -> HTTP2Server:
    """A server whose TLS handshakes wait for `let_in`."""
    server = listen(HTTP2Server, tls=certificates.server("h2"))
    server.setup_after = server.gate()
    return server


@pytest.fixture
def pool(
    runner: Runner, library: Library, certificates: Certificates, telemetry: Telemetry
) -> PoolUnderTest:
    """A pool that trusts that server and speaks HTTP/2 only."""
    return runner.pool(library, http1=False, http2=True, ssl_context=certificates.client())


def begin(pool: PoolUnderTest, url: str, server: Listener, count: int = 2) -> list[Exchange]:
    """Send requests that wait for one set-up, which the first one has begun."""
    first = pool.send(url)
    server.timeline.wait_for("accept")
    return [first, *(pool.send(url) for _ in range(count - 1))]


def let_in(server: Any, first: Exchange) -> float:
    """Continue the handshakes after the first request has waited 0.2 s; return the time."""
    wait_until(lambda: time.monotonic() > first.entered + 0.2)
    opened = time.monotonic()
    server.setup_after.open()
    return opened


def test_requests_that_share_a_set_up_are_all_connecting(pool, server, telemetry):
    """The set-up is measured once."""
    server.max_streams = 1  # httpcore does not protect h2 from threads that begin at once
    first, *others = begin(pool, server.url(), server, 3)
    wait_until(lambda: telemetry.current("connecting") == 3)
    assert telemetry.value(semconv.CONNECTION_CONNECTING) == 1
    seen = time.monotonic()
    opened = let_in(server, first)
    bodies = [exchange.begin_read() for exchange in (first, *others)]
    assert [body.result(60) for body in bodies] == [b"ok"] * 3
    assert_settled(telemetry, [first, *others], new(), reused(), reused())
    waited = sum(exchange.answered - exchange.entered for exchange in (first, *others))
    assert 3 * (opened - seen) < telemetry.phases()["connecting"] < waited
    created = telemetry.total(semconv.CONNECTION_CREATE_DURATION)
    assert opened - seen < created < first.answered - first.entered
    assert telemetry.total(semconv.ACQUIRE_DURATION) == 0
    assert server.timeline.count("accept") == 1


def test_requests_wait_for_a_stream_after_a_shared_set_up(pool, server, telemetry):
    """All leave the connecting phase together, even if there is only one stream."""
    server.max_streams = 1
    gate = server.gate()
    url = server.reply("/", Reply(head_after=gate))
    exchanges = begin(pool, url, server, 4)
    wait_until(lambda: telemetry.current("connecting") == 4)
    let_in(server, exchanges[0])
    server.timeline.wait_for("request")
    wait_until(lambda: telemetry.current("stream_queued") == 3)
    assert telemetry.current("connecting") == 0
    assert telemetry.current("awaiting_response") == 1
    bodies = [exchange.begin_read() for exchange in exchanges]
    gate.open()
    assert [body.result(60) for body in bodies] == [b"ok"] * 4
    assert_settled(telemetry, exchanges, new(), reused(), reused(), reused())


# httpcore drops such a connection from its list when the first set-up fails, and never closes it.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_second_request_sets_up_after_the_first_failed(pool, runner, library, server, telemetry):
    """Two set-ups with two outcomes."""
    hasty = pool.send(server.url(), connect=0.1)
    server.timeline.wait_for("accept")
    patient = pool.send(server.url(), connect=30)
    assert isinstance(hasty.failure(), library.raises("connect_timeout"))
    server.timeline.wait_for("accept", count=2)
    let_in(server, hasty)
    patient.finish()
    assert server.timeline.count("accept") == 2
    assert_settled(telemetry, [hasty, patient], connect_failed("connect_timeout"), new())
    failed_after = telemetry.total(semconv.CONNECTION_CREATE_DURATION, error="connect_timeout")
    assert_near(failed_after, hasty.duration)
    succeeded = telemetry.total(semconv.CONNECTION_CREATE_DURATION, error=None)
    # The second set-up begins when the first one fails, which the client notices a moment later,
    # and ends when the client notices that it is secured.
    shortest = server.timeline.at("secured") - max(hasty.left, patient.entered)
    longest = patient.left - hasty.entered
    if runner.mode != "sync":  # a thread may begin before the failure of another is recorded
        longest -= 0.1
    assert shortest - LATENESS.beside(SLACK) <= succeeded <= longest


# A thread may begin the next set-up, and fail, before the failure of another is recorded.
@pytest.mark.modes("asyncio", "trio")
def test_shared_set_up_that_fails_is_reported_for_each_request(
    runner, library, server, certificates, telemetry
):
    """Each request tries by itself after the previous one failed."""
    distrusting = certificates.distrusting_client()
    pool = runner.pool(library, http1=False, http2=True, ssl_context=distrusting)
    first, second = begin(pool, server.url(), server)
    let_in(server, first)
    for exchange in (first, second):
        assert isinstance(exchange.failure(), library.raises("connection_error"))
    assert server.timeline.count("accept") == 2
    row = connect_failed("secure_connection_error")
    assert_settled(telemetry, [first, second], row, row)
    assert telemetry.value(semconv.CONNECTION_CONNECTING) == 0


@pytest.mark.modes("asyncio", "trio")
@pytest.mark.parametrize("succeeds", [True, False], ids=["succeeds", "fails"])
def test_shared_set_up_continues_after_a_waiter_is_cancelled(
    runner, library, server, certificates, telemetry, succeeds
):
    """The request that began the set-up continues, and its outcome is recorded."""
    context = certificates.client() if succeeds else certificates.distrusting_client()
    pool = runner.pool(library, http1=False, http2=True, ssl_context=context)
    first, second = begin(pool, server.url(), server)
    wait_until(lambda: telemetry.current("connecting") == 2)
    second.cancel()
    let_in(server, first)
    first.finish() if succeeds else first.failure()
    row = new() if succeeds else connect_failed("secure_connection_error")
    assert_settled(telemetry, [first, second], row, failed("cancelled", created=False))
    ended = server.timeline.at("secured") if succeeds else first.left
    assert_near(telemetry.total(semconv.CONNECTION_CREATE_DURATION), ended - first.entered)
    assert telemetry.value(semconv.CONNECTION_CONNECTING) == 0


@pytest.mark.modes("asyncio", "trio")
def test_next_request_sets_up_after_the_first_is_cancelled(pool, server, telemetry):
    first, second = begin(pool, server.url(), server)
    wait_until(lambda: telemetry.current("connecting") == 2)
    first.cancel()
    server.timeline.wait_for("accept", count=2)
    let_in(server, second)
    second.finish()
    assert server.timeline.count("accept") == 2
    assert_settled(telemetry, [first, second], connect_failed("cancelled"), new())
    succeeded = telemetry.total(semconv.CONNECTION_CREATE_DURATION, error=None)
    assert_near(succeeded, server.timeline.at("secured") - first.left)


def test_requests_queue_again_if_a_shared_connection_is_http1(
    runner, library, listen, certificates, telemetry
):
    """They waited for a stream of a connection that became HTTP/1.1."""
    server = listen(HTTP1Server, tls=certificates.server())
    server.setup_after, gate = server.gate(), server.gate()
    url = server.reply("/", Reply(head_after=gate))
    pool = runner.pool(library, http2=True, ssl_context=certificates.client())
    first, second = begin(pool, url, server)
    wait_until(lambda: telemetry.current("connecting") == 2)
    let_in(server, second)
    server.timeline.wait_for("request", count=2)
    assert telemetry.value(semconv.REQUEUES) == 1
    assert telemetry.current("awaiting_response") == 2
    gate.open()
    for exchange in (first, second):
        exchange.finish()
    assert_settled(telemetry, [first, second], new(), new())
    # The acquire ends with the assignment that was not refused.
    refused = server.timeline.at("secured", nth=0) - second.entered
    assert_near(telemetry.total(semconv.ACQUIRE_DURATION), refused)
    assert telemetry.value(semconv.OPEN_CONNECTIONS, version="1.1", state="idle") == 2
