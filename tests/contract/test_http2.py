"""HTTP/2, where it differs: one set-up for several requests, streams, GOAWAY."""

from __future__ import annotations

import time
from typing import Any

import pytest

from opentelemetry.instrumentation.gluellm.telemetry import semconv
from support.clients import PoolUnderTest, Runner
from support.http2 import HTTP2Server
from support.libraries import Library
from support.listener import Listen
from support.outcomes import (
    assert_near,
    assert_phases,
    assert_settled,
    failed,
    new,
    reused,
)
from support.script import Failure, Reply
from support.telemetry import Telemetry
from support.waiting import wait_until


@pytest.fixture
def server(listen: Listen) -> HTTP2Server:
    """An HTTP/2 server in cleartext, for clients that know beforehand."""
    return listen(HTTP2Server)


def http2_pool(runner: Runner, library: Library, **settings: Any) -> PoolUnderTest:
    """A pool that speaks HTTP/2 and nothing else."""
    return runner.pool(library, http1=False, http2=True, **settings)


@pytest.mark.modes("sync", "asyncio", "trio")
def test_phases_of_a_stream(
    runner: Runner, library: Library, server: HTTP2Server, telemetry: Telemetry
) -> None:
    """A stream's phases are those of an HTTP/1.1 request; its connection's version is 2."""
    gate = server.gate()
    reply = Reply(head_after=0.1, chunks=((0.0, b"a"), (gate, b"b")))
    pool = http2_pool(runner, library)
    first = pool.send(server.reply("/", reply))
    server.timeline.wait_for("request")
    wait_until(lambda: telemetry.current("awaiting_response") == 1)
    first.head()
    assert telemetry.value(semconv.OPEN_CONNECTIONS, state="active", version="2") == 1
    wait_until(lambda: time.monotonic() > first.answered + 0.1)
    body = first.begin_read()
    begun = time.monotonic()
    wait_until(lambda: telemetry.current("reading") == 1)
    wait_until(lambda: time.monotonic() > begun + 0.1)
    gate.open()
    assert body.result(5) == b"ab"
    first.wait()
    assert_phases(
        telemetry,
        awaiting_response=server.timeline.at("head") - first.entered,
        unread=begun - first.answered,
        reading=first.left - begun,
    )
    second = pool.get(server.url("/second"))
    assert_settled(telemetry, [first, second], new(), reused())
    assert telemetry.total(semconv.ACQUIRE_DURATION) == 0
    assert telemetry.value(semconv.OPEN_CONNECTIONS, state="idle", version="2") == 1
    assert telemetry.value(semconv.CONNECTION_OPENED) == 1


@pytest.mark.modes("sync", "asyncio", "trio")
def test_waiting_for_a_stream(
    runner: Runner, library: Library, listen: Listen, telemetry: Telemetry
) -> None:
    """With every stream in use the wait is for a stream: the connection was acquired at once."""
    server = listen(HTTP2Server, max_streams=1)
    pool = http2_pool(runner, library)
    first = pool.get(server.url())
    gate = server.gate()
    holder = pool.send(server.reply("/held", Reply(head_after=gate)))
    server.timeline.wait_for("request", "/held")
    waiter = pool.send(server.url("/waiter"))
    wait_until(lambda: telemetry.current("stream_queued") == 1)
    assert telemetry.current("queued") == 0
    assert telemetry.current("awaiting_response") == 1
    wait_until(lambda: time.monotonic() > waiter.entered + 0.15)
    assert telemetry.value(semconv.REQUEST_OLDEST_AGE, phase="stream_queued") >= 0.1
    gate.open()
    holder.head()
    holder.read()
    waiter.head()
    waiter.read()
    assert_settled(telemetry, [first, holder, waiter], new(), reused(), reused())
    waited = server.timeline.at("body_end", "/held") - waiter.entered
    assert_near(telemetry.phases()["stream_queued"], waited)
    assert telemetry.total(semconv.ACQUIRE_DURATION) == 0
    assert telemetry.value(semconv.PEAK_ACTIVE) == 1


def test_two_streams_are_told_apart(
    runner: Runner, library: Library, server: HTTP2Server, telemetry: Telemetry
) -> None:
    """Streams of one connection are in phases of their own."""
    pool = http2_pool(runner, library)
    first = pool.get(server.url())
    gate = server.gate()
    held = pool.send(server.reply("/held", Reply(end_after=gate)))
    held.head()
    slow = pool.send(server.reply("/slow", Reply(head_after=gate)))
    server.timeline.wait_for("request", "/slow")
    wait_until(lambda: telemetry.current("awaiting_response") == 1)
    assert telemetry.current("unread") == 1
    assert telemetry.value(semconv.ACTIVE_REQUESTS) == 2
    assert telemetry.value(semconv.OPEN_CONNECTIONS) == 1
    gate.open()
    for exchange in (slow, held):
        exchange.head()
        exchange.read()
    assert_settled(telemetry, [first, held, slow], new(), reused(), reused())


