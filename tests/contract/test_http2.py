"""HTTP/2 streams: limit, orphans, GOAWAY."""

import time

import pytest

from opentelemetry.instrumentation.gluellm import snapshot
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from support.clients import PoolUnderTest, Runner
from support.http2 import HTTP2Server
from support.libraries import Library
from support.listener import Listen
from support.outcomes import assert_near, assert_phases, assert_rows, assert_settled
from support.rows import failed, new, reused
from support.script import Reply
from support.telemetry import Telemetry
from support.waiting import wait_until

LIMIT = 7


@pytest.fixture
def server(listen: Listen) -> HTTP2Server:
    """An HTTP/2 server in cleartext that allows seven streams."""
    return listen(HTTP2Server, max_streams=LIMIT)


@pytest.fixture
def pool(runner: Runner, library: Library, server: HTTP2Server) -> PoolUnderTest:
    """A pool that speaks HTTP/2 and nothing else; its connection knows the server's limit."""
    pool = runner.pool(library, http1=False, http2=True)
    pool.get(server.url("/first"))
    return pool


def streams(telemetry: Telemetry) -> tuple[float, float, float]:
    """Streams in use, their limit, and orphaned ones."""
    reported = telemetry.collect()
    active, limit, orphaned = (
        sum(point.value for point in reported[metric.name])
        for metric in (semconv.STREAM_ACTIVE, semconv.STREAM_MAX, semconv.STREAM_ORPHANED)
    )
    return active, limit, orphaned


def test_streams_in_use_and_the_peers_limit_are_reported(telemetry, pool, server):
    """The limit stays after the requests are over."""
    assert streams(telemetry) == (0, LIMIT, 0)
    gate = server.gate()
    url = server.reply("/held", Reply(end_after=gate))
    exchanges = []
    for _ in range(4):  # one by one: httpcore does not protect h2 from threads that begin at once
        exchanges.append(pool.send(url))
        exchanges[-1].head()
    assert streams(telemetry) == (4, LIMIT, 0)
    gate.open()
    for exchange in exchanges:
        exchange.read()
    assert streams(telemetry) == (0, LIMIT, 0)


def test_streams_of_several_connections_add_up(telemetry, runner, library, server):
    """Two pools of one name and origin: twice the limit."""
    for number in range(2):
        pool = runner.pool(library, http1=False, http2=True)
        pool.get(server.url())
        pool.hold(server, f"/{number}")
    assert streams(telemetry) == (2, 2 * LIMIT, 0)


@pytest.mark.modes("asyncio")
@pytest.mark.parametrize("in_body", [False, True], ids=["before the head", "in the body"])
def test_cancelled_request_leaves_an_orphaned_stream(telemetry, pool, server, in_body):
    """The library sends no RST_STREAM: the slot is taken until the server has sent everything."""
    gate = server.gate()
    reply = Reply(end_after=gate) if in_body else Reply(head_after=gate)
    exchange = pool.send(server.reply("/held", reply))
    server.timeline.wait_for("request", "/held")
    if in_body:
        exchange.head()
        exchange.begin_read()
        wait_until(lambda: telemetry.current("reading") == 1)
    exchange.cancel()
    assert streams(telemetry) == (0, LIMIT, 1)
    pool.get(server.url("/meanwhile"))
    assert streams(telemetry) == (0, LIMIT, 1)
    gate.open()
    server.timeline.wait_for("body_end", "/held")
    pool.get(server.url("/after"))  # a reading stream reads for all streams
    assert streams(telemetry) == (0, LIMIT, 0)


def test_early_close_leaves_an_orphaned_stream(telemetry, pool, server):
    """The request is answered without an error. The provider sends the rest in vain."""
    before = telemetry.phases()["unread"]
    exchange, gate = pool.hold(server)
    assert exchange.chunk() == b"ok"
    wait_until(lambda: time.monotonic() > exchange.answered + 0.1)
    exchange.close()
    assert_near(telemetry.phases()["unread"] - before, exchange.left - exchange.answered)
    assert streams(telemetry) == (0, LIMIT, 1)
    gate.open()
    server.timeline.wait_for("body_end", "/held")
    pool.get(server.url("/after"))
    assert streams(telemetry) == (0, LIMIT, 0)
    assert_rows(telemetry, new(), reused(), reused(), closed={})


def test_exception_that_cuts_a_stream_is_counted(telemetry, pool, server):
    """The connection stays open, so no close reason shows it."""
    exchange, gate = pool.hold(server)
    assert exchange.chunk() == b"ok"
    exchange.leave()
    gate.open()
    server.timeline.wait_for("body_end", "/held")
    pool.get(server.url("/after"))
    assert_rows(telemetry, new(), reused(), reused(), closed={})
    counted = [item for items in snapshot().account.total.values() for item in items]
    assert [item for item in counted if item[0] == "cut"] == [("cut", "ValueError")]


def test_closed_pool_has_no_orphaned_streams(telemetry, pool, server):
    exchange, _ = pool.hold(server)
    exchange.close()
    assert streams(telemetry) == (0, LIMIT, 1)
    pool.close()
    assert streams(telemetry) == (0, 0, 0)


