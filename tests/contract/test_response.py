"""Waiting for a response and reading it: slow, broken off, cancelled, left alone."""

from __future__ import annotations

import time

import pytest

from opentelemetry.instrumentation.gluellm.telemetry import semconv
from support.clients import Runner
from support.deaf import MORE_THAN_BUFFERS, DeafServer
from support.http1 import HTTP1Server
from support.libraries import Library
from support.listener import Listen
from support.outcomes import assert_near, assert_phases, assert_settled, failed, new
from support.script import Failure, Reply
from support.telemetry import Telemetry
from support.waiting import wait_until


def test_phases_follow_the_servers_schedule(
    runner: Runner, library: Library, server: HTTP1Server, telemetry: Telemetry
) -> None:
    """The head's delay is awaiting, a chunk's is reading, the reader's own is unread."""
    gate = server.gate()
    chunks = ((0.0, b"a"), (gate, b"b"))
    reply = Reply(head_after=0.15, status=201, chunks=chunks, end_after=0.15)
    pool = runner.pool(library)
    exchange = pool.send(server.reply("/", reply))
    server.timeline.wait_for("request")
    assert telemetry.current("awaiting_response") == 1
    assert exchange.head() == 201
    wait_until(lambda: telemetry.current("unread") == 1)
    assert exchange.chunk() == b"a"
    wait_until(lambda: telemetry.current("unread") == 1)
    wait_until(lambda: time.monotonic() > exchange.answered + 0.15)
    rest = exchange.begin_read()
    begun = time.monotonic()
    wait_until(lambda: telemetry.current("reading") == 1)
    assert telemetry.value(semconv.REQUEST_OLDEST_AGE, phase="reading") > 0
    wait_until(lambda: time.monotonic() > begun + 0.1)
    gate.open()
    assert rest.result(5) == b"b"
    assert_settled(telemetry, [exchange], new(status=201))
    timeline = server.timeline
    assert_phases(
        telemetry,
        awaiting_response=timeline.at("head") - exchange.entered,
        unread=begun - exchange.answered,
        reading=timeline.at("body_end") - begun,
    )
    assert_near(telemetry.total(semconv.LEASE_DURATION), exchange.duration)
    assert_near(timeline.at("head") - timeline.at("request"), 0.15)


def test_phases_move_while_a_request_hangs(
    runner: Runner, library: Library, server: HTTP1Server, telemetry: Telemetry
) -> None:
    """Time is told while it passes, not only once the request is over."""
    gate = server.gate()
    pool = runner.pool(library)
    exchange = pool.send(server.reply("/", Reply(head_after=gate)))
    server.timeline.wait_for("request")
    before = telemetry.phases()["awaiting_response"]
    asked = time.monotonic()
    wait_until(lambda: time.monotonic() > asked + 0.1)
    passed = telemetry.phases()["awaiting_response"] - before
    assert_near(passed, time.monotonic() - asked)
    assert passed >= 0.1
    assert telemetry.count(semconv.LEASE_DURATION) == 0
    gate.open()
    exchange.head()
    exchange.read()
    assert_settled(telemetry, [exchange], new())


@pytest.mark.parametrize("status", [204, 404, 429, 500])
def test_statuses_are_no_failures(
    runner: Runner, library: Library, server: HTTP1Server, telemetry: Telemetry, status: int
) -> None:
    """What the server answers is the request's status, and never an ``error.type``."""
    pool = runner.pool(library)
    # A 204 has no body, so h11 would refuse chunks.
    chunks = () if status == 204 else ((0.0, b"x"),)
    exchange = pool.get(server.reply("/", Reply(status=status, chunks=chunks)))
    assert_settled(telemetry, [exchange], new(status=status))
    assert telemetry.value(semconv.CONNECTION_CLOSED) == 0


