"""gRPC calls from creation to status, by phase and outcome."""

import gc
import time
from typing import Any

import grpc
import pytest

from opentelemetry.instrumentation.gluellm.adapters.grpc import aio, sync
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from support.clients import Runner
from support.grpc_server import GrpcServer
from support.libraries import Library
from support.outcomes import assert_near, assert_settled
from support.rows import failed, new
from support.script import Failure, Reply
from support.telemetry import Telemetry
from support.waiting import wait_until

pytestmark = pytest.mark.only("grpc")


@pytest.fixture
def pool(runner: Runner, library: Library, server: GrpcServer, telemetry: Telemetry) -> Any:
    """A ready channel, which has already made one call."""
    pool = runner.pool(library)
    pool.get(server.url("/first"))
    assert telemetry.value(semconv.CHANNEL_CURRENT, channel="ready") == 1
    return pool


def outcomes(telemetry: Telemetry) -> dict[Any, int]:
    """Number of calls by gRPC status and error, without the fixture's call."""
    calls = telemetry.requests("rpc")
    calls["OK", None] -= 1
    return {key: count for key, count in calls.items() if count}


def test_unary_call_awaits_its_response_until_the_end(telemetry, pool, server):
    """Head, message and status arrive together, so no time is reading."""
    before = telemetry.phases()
    gate = server.gate()
    exchange = pool.ask(server.reply("/", Reply(head_after=gate)))
    wait_until(lambda: telemetry.current("awaiting_response") == 1)
    wait_until(lambda: time.monotonic() > exchange.entered + 0.2)
    gate.open()
    exchange.finish()
    passed = {phase: time - before[phase] for phase, time in telemetry.phases().items()}
    assert_near(passed.pop("awaiting_response"), exchange.answered - exchange.entered)
    assert sum(passed.values()) == 0


def test_unreadable_status_is_not_reported_as_a_cancellation(telemetry, pool, server, monkeypatch):
    """The call ended with another error; the instrumentation's failure is counted separately."""

    def fails(*_: object) -> None:
        raise RuntimeError("ours")

    monkeypatch.setattr(sync, "_end", fails)
    monkeypatch.setattr(aio, "status_name", fails)
    exchange = pool.send(server.reply("/", Reply(failure=Failure.RESET_BEFORE_HEAD)))
    assert isinstance(exchange.failure(), grpc.RpcError)
    wait_until(lambda: outcomes(telemetry))
    assert outcomes(telemetry) == {(None, semconv.OTHER): 1}
    assert telemetry.value(semconv.INSTRUMENTATION_ERRORS) == 1


def test_lost_connection_fails_the_stream_and_leaves_the_channel_not_ready(
    runner, library, server, telemetry
):
    pool = runner.pool(library)
    exchange, _ = pool.hold(server, "/")
    rest = exchange.begin_read()
    wait_until(lambda: telemetry.current("reading") == 1)
    server.hang_up(reset=True)
    with pytest.raises(grpc.RpcError):
        rest.result(60)
    assert_settled(telemetry, [exchange], failed("read_error"))
    if runner.mode == "asyncio":
        # A sync channel is asked when the call ends, and may not have noticed by then.
        wait_until(lambda: telemetry.value(semconv.CHANNEL_CURRENT, channel="ready") == 0)


@pytest.mark.modes("sync")
def test_dropped_sync_stream_is_cancelled(runner, library, server, telemetry):
    """gRPC cancels a sync call without references, which ends its lease."""
    pool = runner.pool(library)
    exchange, _ = pool.hold(server, "/")
    assert telemetry.current("unread") == 1
    exchange.abandon()
    del exchange
    gc.collect()
    wait_until(lambda: telemetry.value(semconv.ACTIVE_REQUESTS) == 0)
    assert telemetry.requests("rpc") == {("CANCELLED", "cancelled"): 1}
    assert telemetry.value(semconv.INSTRUMENTATION_ERRORS) == 0
    server.timeline.wait_for("stream_reset")


def test_first_read_of_a_stream_awaits_its_head(runner, library, server, telemetry):
    """An application that reads at once waits for the head first, then for the body."""
    head, end = server.gate(), server.gate()
    url = server.reply("/", Reply(head_after=head, chunks=((end, b"a"),)))
    pool = runner.pool(library)
    read = pool.read_at_once(url)
    server.timeline.wait_for("request")
    wait_until(lambda: telemetry.current("awaiting_response") == 1)
    head.open()
    if runner.mode != "sync":  # a sync stream does not report its head
        wait_until(lambda: telemetry.current("reading") == 1)
    end.open()
    assert read.result(60) == b"a"
    wait_until(lambda: telemetry.by(semconv.REQUESTS, "rpc") == {"OK": 1})
    assert telemetry.value(semconv.ACTIVE_REQUESTS) == 0


def test_streaming_requests_are_half_closed(runner, library, server, telemetry):
    """A call that sends several messages, and one that sends and receives them."""
    pool = runner.pool(library)
    assert pool.send_several(server.url()) == [b"ok", b"ok"]
    wait_until(lambda: telemetry.value(semconv.ACTIVE_REQUESTS) == 0)
    assert telemetry.requests("rpc") == {("OK", None): 2}
    assert telemetry.value(semconv.INSTRUMENTATION_ERRORS) == 0


def test_call_that_fails_before_it_is_sent_is_not_counted(runner, library, server, telemetry):
    """A closed channel refuses calls."""
    pool = runner.pool(library)
    pool.get(server.url())
    pool.close()
    exchange = pool.ask(server.url())
    exchange.failure()
    assert telemetry.requests("rpc") == {("OK", None): 1}
    telemetry.check(ACTIVE_REQUESTS=0, POOL_OPENED=1)


def test_intercepted_call_has_one_lease(runner, library, server, telemetry):
    """The application holds the interceptor's object, which has no lease of its own."""
    pool = runner.pool(library)
    pool.intercept()
    stream = pool.get(server.url())
    one = pool.ask(server.url())
    one.finish()
    assert_settled(telemetry, [stream, one], new(), new())