@pytest.mark.modes("sync", "asyncio", "trio")
def test_phases_of_a_stream_are_those_of_an_http1_request(http2_pool, server, telemetry):
    """The connection's protocol version is 2."""
    answer, gate = server.gate(), server.gate()
    reply = Reply(head_after=answer, chunks=((0.0, b"a"), (gate, b"b")))
    first = http2_pool.send(server.reply("/", reply))
    wait_until(lambda: telemetry.current("awaiting_response") == 1)
    wait_until(lambda: time.monotonic() > first.entered + 0.1)
    answer.open()
    first.head()
    assert telemetry.value(semconv.OPEN_CONNECTIONS, state="active", version="2") == 1
    wait_until(lambda: time.monotonic() > first.answered + 0.1)
    body = first.begin_read()
    begun = time.monotonic()
    wait_until(lambda: telemetry.current("reading") == 1)
    wait_until(lambda: time.monotonic() > begun + 0.1)
    gate.open()
    assert body.result(60) == b"ab"
    first.wait()
    assert_phases(
        telemetry,
        awaiting_response=server.timeline.at("head") - first.entered,
        unread=begun - first.answered,
        reading=first.left - begun,
    )
    second = http2_pool.get(server.url("/second"))
    assert_settled(telemetry, [first, second], new(), reused())
    assert telemetry.total(semconv.ACQUIRE_DURATION) == 0
    assert telemetry.value(semconv.OPEN_CONNECTIONS, state="idle", version="2") == 1
    assert telemetry.value(semconv.CONNECTION_OPENED) == 1


@pytest.mark.modes("sync", "asyncio", "trio")
def test_request_without_a_free_stream_waits_after_its_acquire(http2_pool, listen, telemetry):
    """The connection is acquired immediately."""
    server = listen(HTTP2Server, max_streams=1)
    first = http2_pool.get(server.url())
    holder, gate = http2_pool.stall(server, "/held")
    waiter = http2_pool.send(server.url("/waiter"), pool=0.05)  # does not apply to this wait
    wait_until(lambda: telemetry.current("stream_queued") == 1)
    assert streams(telemetry) == (1, 1, 0)
    assert telemetry.current("queued") == 0
    assert telemetry.current("awaiting_response") == 1
    wait_until(lambda: time.monotonic() > waiter.entered + 0.15)
    assert telemetry.value(semconv.REQUEST_OLDEST_AGE, phase="stream_queued") >= 0.1
    gate.open()
    holder.finish()
    waiter.finish()
    assert_settled(telemetry, [first, holder, waiter], new(), reused(), reused())
    waited = server.timeline.at("body_end", "/held") - waiter.entered
    assert_near(telemetry.phases()["stream_queued"], waited)
    assert telemetry.total(semconv.ACQUIRE_DURATION) == 0
    assert telemetry.value(semconv.PEAK_ACTIVE) == 1


@pytest.mark.modes("asyncio", "trio")
def test_cancelled_wait_for_a_stream_is_a_lease_without_a_status(http2_pool, listen, telemetry):
    """It had already acquired its connection."""
    server = listen(HTTP2Server, max_streams=1)
    first = http2_pool.get(server.url())
    holder, gate = http2_pool.hold(server)
    waiter = http2_pool.send(server.url())
    wait_until(lambda: telemetry.current("stream_queued") == 1)
    waiter.cancel()
    gate.open()
    holder.read()
    row = failed("cancelled", created=False)
    assert_settled(telemetry, [first, holder, waiter], new(), reused(), row)
    assert_near(telemetry.phases()["stream_queued"], waiter.duration)


def test_lost_connection_fails_all_its_streams(http2_pool, server, telemetry):
    """Both requests fail. httpcore lists the dead connection as idle until it needs the room."""
    first = http2_pool.get(server.url())
    never = server.gate()
    lost = []
    for count in (1, 2):  # one by one, as above
        lost.append(http2_pool.send(server.reply("/lost", Reply(head_after=never))))
        server.timeline.wait_for("request", "/lost", count=count)
    server.hang_up()
    for exchange in lost:
        exchange.failure()
    row = failed("protocol_error", created=False)
    assert_settled(telemetry, [first, *lost], new(), row, row)
    assert telemetry.value(semconv.REUSE_FAILURES) == 2
    http2_pool.get(server.url())
    assert telemetry.value(semconv.CONNECTION_OPENED) == 2
    assert telemetry.value(semconv.OPEN_CONNECTIONS) == len(http2_pool.connections)
    http2_pool.close()
    telemetry.check(CONNECTION_CLOSED=2, OPEN_CONNECTIONS=0)


# On asyncio no error reports a failed write: the loop notices later, in a read.
@pytest.mark.modes("sync", "trio")
def test_failed_acknowledgement_of_a_body_fails_the_request(http2_pool, library, server, telemetry):
    """The body was received, but the reader cannot acknowledge it."""
    gate, passed, never = server.gate(), server.gate(), server.gate()
    exchange = http2_pool.send(server.reply("/", Reply(chunks=((gate, b"ok"),), end_after=never)))
    exchange.head()
    other = http2_pool.send(server.reply("/other", Reply(head_after=passed)))
    server.timeline.wait_for("request", "/other")
    gate.open()
    server.timeline.wait_for("chunk", "/")
    passed.open()  # the other's reader reads for both
    other.finish()
    server.hang_up(reset=True)
    server.timeline.wait_for("reset")
    last = http2_pool.send(server.url("/last"))
    assert isinstance(last.failure(), library.core.WriteError)
    with pytest.raises(library.core.WriteError):
        exchange.read()
    unsent = failed("write_error", created=False)
    assert_settled(
        telemetry, [exchange, other, last], failed("write_error", status=200), reused(), unsent
    )
