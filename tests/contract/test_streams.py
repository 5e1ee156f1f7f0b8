"""HTTP/2 streams: in use, the peer's limit, orphaned; and leaks among them."""

from __future__ import annotations

import pytest

from opentelemetry.instrumentation.gluellm.telemetry import semconv
from support.clients import PoolUnderTest, Runner
from support.http1 import HTTP1Server
from support.http2 import HTTP2Server
from support.installation import instrument
from support.libraries import Library
from support.listener import Listen
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
    told = telemetry.collect()
    active, limit, orphaned = (
        sum(point.value for point in told[metric.name])
        for metric in (semconv.STREAM_ACTIVE, semconv.STREAM_MAX, semconv.STREAM_ORPHANED)
    )
    return active, limit, orphaned


def test_streams_in_use_and_their_limit(
    telemetry: Telemetry, pool: PoolUnderTest, server: HTTP2Server
) -> None:
    """Each request under way is a stream; the limit is the peer's, and stays when they are over."""
    assert streams(telemetry) == (0, LIMIT, 0)
    gate = server.gate()
    url = server.reply("/held", Reply(end_after=gate))
    exchanges = [pool.send(url) for _ in range(4)]
    for exchange in exchanges:
        exchange.head()
    assert streams(telemetry) == (4, LIMIT, 0)
    gate.open()
    for exchange in exchanges:
        exchange.read()
    assert streams(telemetry) == (0, LIMIT, 0)


def test_streams_of_several_connections_add_up(
    telemetry: Telemetry, runner: Runner, library: Library, server: HTTP2Server
) -> None:
    """Two pools of one name and origin: twice the limit."""
    gate = server.gate()
    url = server.reply("/held", Reply(end_after=gate))
    exchanges = []
    for _ in range(2):
        pool = runner.pool(library, http1=False, http2=True)
        pool.get(server.url())
        exchanges.append(pool.send(url))
        exchanges[-1].head()
    assert streams(telemetry) == (2, 2 * LIMIT, 0)
    gate.open()
    for exchange in exchanges:
        exchange.read()


def test_request_beyond_the_limit_waits_for_a_stream(
    telemetry: Telemetry, pool: PoolUnderTest, server: HTTP2Server
) -> None:
    """All streams are in use, and the wait for one is visible: it has no timeout."""
    gate = server.gate()
    url = server.reply("/held", Reply(end_after=gate))
    exchanges = [pool.send(url) for _ in range(LIMIT)]
    for exchange in exchanges:
        exchange.head()
    waiter = pool.send(server.url("/waiter"), pool=0.05)
    wait_until(lambda: telemetry.current("stream_queued") == 1)
    assert streams(telemetry) == (LIMIT, LIMIT, 0)
    gate.open()
    for exchange in exchanges:
        exchange.read()
    waiter.head()
    waiter.read()
    assert streams(telemetry) == (0, LIMIT, 0)


@pytest.mark.modes("asyncio")
@pytest.mark.parametrize("in_body", [False, True], ids=["before the head", "in the body"])
def test_cancelled_request_leaves_an_orphan(
    telemetry: Telemetry, pool: PoolUnderTest, server: HTTP2Server, in_body: bool
) -> None:
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
    pool.get(server.url("/after"))  # whichever stream reads does so for all
    assert streams(telemetry) == (0, LIMIT, 0)


def test_response_that_is_closed_early_leaves_an_orphan(
    telemetry: Telemetry, pool: PoolUnderTest, server: HTTP2Server
) -> None:
    """A consumer that has read enough: the provider goes on sending to nobody."""
    gate = server.gate()
    exchange = pool.send(server.reply("/held", Reply(end_after=gate)))
    exchange.head()
    assert exchange.chunk() == b"ok"
    exchange.close()
    assert streams(telemetry) == (0, LIMIT, 1)
    gate.open()
    server.timeline.wait_for("body_end", "/held")
    pool.get(server.url("/after"))
    assert streams(telemetry) == (0, LIMIT, 0)


def test_response_that_is_read_to_its_end_leaves_none(
    telemetry: Telemetry, pool: PoolUnderTest, server: HTTP2Server
) -> None:
    """Nor does one that the server resets, however many there were."""
    for _ in range(3 * LIMIT):
        pool.get(server.url())
    assert streams(telemetry) == (0, LIMIT, 0)


def test_orphans_go_with_their_connection(
    telemetry: Telemetry, pool: PoolUnderTest, server: HTTP2Server
) -> None:
    """A closed pool has no streams."""
    exchange = pool.send(server.reply("/held", Reply(end_after=server.gate())))
    exchange.head()
    exchange.close()
    assert streams(telemetry) == (0, LIMIT, 1)
    pool.close()
    assert streams(telemetry) == (0, 0, 0)


def test_series_are_there_only_where_http2_was_used(
    telemetry: Telemetry, runner: Runner, library: Library, listen: Listen
) -> None:
    """An HTTP/1.1 connection has no streams, not even none."""
    runner.pool(library).get(listen(HTTP1Server).url())
    told = telemetry.collect()
    assert semconv.POOL_OPENED.name in told
    for metric in (semconv.STREAM_ACTIVE, semconv.STREAM_MAX, semconv.STREAM_ORPHANED):
        assert metric.name not in told


def test_leak_is_found_and_a_silent_stream_is_none(
    untouched: Telemetry, runner: Runner, library: Library, server: HTTP2Server
) -> None:
    """Two streams of one connection: a read in flight for long, and a response that nobody reads.

    Whichever stream reads does so for all, so the bytes of the one come in through the other.
    """
    instrument(untouched, leak_threshold=2)
    pool = runner.pool(library, http1=False, http2=True)
    pool.get(server.url())
    gate = server.gate()
    leaked = pool.send(server.reply("/leaked", Reply(end_after=gate)))
    leaked.head()
    silent = pool.send(server.reply("/silent", Reply(chunks=((gate, b"late"),))))
    silent.head()
    body = silent.begin_read()
    wait_until(lambda: untouched.value(semconv.LEAK_SUSPECTED) == 1, "the leak")
    wait_until(lambda: untouched.value(semconv.REQUEST_OLDEST_AGE, phase="reading") > 4)
    assert untouched.value(semconv.LEAK_SUSPECTED) == 1
    assert untouched.value(semconv.LEAKS) == 1
    gate.open()
    assert body.result(10) == b"late"
    leaked.close()
    assert untouched.value(semconv.LEAK_SUSPECTED) == 0
    assert untouched.value(semconv.LEAKS) == 1
