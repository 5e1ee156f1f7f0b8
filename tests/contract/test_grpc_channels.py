"""gRPC channels from first call to end: state, waits, snapshots, diagnosis."""

import dataclasses
import gc
import json
import time
from typing import Any

import grpc
import grpc.aio
import pytest

from gluellm_diagnosis.findings import Kind, Severity
from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor, diagnose, snapshot
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from support.grpc_server import GrpcServer
from support.installation import instrument
from support.network import refused_url
from support.outcomes import SLACK, assert_near, assert_rows, assert_settled
from support.rows import failed, new, waited_for_ready
from support.script import Reply
from support.telemetry import Telemetry
from support.waiting import PATIENCE, wait_until, wait_until_collected

pytestmark = pytest.mark.only("grpc")


def test_closed_channel_is_discarded_and_in_state_shutdown(pool, server, telemetry):
    """It stays in shutdown for as long as it is referenced."""
    pool.get(server.url())
    assert telemetry.value(semconv.POOL_LIVE) == 1
    pool.close()
    assert telemetry.value(semconv.POOL_LIVE) == 0
    assert telemetry.by(semconv.POOL_DISCARDED, "discard") == {"closed": 1}
    assert telemetry.by(semconv.CHANNEL_CURRENT, "channel") == {"shutdown": 1}
    pool.forget()

    wait_until_collected(lambda: not telemetry.by(semconv.CHANNEL_CURRENT, "channel"))
    assert telemetry.by(semconv.POOL_DISCARDED, "discard") == {"closed": 1}


def test_closing_a_channel_cancels_its_calls(pool, server, telemetry):
    exchange, _ = pool.hold(server, "/")
    rest = exchange.begin_read()
    wait_until(lambda: telemetry.current("reading") == 1)
    pool.close()
    assert rest.exception(PATIENCE) is not None
    assert_settled(telemetry, [exchange], failed("cancelled"))
    assert telemetry.by(semconv.POOL_DISCARDED, "discard") == {"closed": 1}


@pytest.mark.modes("asyncio")
def test_async_call_continues_after_its_channel_is_dropped(runner, library, server, telemetry):
    """A channel that was built for one call and dropped still gets the answer."""
    gate = server.gate()
    server.reply("/", Reply(end_after=gate))

    async def start() -> Any:
        call = grpc.aio.insecure_channel(server.target).unary_stream("/")(b"")
        await call.initial_metadata()
        return call

    async def read(call: Any) -> list[bytes]:
        return [chunk async for chunk in call]

    call = runner.portal.call(start)

    wait_until_collected(lambda: telemetry.value(semconv.POOL_LIVE) == 0)
    assert telemetry.current("unread") == 1
    gate.open()
    assert runner.portal.call(read, call) == [b"ok"]
    wait_until(lambda: telemetry.value(semconv.ACTIVE_REQUESTS) == 0)
    assert_rows(telemetry, new())


@pytest.mark.modes("asyncio")
def test_async_channel_is_closed_with_its_core(pool, runner, server, telemetry):
    """any-llm closes the core of channels whose event loop is gone."""
    pool.get(server.url())
    runner.portal.call(pool.channel._channel.close)  # type: ignore[union-attr]
    assert telemetry.by(semconv.POOL_DISCARDED, "discard") in ({}, {"closed": 1})
    assert telemetry.by(semconv.POOL_DISCARDED, "discard") == {"closed": 1}
    assert telemetry.value(semconv.POOL_LIVE) == 0


@pytest.mark.modes("sync")
def test_sync_channel_lives_as_long_as_its_stubs(pool, server, telemetry):
    """A dropped channel object does not end the channel while a stub still makes calls."""
    stub = pool.channel_to(server.url()).unary_unary("/")
    stub(b"")
    pool.forget()
    gc.collect()
    assert telemetry.value(semconv.POOL_LIVE) == 1
    assert stub(b"") == b"ok"
    assert telemetry.value(semconv.POOL_OPENED) == 1
    del stub
    gc.collect()
    assert telemetry.by(semconv.POOL_DISCARDED, "discard") == {"garbage_collected": 1}


@pytest.mark.parametrize("kind", ["stream", "one answer", "intercepted"])
def test_channel_from_before_instrument_is_observed(runner, library, server, untouched, kind):
    """It is ready from the watch's first pass on."""
    pool = runner.pool(library)
    if kind == "intercepted":
        pool.intercept()
    pool.get(server.url())
    instrument(untouched)
    assert untouched.value(semconv.POOL_LIVE) == 0
    exchange = (pool.ask if kind == "one answer" else pool.send)(server.url())
    exchange.finish()
    assert_settled(untouched, [exchange], new())
    assert untouched.by(semconv.CHANNEL_CURRENT, "channel") == {"ready": 1}
    assert untouched.by(semconv.REQUESTS, "address", "port") == {("127.0.0.1", server.port): 1}
    pool.close()
    assert untouched.value(semconv.POOL_LIVE) == 0