@pytest.mark.modes("sync", "asyncio", "trio")
def test_read_timeout_before_the_head(
    runner: Runner, library: Library, server: HTTP1Server, telemetry: Telemetry
) -> None:
    """The time until the timeout was spent awaiting; the connection is lost."""
    never = server.gate()
    pool = runner.pool(library)
    exchange = pool.send(server.reply("/", Reply(head_after=never)), read=0.15)
    assert isinstance(exchange.failure(), library.raises("read_timeout"))
    assert_settled(telemetry, [exchange], failed("read_timeout"))
    assert_phases(telemetry, awaiting_response=0.15)
    assert telemetry.by(semconv.CONNECTION_CLOSED, "reason") == {"error": 1}
    assert telemetry.value(semconv.OPEN_CONNECTIONS) == 0
    assert telemetry.value(semconv.REUSE_FAILURES) == 0


def test_read_timeout_in_the_body(
    runner: Runner, library: Library, server: HTTP1Server, telemetry: Telemetry
) -> None:
    """The status is told with the error, since a head came; the silence was reading."""
    never = server.gate()
    pool = runner.pool(library)
    exchange = pool.send(server.reply("/", Reply(end_after=never)), read=0.15)
    exchange.head()
    with pytest.raises(library.raises("read_timeout")):
        exchange.read()
    assert_settled(telemetry, [exchange], failed("read_timeout", status=200))
    assert_phases(telemetry, reading=0.15)
    assert telemetry.by(semconv.CONNECTION_CLOSED, "reason") == {"error": 1}


def test_write_timeout(
    runner: Runner, library: Library, listen: Listen, telemetry: Telemetry
) -> None:
    """A body that the server doesn't take: being sent is awaiting the response."""
    deaf = listen(DeafServer)
    pool = runner.pool(library)
    exchange = pool.send(deaf.url(), body=bytes(MORE_THAN_BUFFERS), write=0.15)
    assert isinstance(exchange.failure(), library.raises("write_timeout"))
    assert_settled(telemetry, [exchange], failed("write_timeout"))
    assert_near(telemetry.phases()["awaiting_response"], exchange.duration)
    assert exchange.duration >= 0.15
    assert telemetry.by(semconv.CONNECTION_CLOSED, "reason") == {"error": 1}


@pytest.mark.parametrize(
    ("failure", "error"),
    [(Failure.RESET_BEFORE_HEAD, "read_error"), (Failure.EOF_BEFORE_HEAD, "protocol_error")],
)
def test_broken_off_before_the_head(
    runner: Runner,
    library: Library,
    server: HTTP1Server,
    telemetry: Telemetry,
    failure: Failure,
    error: str,
) -> None:
    """On a new connection this is no reuse failure."""
    pool = runner.pool(library)
    exchange = pool.send(server.reply("/", Reply(head_after=0.1, failure=failure)))
    exchange.failure()
    assert_settled(telemetry, [exchange], failed(error))
    assert_phases(telemetry, awaiting_response=exchange.duration)
    assert exchange.duration >= 0.1
    assert telemetry.by(semconv.CONNECTION_CLOSED, "reason") == {"error": 1}
    assert telemetry.value(semconv.REUSE_FAILURES) == 0


@pytest.mark.parametrize(
    ("failure", "error"),
    [(Failure.RESET_IN_BODY, "read_error"), (Failure.EOF_IN_BODY, "protocol_error")],
)
def test_broken_off_in_the_body(
    runner: Runner,
    library: Library,
    server: HTTP1Server,
    telemetry: Telemetry,
    failure: Failure,
    error: str,
) -> None:
    """A stream that breaks off has its status and its error; the lease lasted until then."""
    pool = runner.pool(library)
    exchange = pool.send(server.reply("/", Reply(end_after=0.15, failure=failure)))
    exchange.head()
    assert exchange.chunk() == b"ok"
    with pytest.raises((library.raises("read_error"), library.raises("protocol_error"))):
        exchange.read()
    assert_settled(telemetry, [exchange], failed(error, status=200))
    assert_near(telemetry.phases()["reading"], exchange.left - server.timeline.at("chunk"))
    assert telemetry.by(semconv.CONNECTION_CLOSED, "reason") == {"error": 1}
    assert telemetry.value(semconv.REUSE_FAILURES) == 0