@pytest.mark.parametrize("in_body", [False, True], ids=["before the head", "in the body"])
def test_reset_stream(
    runner: Runner, library: Library, server: HTTP2Server, telemetry: Telemetry, in_body: bool
) -> None:
    """RST_STREAM fails one request; the connection goes on."""
    failure = Failure.RESET_IN_BODY if in_body else Failure.RESET_BEFORE_HEAD
    pool = http2_pool(runner, library)
    exchange = pool.send(server.reply("/", Reply(failure=failure)))
    if in_body:
        exchange.head()
        assert exchange.chunk() == b"ok"
        with pytest.raises(library.raises("protocol_error")):
            exchange.read()
    else:
        assert isinstance(exchange.failure(), library.raises("protocol_error"))
    again = pool.get(server.url("/fine"))
    row = failed("protocol_error", status=200 if in_body else None)
    assert_settled(telemetry, [exchange, again], row, reused())
    assert telemetry.value(semconv.CONNECTION_CLOSED) == 0
    assert server.timeline.count("accept") == 1


def test_goaway_sends_a_request_back_to_the_queue(
    runner: Runner, library: Library, server: HTTP2Server, telemetry: Telemetry
) -> None:
    """The request that the server won't serve is queued again and gets a new connection."""
    pool = http2_pool(runner, library)
    first = pool.get(server.url())
    server.go_away()
    second = pool.get(server.url("/second"))
    assert_settled(telemetry, [first, second], new(), new())
    assert telemetry.value(semconv.REQUEUES) == 1
    assert telemetry.by(semconv.CONNECTION_CLOSED, "reason") == {"goaway": 1}
    assert telemetry.value(semconv.CONNECTION_OPENED) == 2
    assert telemetry.value(semconv.OPEN_CONNECTIONS) == 1
    assert server.timeline.count("request") == 2


@pytest.mark.modes("asyncio", "trio")
def test_cancelled_stream_keeps_the_connection(
    runner: Runner, library: Library, server: HTTP2Server, telemetry: Telemetry
) -> None:
    """A cancelled request is over; others on its connection are not."""
    pool = http2_pool(runner, library)
    first = pool.get(server.url())
    never = server.gate()
    before = pool.send(server.reply("/before", Reply(head_after=never)))
    server.timeline.wait_for("request", "/before")
    before.cancel()
    within = pool.send(server.reply("/within", Reply(end_after=never)))
    within.head()
    assert within.chunk() == b"ok"
    within.begin_read()
    wait_until(lambda: telemetry.current("reading") == 1)
    within.cancel()
    last = pool.get(server.url("/last"))
    assert_settled(
        telemetry,
        [first, before, within, last],
        new(),
        failed("cancelled", created=False),
        failed("cancelled", created=False, status=200),
        reused(),
    )
    assert telemetry.value(semconv.CONNECTION_CLOSED) == 0


@pytest.mark.modes("asyncio", "trio")
def test_cancelled_while_waiting_for_a_stream(
    runner: Runner, library: Library, listen: Listen, telemetry: Telemetry
) -> None:
    """It had its connection, so it was a lease, cancelled without a status."""
    server = listen(HTTP2Server, max_streams=1)
    pool = http2_pool(runner, library)
    first = pool.get(server.url())
    gate = server.gate()
    holder = pool.send(server.reply("/held", Reply(end_after=gate)))
    holder.head()
    waiter = pool.send(server.url())
    wait_until(lambda: telemetry.current("stream_queued") == 1)
    waiter.cancel()
    gate.open()
    holder.read()
    row = failed("cancelled", created=False)
    assert_settled(telemetry, [first, holder, waiter], new(), reused(), row)
    assert_near(telemetry.phases()["stream_queued"], waiter.duration)


def test_read_timeout_of_a_stream(
    runner: Runner, library: Library, server: HTTP2Server, telemetry: Telemetry
) -> None:
    """On HTTP/2 a read timeout fails the request alike."""
    never = server.gate()
    pool = http2_pool(runner, library)
    exchange = pool.send(server.reply("/", Reply(head_after=never)), read=0.15)
    assert isinstance(exchange.failure(), library.raises("read_timeout"))
    assert_settled(telemetry, [exchange], failed("read_timeout"))
    assert_phases(telemetry, awaiting_response=0.15)