def test_calls_in_flight_at_instrument_and_uninstrument_continue(
    runner, library, server, untouched
):
    """They are not counted."""
    gates = [server.gate(), server.gate()]
    url = server.reply("/", *(Reply(end_after=gate) for gate in gates))
    pool = runner.pool(library)
    before = pool.send(url)
    before.head()
    instrument(untouched)
    during = pool.send(url)
    during.head()
    assert untouched.value(semconv.ACTIVE_REQUESTS) == 1
    GlueLLMInstrumentor().uninstrument()
    rest = during.begin_read()
    for gate in gates:
        gate.open()
    assert before.read() == b"ok"
    assert rest.result(60) == b"ok"
    instrument(untouched)
    pool.get(server.url("/after"))
    assert untouched.by(semconv.REQUESTS, "rpc") == {"OK": 1}
    untouched.check(INSTRUMENTATION_ERRORS=0, ACTIVE_REQUESTS=0)
    assert untouched.by(semconv.CHANNEL_CURRENT, "channel") == {"ready": 1}


def test_instrumented_channel_has_the_given_name(runner, library, server, untouched):
    """The name holds in every scope until uninstrument_client()."""
    pool, other = runner.pool(library), runner.pool(library)
    for one in (pool, other):
        one.get(server.url())
    channel: Any = pool.channel  # type: ignore[attr-defined]
    GlueLLMInstrumentor.instrument_client(
        channel, "assistant", meter_provider=untouched.meter_provider
    )
    try:
        for one in (pool, other):
            one.get(server.url())
        assert untouched.by(semconv.REQUESTS, "name", "library") == {("assistant", "grpc"): 1}
        assert untouched.by(semconv.CHANNEL_CURRENT, "name") == {"assistant": 1}
    finally:
        GlueLLMInstrumentor.uninstrument_client(channel)
    pool.get(server.url())
    assert not untouched.by(semconv.REQUESTS, "name", "library")


STATES = semconv.CHANNEL_STATES
FAST_RETRIES = [(f"grpc.{n}_reconnect_backoff_ms", 100) for n in ("initial", "min", "max")]


def states(telemetry: Telemetry) -> dict[str, int]:
    """Number of channels by state, without empty states."""
    return telemetry.by(semconv.CHANNEL_CURRENT, "channel")


def times(telemetry: Telemetry) -> dict[str, float]:
    """Seconds by state."""
    return {state: telemetry.value(semconv.CHANNEL_TIME, channel=state) for state in STATES}


def test_call_and_channel_are_connecting_during_a_slow_set_up(pool, listen, telemetry):
    """Both leave the phase when the connection is established."""
    server = listen(GrpcServer)
    server.setup_after = gate = server.gate()
    exchange = pool.ask(server.url())
    wait_until(lambda: telemetry.current("connecting") == 1)
    wait_until(lambda: states(telemetry) == {"connecting": 1})
    wait_until(lambda: time.monotonic() > exchange.entered + 0.4)
    gate.open()
    exchange.finish()
    assert_settled(telemetry, [exchange], new())
    arrived = server.timeline.at("request") - exchange.entered
    assert arrived >= 0.4
    assert_near(telemetry.phases()["connecting"], arrived, slack=0.05 * arrived + SLACK)
    assert_near(times(telemetry)["connecting"], arrived, slack=0.05 * arrived + SLACK)
    assert states(telemetry) == {"ready": 1}
    assert telemetry.count(semconv.ACQUIRE_DURATION) == 0


def test_call_with_wait_for_ready_is_queued_until_the_channel_is_ready(pool, listen, telemetry):
    """The wait is an acquire and has a span."""
    server = listen(GrpcServer)
    server.setup_after = gate = server.gate()
    exchange = pool.ask(server.url(), pool=30.0)
    wait_until(lambda: telemetry.value(semconv.PEAK_QUEUED) == 1)
    assert telemetry.current("queued") == 1
    wait_until(lambda: time.monotonic() > exchange.entered + 0.4)
    gate.open()
    exchange.finish()
    assert_settled(telemetry, [exchange], waited_for_ready(new()))
    arrived = server.timeline.at("request") - exchange.entered
    assert_near(telemetry.total(semconv.ACQUIRE_DURATION), arrived, slack=0.05 * arrived + SLACK)
    (span,) = telemetry.spans("HTTP wait_for_connection")
    assert span.name == f"HTTP wait_for_connection {server.target}"
    assert semconv.SPAN_CONNECTION_ACTIVE not in (span.attributes or {})


