"""gRPC's calls: from being made to their status, by phase and by outcome."""

from __future__ import annotations

import gc
import time
from typing import Any

import grpc
import pytest

from opentelemetry.instrumentation.gluellm.adapters.grpc import aio, sync
from opentelemetry.instrumentation.gluellm.pool import watch
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from support.clients import Runner
from support.grpc_pools import ChannelUnderTest
from support.grpc_server import GrpcServer
from support.installation import instrument
from support.libraries import Library
from support.outcomes import assert_near, assert_phases, assert_settled, failed, new
from support.script import Failure, Reply
from support.telemetry import Telemetry
from support.waiting import wait_until


@pytest.fixture
def pool(runner: Runner, library: Library, server: GrpcServer, telemetry: Telemetry) -> Any:
    """A channel that is ready. What it did until then is counted once."""
    pool = runner.pool(library)
    pool.get(server.url("/first"))
    assert telemetry.value(semconv.CHANNEL_CURRENT, channel="ready") == 1
    return pool


def told(telemetry: Telemetry) -> dict[Any, int]:
    """Calls by gRPC's status and the contract's error, without the one of the fixture."""
    calls = telemetry.by(semconv.REQUESTS, "rpc", "error")
    calls["OK", None] -= 1
    return {key: count for key, count in calls.items() if count}


@pytest.mark.parametrize("waits", [False, True], ids=["fail-fast", "wait for ready"])
def test_acquire_is_known_only_where_a_call_waits_for_ready(
    telemetry: Telemetry, pool: ChannelUnderTest, server: GrpcServer, waits: bool
) -> None:
    """On a ready channel that is exactly 0; and else nobody knows, so nothing is told."""
    timeouts = {"pool": 5.0} if waits else {}
    exchange = pool.ask(server.url(), **timeouts)
    exchange.head()
    exchange.read()
    assert telemetry.count(semconv.ACQUIRE_DURATION) == waits
    assert telemetry.total(semconv.ACQUIRE_DURATION) == 0
    assert telemetry.count(semconv.LEASE_DURATION) == 2
    assert told(telemetry) == {("OK", None): 1}


def test_call_with_one_answer_awaits_it_all_the_time(
    telemetry: Telemetry, pool: ChannelUnderTest, server: GrpcServer
) -> None:
    """Head, message and status come at once, so there is nothing to read."""
    before = telemetry.phases()
    exchange = pool.ask(server.reply("/", Reply(head_after=0.2)))
    wait_until(lambda: telemetry.current("awaiting_response") == 1)
    exchange.head()
    exchange.read()
    passed = {phase: time - before[phase] for phase, time in telemetry.phases().items()}
    assert_near(passed.pop("awaiting_response"), exchange.answered - exchange.entered)
    assert sum(passed.values()) == 0


def test_phases_follow_the_servers_schedule(
    telemetry: Telemetry, pool: ChannelUnderTest, server: GrpcServer
) -> None:
    """The head's delay is awaiting, a message's is reading, the reader's own is unread."""
    before = telemetry.phases()
    gate = server.gate()
    chunks = ((0.0, b"a"), (gate, b"b"))
    exchange = pool.send(server.reply("/", Reply(head_after=0.15, chunks=chunks, end_after=0.15)))
    server.timeline.wait_for("request", "/")
    assert telemetry.current("awaiting_response") == 1
    exchange.head()
    assert exchange.chunk() == b"a"
    wait_until(lambda: telemetry.current("unread") == 1)
    wait_until(lambda: time.monotonic() > exchange.answered + 0.15)
    rest = exchange.begin_read()
    begun = time.monotonic()
    wait_until(lambda: telemetry.current("reading") == 1)
    wait_until(lambda: time.monotonic() > begun + 0.1)
    gate.open()
    assert rest.result(5) == b"b"
    exchange.wait()
    wait_until(lambda: telemetry.value(semconv.ACTIVE_REQUESTS) == 0)
    passed = {phase: seconds - before[phase] for phase, seconds in telemetry.phases().items()}
    timeline = server.timeline
    assert_near(passed["awaiting_response"], timeline.at("head", "/") - exchange.entered)
    assert_near(passed["unread"], begun - exchange.answered)
    assert_near(passed["reading"], timeline.at("body_end", "/") - begun)
    assert_near(sum(passed.values()), exchange.duration)
    assert passed["queued"] == passed["connecting"] == passed["stream_queued"] == 0


