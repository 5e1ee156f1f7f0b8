"""gRPC's channels from first call to end, and the instrumentation that comes and goes."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import grpc.aio
import pytest
from opentelemetry.instrumentation.utils import suppress_instrumentation

from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from support.clients import Runner
from support.grpc_server import GrpcServer
from support.installation import instrument
from support.libraries import Library
from support.listener import Listen
from support.outcomes import assert_rows, assert_settled, failed, new
from support.script import Reply
from support.telemetry import Telemetry
from support.waiting import wait_until

LEFT_OUT = (
    semconv.OPEN_CONNECTIONS,
    semconv.CONNECTION_CONNECTING,
    semconv.CONNECTION_MAX,
    semconv.CONNECTION_IDLE_MAX,
    semconv.OCCUPANCY_RATIO,
    semconv.PEAK_ACTIVE,
    semconv.CONNECTION_OPENED,
    semconv.CONNECTION_CLOSED,
    semconv.CONNECTION_CREATE_DURATION,
    semconv.REUSE_FAILURES,
    semconv.ACQUIRE_TIMEOUT,
    semconv.REQUEUES,
    semconv.STREAM_ACTIVE,
    semconv.ANOMALIES,
)
"""What a channel does not tell."""


def test_what_a_channel_does_not_tell_is_left_out(
    runner: Runner, library: Library, server: GrpcServer, telemetry: Telemetry
) -> None:
    """No series says 0 where nobody knows, neither while the channel lives nor afterwards."""
    pool = runner.pool(library)
    pool.get(server.url())
    for _ in range(2):
        points = telemetry.collect()
        assert {metric.name for metric in LEFT_OUT} & points.keys() == set()
        pool.close()
    assert semconv.CHANNEL_TIME.name in points


def test_closed_channel(
    runner: Runner, library: Library, server: GrpcServer, telemetry: Telemetry
) -> None:
    """It is discarded, and in shutdown for as long as somebody refers to it."""
    pool: Any = runner.pool(library)
    pool.get(server.url())
    assert telemetry.value(semconv.POOL_LIVE) == 1
    pool.close()
    assert telemetry.value(semconv.POOL_LIVE) == 0
    assert telemetry.by(semconv.POOL_DISCARDED, "discard") == {"closed": 1}
    assert telemetry.by(semconv.CHANNEL_CURRENT, "channel") == {"shutdown": 1}
    pool.forget()

    def gone() -> bool:
        gc.collect()
        return not telemetry.by(semconv.CHANNEL_CURRENT, "channel")

    wait_until(gone)
    assert telemetry.by(semconv.POOL_DISCARDED, "discard") == {"closed": 1}


def test_channel_that_nobody_closed(
    runner: Runner, library: Library, server: GrpcServer, telemetry: Telemetry
) -> None:
    """It goes with the garbage collector, and we keep none alive."""
    pool: Any = runner.pool(library)
    pool.get(server.url())
    reference = weakref.ref(pool.core)
    pool.forget()

    def gone() -> bool:
        gc.collect()
        return reference() is None

    wait_until(gone)
    assert telemetry.by(semconv.POOL_DISCARDED, "discard") == {"garbage_collected": 1}
    assert telemetry.value(semconv.POOL_LIVE) == 0
    assert not telemetry.by(semconv.CHANNEL_CURRENT, "channel")
    assert_rows(telemetry, new())


def test_channel_that_is_closed_under_a_call(
    runner: Runner, library: Library, server: GrpcServer, telemetry: Telemetry
) -> None:
    """Its calls are cancelled."""
    never = server.gate()
    pool = runner.pool(library)
    exchange = pool.send(server.reply("/", Reply(end_after=never)))
    exchange.head()
    rest = exchange.begin_read()
    wait_until(lambda: telemetry.current("reading") == 1)
    pool.close()
    assert rest.exception(5) is not None
    assert_settled(telemetry, [exchange], failed("cancelled"))
    assert telemetry.by(semconv.POOL_DISCARDED, "discard") == {"closed": 1}


@pytest.mark.modes("asyncio")
def test_async_call_goes_on_without_its_channel(
    runner: Runner, library: Library, server: GrpcServer, telemetry: Telemetry
) -> None:
    """Whoever builds a channel for one call and lets go of it still gets the answer."""
    gate = server.gate()
    server.reply("/", Reply(end_after=gate))

    async def start() -> Any:
        call = grpc.aio.insecure_channel(server.target).unary_stream("/")(b"")
        await call.initial_metadata()
        return call

    async def read(call: Any) -> list[bytes]:
        return [chunk async for chunk in call]

    assert runner.portal is not None
    call = runner.portal.call(start)

    def gone() -> bool:
        gc.collect()
        return telemetry.value(semconv.POOL_LIVE) == 0

    wait_until(gone)
    assert telemetry.current("unread") == 1
    gate.open()
    assert runner.portal.call(read, call) == [b"ok"]
    wait_until(lambda: telemetry.value(semconv.ACTIVE_REQUESTS) == 0)
    assert_rows(telemetry, new())


@pytest.mark.modes("asyncio")
def test_async_channel_whose_inside_is_closed_is_closed(
    runner: Runner, library: Library, server: GrpcServer, telemetry: Telemetry
) -> None:
    """any-llm does that to the channels of a loop that is gone."""
    pool: Any = runner.pool(library)
    pool.get(server.url())
    runner.portal.call(pool.channel._channel.close)  # type: ignore[union-attr]
    assert telemetry.by(semconv.POOL_DISCARDED, "discard") in ({}, {"closed": 1})
    assert telemetry.by(semconv.POOL_DISCARDED, "discard") == {"closed": 1}
    assert telemetry.value(semconv.POOL_LIVE) == 0


@pytest.mark.modes("sync")
def test_sync_channel_lives_on_in_its_stubs(
    runner: Runner, library: Library, server: GrpcServer, telemetry: Telemetry
) -> None:
    """Its own object may go while a stub of it still makes calls: that is no end."""
    pool: Any = runner.pool(library)
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
def test_channel_from_before_instrument_is_followed_from_its_next_call(
    runner: Runner, library: Library, server: GrpcServer, untouched: Telemetry, kind: str
) -> None:
    """And it is ready from the first look on."""
    pool: Any = runner.pool(library)
    if kind == "intercepted":
        pool.intercept()
    pool.get(server.url())
    instrument(untouched)
    assert untouched.value(semconv.POOL_LIVE) == 0
    exchange = (pool.ask if kind == "one answer" else pool.send)(server.url())
    exchange.head()
    exchange.read()
    assert_settled(untouched, [exchange], new())
    assert untouched.by(semconv.CHANNEL_CURRENT, "channel") == {"ready": 1}
    assert untouched.by(semconv.REQUESTS, "address", "port") == {("127.0.0.1", server.port): 1}
    pool.close()
    assert untouched.value(semconv.POOL_LIVE) == 0


def test_calls_in_flight_at_instrument_and_uninstrument_go_on(
    runner: Runner, library: Library, server: GrpcServer, untouched: Telemetry
) -> None:
    """What was under way is not seen, or not any more; nothing of it is disturbed."""
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
    assert rest.result(5) == b"ok"
    instrument(untouched)
    after = pool.get(server.url("/after"))
    assert after.duration > 0
    assert untouched.by(semconv.REQUESTS, "rpc") == {"OK": 1}
    assert untouched.value(semconv.INSTRUMENTATION_ERRORS) == 0
    assert untouched.value(semconv.ACTIVE_REQUESTS) == 0
    assert untouched.by(semconv.CHANNEL_CURRENT, "channel") == {"ready": 1}


def test_single_channel_has_the_name_that_it_was_given(
    runner: Runner, library: Library, server: GrpcServer, untouched: Telemetry
) -> None:
    """Whatever the scope is, until it is taken out again."""
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


def test_suppressed_calls_make_no_spans(
    runner: Runner, library: Library, server: GrpcServer, untouched: Telemetry
) -> None:
    """They count like all others."""
    instrument(untouched, span_min_duration=0)
    pool = runner.pool(library)
    with suppress_instrumentation():
        pool.get(server.url())
    wait_until(lambda: untouched.value(semconv.ACTIVE_REQUESTS) == 0)
    assert_rows(untouched, new())
    assert untouched.spans() == []


def test_channels_outside_any_llm_are_out_of_the_default_scope(
    runner: Runner, library: Library, server: GrpcServer, untouched: Telemetry
) -> None:
    """An OTLP exporter's channel, for instance, is nobody's business here."""
    instrument(untouched, scope="any_llm")
    pool = runner.pool(library)
    pool.get(server.url())
    assert untouched.points(semconv.POOL_OPENED) == []
    assert not hasattr(pool.core, "_gluellm_tracker") or pool.core._gluellm_tracker is None


def test_origins_beyond_the_bound_share_one(
    runner: Runner, library: Library, listen: Listen, untouched: Telemetry
) -> None:
    """Beyond ``max_origins`` the address is ``_OTHER`` and there is no port."""
    instrument(untouched, max_origins=2)
    pool = runner.pool(library)
    for _ in range(3):
        pool.get(listen(GrpcServer).url())
    told = untouched.by(semconv.REQUESTS, "address")
    assert told == {"127.0.0.1": 2, "_OTHER": 1}