def test_call_with_wait_for_ready_stays_queued_while_connecting_fails(
    runner, library, server, telemetry
):
    """The channel reports the time in which it was not ready."""
    server.turns_away = True
    pool = runner.pool(library, options=FAST_RETRIES)
    exchange = pool.ask(server.url(), pool=30.0)
    wait_until(lambda: states(telemetry) == {"transient_failure": 1})
    queued_at = time.monotonic()
    wait_until(lambda: time.monotonic() > queued_at + 0.3)
    wait_until(lambda: times(telemetry)["transient_failure"] > 0.1)
    server.turns_away = False
    exchange.finish()
    assert_settled(telemetry, [exchange], waited_for_ready(new()))
    assert telemetry.total(semconv.ACQUIRE_DURATION) >= 0.3


def test_channel_is_idle_after_the_server_closes_its_connection(pool, runner, server, telemetry):
    """An async channel is read at each collection, a sync channel at its next call."""
    began = time.monotonic()
    pool.get(server.url())
    ready = time.monotonic()
    wait_until(lambda: time.monotonic() > ready + 0.2)
    server.hang_up()
    if runner.mode != "sync":
        wait_until(lambda: states(telemetry) == {"idle": 1})
        assert 0.2 <= times(telemetry)["ready"] <= time.monotonic() - began
    else:  # a call made before gRPC has noticed fails
        core = pool.channel._channel
        wait_until(lambda: core.check_connectivity_state(False) == 0)  # idle
    pool.ask(server.url()).finish()
    wait_until(lambda: states(telemetry) == {"ready": 1})
    assert server.timeline.count("accept") == 2


def test_times_in_states_sum_to_the_channels_life(pool, server, telemetry):
    """The sum includes all states and stays after the channel's end."""
    pool.get(server.url())
    before = time.monotonic()
    until_then, began = sum(times(telemetry).values()), time.monotonic()
    wait_until(lambda: time.monotonic() > began + 0.2)
    passed = sum(times(telemetry).values()) - until_then
    assert_near(passed, time.monotonic() - began)
    ended = time.monotonic()
    pool.close()
    reported = times(telemetry)
    alive = sum(reported.values()) - reported["shutdown"] - until_then
    assert ended - began <= alive <= time.monotonic() - before
    assert states(telemetry) == {"shutdown": 1}


def test_snapshot_of_a_channel_has_state_and_calls(pool, library, server, telemetry):
    """It has no connections and no limits."""
    exchange, gate = pool.hold(server, "/")
    wait_until(lambda: telemetry.current("unread") == 1)
    taken = snapshot()
    (pool_now,) = taken.pools
    assert (pool_now.library, pool_now.channel_state) == ("grpc", "ready")
    assert 0 <= (pool_now.channel_state_age or 0) <= pool_now.age
    assert pool_now.connections == ()
    assert pool_now.max_connections is None
    (request,) = pool_now.requests
    assert request.phase == "unread"
    assert request.held is not None
    assert request.connection is None
    text = " ".join(str(taken).split())
    assert "grpc/grpc: channel ready for" in text
    assert "1 call in flight, 0 queued" in text
    assert "unlimited" not in text
    json.dumps(taken.to_dict())
    gate.open()
    exchange.read()
    (totals,) = snapshot().totals
    assert totals.channel_seconds is not None
    assert totals.channel_seconds["ready"] > 0
    assert [(o.status, o.error) for o in totals.origins[0].outcomes] == [("OK", None)]
    assert "requests 1 with OK" in " ".join(str(snapshot()).split())


def test_diagnose_names_the_state_of_a_channel_that_is_never_ready(pool, telemetry):
    """The finding has the state, its duration and the number of waiting calls."""
    exchange = pool.ask(refused_url(), pool=60.0)
    wait_until(lambda: snapshot().pools and snapshot().pools[0].channel_state != "idle")
    wait_until(lambda: snapshot().pools[0].channel_state == "transient_failure")
    taken = snapshot()
    assert telemetry.current("queued") == 1
    assert "queued" in str(taken)
    (late,) = taken.pools
    later = dataclasses.replace(late, channel_state_age=60.0)
    findings = diagnose(dataclasses.replace(taken, pools=(later,)))
    (found,) = [finding for finding in findings if finding.kind is Kind.CHANNEL_NOT_READY]
    assert found.severity is Severity.ERROR
    assert "transient_failure for 60 s" in found.observed
    pool.close()
    exchange.failure()