@pytest.mark.parametrize(
    ("status", "name", "error"),
    [
        (404, "NOT_FOUND", None),
        (429, "RESOURCE_EXHAUSTED", None),
        (500, "INTERNAL", None),
        # Nobody tells whether the server said so, or the connection broke.
        (503, "UNAVAILABLE", "read_error"),
    ],
)
def test_status_of_the_server_is_told_and_is_no_error(
    telemetry: Telemetry,
    pool: ChannelUnderTest,
    server: GrpcServer,
    status: int,
    name: str,
    error: str | None,
) -> None:
    """As with HTTP: what a server answers is an answer."""
    url = server.reply("/", Reply(status=status))
    for exchange in (pool.send(url), pool.ask(url)):
        assert isinstance(exchange.failure(), grpc.RpcError)
    assert told(telemetry) == {(name, error): 2}
    assert telemetry.by(semconv.REQUESTS, "status") == {None: 3}
    assert telemetry.count(semconv.LEASE_DURATION) == 3


def test_status_that_we_fail_to_read_is_no_cancellation(
    telemetry: Telemetry,
    pool: ChannelUnderTest,
    server: GrpcServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A failure of ours says nothing of the call: it ended, in an error that is none of those."""

    def fails(*_: object) -> None:
        raise RuntimeError("ours")

    monkeypatch.setattr(sync, "_end", fails)
    monkeypatch.setattr(aio, "status_name", fails)
    exchange = pool.send(server.reply("/", Reply(failure=Failure.RESET_BEFORE_HEAD)))
    assert isinstance(exchange.failure(), grpc.RpcError)
    wait_until(lambda: told(telemetry))
    assert told(telemetry) == {(None, semconv.OTHER): 1}
    assert telemetry.value(semconv.INSTRUMENTATION_ERRORS) == 1


@pytest.mark.parametrize("kind", ["stream", "one answer"])
def test_deadline_before_the_head_is_a_read_timeout(
    telemetry: Telemetry, pool: ChannelUnderTest, server: GrpcServer, kind: str
) -> None:
    """The call had gone out: the provider has not answered in time."""
    never = server.gate()
    start = pool.send if kind == "stream" else pool.ask
    exchange = start(server.reply("/", Reply(head_after=never)), read=0.15)
    exchange.failure()
    assert told(telemetry) == {("DEADLINE_EXCEEDED", "read_timeout"): 1}
    assert telemetry.by(semconv.TIMEOUTS, "kind") == {"read": 1}
    assert_near(telemetry.phases()["awaiting_response"], 0.15)


def test_deadline_in_a_stream(
    runner: Runner, library: Library, server: GrpcServer, telemetry: Telemetry
) -> None:
    """The silence was reading, and ended in a timeout."""
    never = server.gate()
    pool = runner.pool(library)
    exchange = pool.send(server.reply("/", Reply(end_after=never)), read=0.25)
    exchange.head()
    with pytest.raises(grpc.RpcError):
        exchange.read()
    assert_settled(telemetry, [exchange], failed("read_timeout"))
    assert telemetry.phases()["reading"] > 0.1


@pytest.mark.parametrize(
    "failure", [Failure.RESET_BEFORE_HEAD, Failure.RESET_IN_BODY], ids=["before", "in the body"]
)
def test_stream_that_ends_as_unavailable(
    runner: Runner,
    library: Library,
    server: GrpcServer,
    telemetry: Telemetry,
    failure: Failure,
) -> None:
    """It had gone out, so it is no failure to connect."""
    pool = runner.pool(library)
    reply = Reply(head_after=0.1, end_after=0.1, failure=failure)
    exchange = pool.send(server.reply("/", reply))
    if failure is Failure.RESET_BEFORE_HEAD:
        exchange.failure()
    else:
        exchange.head()
        with pytest.raises(grpc.RpcError):
            exchange.read()
    assert_settled(telemetry, [exchange], failed("read_error"))


def test_connection_that_is_cut_under_a_stream(
    runner: Runner, library: Library, server: GrpcServer, telemetry: Telemetry
) -> None:
    """The call fails, and the channel is not ready any more."""
    never = server.gate()
    pool = runner.pool(library)
    exchange = pool.send(server.reply("/", Reply(end_after=never)))
    exchange.head()
    rest = exchange.begin_read()
    wait_until(lambda: telemetry.current("reading") == 1)
    server.hang_up(reset=True)
    with pytest.raises(grpc.RpcError):
        rest.result(5)
    assert_settled(telemetry, [exchange], failed("read_error"))
    if runner.mode == "asyncio":
        # A sync channel is asked when the call ends, and may not have noticed by then.
        wait_until(lambda: telemetry.value(semconv.CHANNEL_CURRENT, channel="ready") == 0)


@pytest.mark.modes("asyncio")
@pytest.mark.parametrize("kind", ["stream", "one answer"])
def test_cancelled_before_the_head(
    runner: Runner, library: Library, server: GrpcServer, telemetry: Telemetry, kind: str
) -> None:
    """A cancelled task cancels its call, which had been waiting for the provider."""
    never = server.gate()
    pool: Any = runner.pool(library)
    start = pool.send if kind == "stream" else pool.ask
    exchange = start(server.reply("/", Reply(head_after=never)))
    server.timeline.wait_for("request")
    wait_until(lambda: telemetry.current("awaiting_response") == 1)
    wait_until(lambda: time.monotonic() > exchange.entered + 0.1)
    exchange.cancel()
    assert_settled(telemetry, [exchange], failed("cancelled"))
    assert telemetry.by(semconv.REQUESTS, "rpc") == {"CANCELLED": 1}
    assert telemetry.value(semconv.TIMEOUTS) == 0
    server.timeline.wait_for("stream_reset")


@pytest.mark.modes("asyncio")
def test_cancelled_in_a_read(
    runner: Runner, library: Library, server: GrpcServer, telemetry: Telemetry
) -> None:
    """The time until then was reading."""
    never = server.gate()
    pool = runner.pool(library)
    exchange = pool.send(server.reply("/", Reply(end_after=never)))
    exchange.head()
    assert exchange.chunk() == b"ok"
    begun = time.monotonic()
    exchange.begin_read()
    wait_until(lambda: telemetry.current("reading") == 1 and time.monotonic() > begun + 0.1)
    exchange.cancel()
    assert_settled(telemetry, [exchange], failed("cancelled"))
    assert_near(telemetry.phases()["reading"], exchange.left - begun)


@pytest.mark.parametrize("read_first", [False, True], ids=["unread", "half-read"])
def test_stream_that_is_cancelled_before_its_end(
    runner: Runner, library: Library, server: GrpcServer, telemetry: Telemetry, read_first: bool
) -> None:
    """Nobody was reading: the application held it. Its status is that of a cancellation."""
    never = server.gate()
    pool = runner.pool(library)
    exchange = pool.send(server.reply("/", Reply(end_after=never)))
    exchange.head()
    if read_first:
        assert exchange.chunk() == b"ok"
    wait_until(lambda: telemetry.current("unread") == 1)
    wait_until(lambda: time.monotonic() > exchange.answered + 0.15)
    assert telemetry.value(semconv.REQUEST_OLDEST_AGE, phase="unread") >= 0.1
    exchange.close()
    assert_settled(telemetry, [exchange], failed("cancelled"))
    assert_phases(telemetry, unread=exchange.left - exchange.answered)
    server.timeline.wait_for("stream_reset")


@pytest.mark.modes("sync")
def test_sync_stream_that_is_dropped(
    runner: Runner, library: Library, server: GrpcServer, telemetry: Telemetry
) -> None:
    """gRPC cancels a sync call that nobody refers to any more, and so it ends here too."""
    never = server.gate()
    pool = runner.pool(library)
    exchange = pool.send(server.reply("/", Reply(end_after=never)))
    exchange.head()
    assert telemetry.current("unread") == 1
    exchange.abandon()
    del exchange
    gc.collect()
    wait_until(lambda: telemetry.value(semconv.ACTIVE_REQUESTS) == 0)
    assert telemetry.by(semconv.REQUESTS, "rpc", "error") == {("CANCELLED", "cancelled"): 1}
    assert telemetry.value(semconv.INSTRUMENTATION_ERRORS) == 0
    server.timeline.wait_for("stream_reset")


@pytest.mark.modes("asyncio")
def test_async_stream_that_is_dropped_is_held_and_a_leak(
    runner: Runner,
    library: Library,
    server: GrpcServer,
    untouched: Telemetry,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """grpc.aio keeps it for ever, its server's end included: that is what a mere break does.

    A stream that is read from all the while is none, however silent.
    """
    monkeypatch.setattr(watch, "INTERVAL", 0.05)
    instrument(untouched, leak_threshold=2.0)
    end = server.gate()
    url = server.reply("/", Reply(end_after=end))
    pool = runner.pool(library)
    reader = pool.send(url)
    reader.head()
    rest = reader.begin_read()
    dropped = pool.send(url)
    dropped.head()
    dropped.abandon()
    del dropped
    gc.collect()
    wait_until(lambda: untouched.value(semconv.LEAK_SUSPECTED) == 1, "the leak is found")
    assert untouched.value(semconv.LEAKS) == 1
    assert untouched.current("reading") == 1
    end.open()
    rest.result(5)
    server.timeline.wait_for("body_end", count=2)
    assert untouched.current("unread") == 1
    pool.close()
    assert untouched.value(semconv.ACTIVE_REQUESTS) == 0
    wait_until(lambda: untouched.value(semconv.LEAK_SUSPECTED) == 0)
    assert untouched.by(semconv.REQUESTS, "rpc") == {"OK": 1, "CANCELLED": 1}


def test_first_read_of_a_stream_awaits_its_head(
    runner: Runner, library: Library, server: GrpcServer, telemetry: Telemetry
) -> None:
    """An application that reads at once waits for the provider, and then reads on."""
    head, end = server.gate(), server.gate()
    url = server.reply("/", Reply(head_after=head, chunks=((end, b"a"),)))
    pool: Any = runner.pool(library)
    read = pool.read_at_once(url)
    server.timeline.wait_for("request")
    wait_until(lambda: telemetry.current("awaiting_response") == 1)
    head.open()
    if runner.mode != "sync":  # a sync stream tells nothing of its head
        wait_until(lambda: telemetry.current("reading") == 1)
    end.open()
    assert read.result(5) == b"a"
    wait_until(lambda: telemetry.by(semconv.REQUESTS, "rpc") == {"OK": 1})
    assert telemetry.value(semconv.ACTIVE_REQUESTS) == 0


def test_many_calls_on_one_channel(
    runner: Runner, library: Library, server: GrpcServer, telemetry: Telemetry
) -> None:
    """All at once over one connection, as gRPC does it: each has its lease, nothing queues."""
    gate = server.gate()
    url = server.reply("/", Reply(end_after=gate))
    pool = runner.pool(library)
    pool.get(server.url("/first"))
    exchanges = [pool.send(url) for _ in range(60)]
    for exchange in exchanges:
        exchange.head()
    assert telemetry.current("unread") == 60
    gate.open()
    for exchange in exchanges:
        exchange.read()
    wait_until(lambda: telemetry.value(semconv.ACTIVE_REQUESTS) == 0)
    assert telemetry.by(semconv.REQUESTS, "rpc", "error") == {("OK", None): 61}
    assert telemetry.count(semconv.LEASE_DURATION) == 61
    assert telemetry.value(semconv.POOL_OPENED) == 1
    assert server.timeline.count("accept") == 1
    assert telemetry.points(semconv.OPEN_CONNECTIONS) == []


def test_client_that_streams_is_half_closed(
    runner: Runner, library: Library, server: GrpcServer, telemetry: Telemetry
) -> None:
    """A call that sends several messages, and one that sends and receives them."""
    pool: Any = runner.pool(library)
    assert pool.send_several(server.url()) == [b"ok", b"ok"]
    wait_until(lambda: telemetry.value(semconv.ACTIVE_REQUESTS) == 0)
    assert telemetry.by(semconv.REQUESTS, "rpc", "error") == {("OK", None): 2}
    assert telemetry.value(semconv.INSTRUMENTATION_ERRORS) == 0


def test_call_that_is_refused_at_once_never_was_there(
    runner: Runner, library: Library, server: GrpcServer, telemetry: Telemetry
) -> None:
    """A request that can't be serialized goes nowhere, and a closed channel takes none."""
    pool: Any = runner.pool(library)
    pool.get(server.url())
    pool.close()
    exchange = pool.ask(server.url())
    exchange.failure()
    assert telemetry.by(semconv.REQUESTS, "rpc", "error") == {("OK", None): 1}
    assert telemetry.value(semconv.ACTIVE_REQUESTS) == 0
    assert telemetry.value(semconv.POOL_OPENED) == 1


def test_interceptors_see_their_own_calls(
    runner: Runner, library: Library, server: GrpcServer, telemetry: Telemetry
) -> None:
    """A call that is intercepted has one lease, in whatever object the application holds."""
    pool: Any = runner.pool(library)
    pool.intercept()
    stream = pool.get(server.url())
    one = pool.ask(server.url())
    one.head()
    one.read()
    assert_settled(telemetry, [stream, one], new(), new())