@pytest.mark.modes("asyncio", "trio")
def test_cancelled_before_the_head(
    runner: Runner, library: Library, server: HTTP1Server, telemetry: Telemetry
) -> None:
    """Cancelled while the server thinks: no status, and the connection is lost."""
    never = server.gate()
    pool = runner.pool(library)
    exchange = pool.send(server.reply("/", Reply(head_after=never)))
    server.timeline.wait_for("request")
    wait_until(lambda: time.monotonic() > exchange.entered + 0.1)
    exchange.cancel()
    assert_settled(telemetry, [exchange], failed("cancelled"))
    assert_phases(telemetry, awaiting_response=exchange.duration)
    assert telemetry.by(semconv.CONNECTION_CLOSED, "reason") == {"cancelled": 1}
    assert telemetry.value(semconv.TIMEOUTS) == 0


@pytest.mark.modes("asyncio", "trio")
def test_cancelled_in_the_body(
    runner: Runner, library: Library, server: HTTP1Server, telemetry: Telemetry
) -> None:
    """Cancelled in a read: the status that came, and ``cancelled``."""
    never = server.gate()
    pool = runner.pool(library)
    exchange = pool.send(server.reply("/", Reply(end_after=never)))
    exchange.head()
    assert exchange.chunk() == b"ok"
    begun = time.monotonic()
    exchange.begin_read()
    wait_until(lambda: telemetry.current("reading") == 1 and time.monotonic() > begun + 0.1)
    exchange.cancel()
    assert_settled(telemetry, [exchange], failed("cancelled", status=200))
    assert_near(telemetry.phases()["reading"], exchange.left - begun)
    assert telemetry.by(semconv.CONNECTION_CLOSED, "reason") == {"cancelled": 1}
    server.timeline.wait_for("peer_closed")


@pytest.mark.modes("asyncio", "trio")
def test_cancelled_between_two_reads(
    runner: Runner, library: Library, server: HTTP1Server, telemetry: Telemetry
) -> None:
    """Cancelled while nobody reads: the status that came, and ``cancelled``."""
    pool = runner.pool(library)
    exchange = pool.send(server.reply("/", Reply(end_after=server.gate())))
    exchange.head()
    assert exchange.chunk() == b"ok"
    wait_until(lambda: telemetry.current("unread") == 1)
    exchange.cancel()
    assert_settled(telemetry, [exchange], failed("cancelled", status=200))
    assert telemetry.by(semconv.CONNECTION_CLOSED, "reason") == {"cancelled": 1}
    server.timeline.wait_for("peer_closed")


@pytest.mark.parametrize("read_first", [False, True], ids=["unread", "half-read"])
def test_response_that_is_closed_before_its_end(
    runner: Runner, library: Library, server: HTTP1Server, telemetry: Telemetry, read_first: bool
) -> None:
    """The application held the connection without reading: it was answered, and is no error."""
    never = server.gate()
    pool = runner.pool(library)
    exchange = pool.send(server.reply("/", Reply(end_after=never)))
    exchange.head()
    if read_first:
        assert exchange.chunk() == b"ok"
    wait_until(lambda: telemetry.current("unread") == 1)
    wait_until(lambda: time.monotonic() > exchange.answered + 0.15)
    assert telemetry.value(semconv.OPEN_CONNECTIONS, state="active") == 1
    assert telemetry.value(semconv.REQUEST_OLDEST_AGE, phase="unread") >= 0.1
    exchange.close()
    assert_settled(telemetry, [exchange], new())
    assert_phases(telemetry, unread=exchange.left - exchange.answered)
    assert telemetry.by(semconv.CONNECTION_CLOSED, "reason") == {"response_incomplete": 1}
    assert telemetry.value(semconv.OPEN_CONNECTIONS) == 0


def test_response_that_is_closed_twice(
    runner: Runner, library: Library, server: HTTP1Server, telemetry: Telemetry
) -> None:
    """Reading to the end and closing is one release."""
    pool = runner.pool(library)
    exchange = pool.send(server.url())
    exchange.head()
    assert exchange.chunk() == b"ok"
    exchange.read()
    again = pool.get(server.url())
    assert telemetry.count(semconv.LEASE_DURATION) == 2
    assert telemetry.value(semconv.OPEN_CONNECTIONS, state="idle") == 1
    assert again.duration > 0