def test_connection_lost_under_two_streams(
    runner: Runner, library: Library, server: HTTP2Server, telemetry: Telemetry
) -> None:
    """Both requests fail. httpcore lists the dead connection as idle until it needs the room."""
    pool = http2_pool(runner, library)
    first = pool.get(server.url())
    never = server.gate()
    lost = [pool.send(server.reply("/lost", Reply(head_after=never))) for _ in range(2)]
    server.timeline.wait_for("request", "/lost", count=2)
    server.hang_up()
    for exchange in lost:
        exchange.failure()
    row = failed("protocol_error", created=False)
    assert_settled(telemetry, [first, *lost], new(), row, row)
    assert telemetry.value(semconv.REUSE_FAILURES) == 2
    pool.get(server.url())
    assert telemetry.value(semconv.CONNECTION_OPENED) == 2
    assert telemetry.value(semconv.OPEN_CONNECTIONS) == len(pool.connections)
    pool.close()
    assert telemetry.value(semconv.CONNECTION_CLOSED) == 2
    assert telemetry.value(semconv.OPEN_CONNECTIONS) == 0


def test_idle_connection_that_the_server_closed(
    runner: Runner, library: Library, server: HTTP2Server, telemetry: Telemetry
) -> None:
    """httpcore doesn't look at an idle HTTP/2 socket: the next request fails on it."""
    pool = http2_pool(runner, library)
    first = pool.get(server.url())
    server.hang_up()
    server.timeline.wait_for("close")
    second = pool.send(server.url())
    # Whether the peer's FIN or its RST is met first is the kernel's choice.
    errors = {"RemoteProtocolError": "protocol_error", "ReadError": "read_error"}
    error = errors[type(second.failure()).__name__]
    assert_settled(telemetry, [first, second], new(), failed(error, created=False))
    assert telemetry.value(semconv.REUSE_FAILURES) == 1


def test_stream_closed_before_its_end(
    runner: Runner, library: Library, server: HTTP2Server, telemetry: Telemetry
) -> None:
    """The application lost interest: answered, no error, and the connection stays."""
    never = server.gate()
    pool = http2_pool(runner, library)
    exchange = pool.send(server.reply("/", Reply(end_after=never)))
    exchange.head()
    wait_until(lambda: time.monotonic() > exchange.answered + 0.1)
    exchange.close()
    again = pool.get(server.url("/again"))
    assert_settled(telemetry, [exchange, again], new(), reused())
    assert_near(telemetry.phases()["unread"], exchange.left - exchange.answered)
    assert telemetry.value(semconv.CONNECTION_CLOSED) == 0


# On asyncio the write that fails tells nobody: its loop notices later, in a read.
@pytest.mark.modes("sync", "trio")
def test_connection_lost_while_a_body_is_acknowledged(
    runner: Runner, library: Library, server: HTTP2Server, telemetry: Telemetry
) -> None:
    """The data had come, and the reader's own write, of their acknowledgement, fails."""
    gate, passed, never = server.gate(), server.gate(), server.gate()
    pool = http2_pool(runner, library)
    exchange = pool.send(server.reply("/", Reply(chunks=((gate, b"ok"),), end_after=never)))
    exchange.head()
    other = pool.send(server.reply("/other", Reply(head_after=passed)))
    server.timeline.wait_for("request", "/other")
    gate.open()
    server.timeline.wait_for("chunk", "/")
    passed.open()  # the other's reader reads for both
    other.head()
    other.read()
    server.hang_up(reset=True)
    server.timeline.wait_for("reset")
    last = pool.send(server.url("/last"))
    assert isinstance(last.failure(), library.core.WriteError)
    with pytest.raises(library.core.WriteError):
        exchange.read()
    unsent = failed("write_error", created=False)
    assert_settled(
        telemetry, [exchange, other, last], failed("write_error", status=200), reused(), unsent
    )


@pytest.mark.modes("asyncio", "trio")
def test_cancelled_between_two_reads_of_a_stream(
    runner: Runner, library: Library, server: HTTP2Server, telemetry: Telemetry
) -> None:
    """Told as on HTTP/1.1: cancelled, with the status that came."""
    pool = http2_pool(runner, library)
    exchange = pool.send(server.reply("/", Reply(end_after=server.gate())))
    exchange.head()
    assert exchange.chunk() == b"ok"
    wait_until(lambda: telemetry.current("unread") == 1)
    exchange.cancel()
    assert_settled(telemetry, [exchange], failed("cancelled", status=200))
