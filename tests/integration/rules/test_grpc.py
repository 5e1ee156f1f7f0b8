"""Rules for gRPC, and for xai, which any-llm calls over gRPC."""

import asyncio
import functools
from collections.abc import Iterator
from typing import Any

import grpc
import grpc.aio
import pytest
from any_llm import AnyLLM
from opentelemetry.instrumentation.grpc import GrpcAioInstrumentorClient, client_interceptor
from opentelemetry.instrumentation.grpc.grpcext import intercept_channel

from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor, snapshot
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from opentelemetry.instrumentation.gluellm.telemetry.histograms import DurationObserver
from support.fake_xai import FakeXai
from support.grpc_server import GrpcServer
from support.telemetry import Telemetry
from support.waiting import until, wait_until

MESSAGES: Any = [{"role": "user", "content": "hello"}]


# xai


@pytest.mark.all_sdks
def test_call_of_xai_has_provider_library_model_and_operation(listen, instrument):
    """The default scope does not report other channels."""
    server = listen(FakeXai, word_after=0.02)
    telemetry = instrument(scope="llm", model_attributes=True)
    phases: set[str] = set()

    async def main() -> None:
        llm = AnyLLM.create("xai", **server.arguments)
        answer: Any = await llm.acompletion(model="grok-4", messages=MESSAGES)
        assert answer.choices[0].message.content == "hello there"
        stream: Any = await llm.acompletion(model="grok-4", messages=MESSAGES, stream=True)
        async for _ in stream:
            (pool,) = snapshot().pools
            assert (pool.name, pool.provider, pool.library) == ("xai", "xai", "grpc")
            for request in pool.requests:
                phases.add(request.phase)
                assert (request.model, request.operation) == ("grok-4", "chat")
        assert pool.channel_state == "ready"
        assert "test_grpc.py" in (pool.built_at or "")
        async with grpc.aio.insecure_channel(server.target) as own:
            await own.unary_unary("/xai_api.Chat/GetCompletion")(b"")

    asyncio.run(main())
    assert phases == {"unread"}
    assert telemetry.by(semconv.REQUESTS, "provider", "library", "rpc") == {
        ("x_ai", "grpc", "OK"): 2
    }
    (lease,) = telemetry.points(semconv.LEASE_DURATION)
    assert lease.attributes[semconv.REQUEST_MODEL] == "grok-4"
    assert lease.attributes[semconv.OPERATION_NAME] == "chat"
    assert telemetry.value(semconv.INSTRUMENTATION_ERRORS) == 0


@pytest.mark.all_sdks
def test_single_client_of_xai_has_its_name(listen, instrument):
    """instrument_client() finds the channels in an SDK's client."""
    server = listen(FakeXai)
    telemetry = instrument(scope="llm")

    async def main() -> None:
        from xai_sdk import AsyncClient
        from xai_sdk.chat import user

        client = AsyncClient(**server.arguments)
        GlueLLMInstrumentor.instrument_client(client, "assistant")
        await client.chat.create(model="grok-4", messages=[user("hello")]).sample()
        await client.close()

    asyncio.run(main())
    assert telemetry.by(semconv.REQUESTS, "name") == {"assistant": 1}


# With OpenTelemetry's instrumentation


@pytest.fixture
def spans_of_grpc(providers: Telemetry) -> Iterator[None]:
    """Enable OpenTelemetry's instrumentation of grpc.aio."""
    instrumentor = GrpcAioInstrumentorClient()
    instrumentor.instrument(tracer_provider=providers.tracer_provider)
    yield
    instrumentor.uninstrument()


@pytest.mark.parametrize("kind", ["asyncio", "sync"])
def test_wait_is_below_the_calls_own_span(listen, instrument, spans_of_grpc, kind):
    """The client span of opentelemetry-instrumentation-grpc is current when the lease begins."""
    server = listen(GrpcServer, setup_after=0.2)
    telemetry = instrument(span_min_duration=0.01)

    async def calls() -> None:
        async with grpc.aio.insecure_channel(server.target) as channel:
            await channel.unary_unary("/test.Service/One")(b"", wait_for_ready=True)
            async for _ in channel.unary_stream("/test.Service/Many")(b""):
                pass

    def sync_calls() -> None:
        # The instrumentor always uses the global tracer provider, so this does the same as it.
        spans = client_interceptor(tracer_provider=telemetry.tracer_provider)
        with grpc.insecure_channel(server.target) as bare:
            channel = intercept_channel(bare, spans)
            channel.unary_unary("/test.Service/One")(b"", wait_for_ready=True)
            list(channel.unary_stream("/test.Service/Many")(b""))

    if kind == "sync":
        sync_calls()
    else:
        asyncio.run(calls())
    (wait,) = telemetry.spans("HTTP wait_for_connection")
    clients = [span for span in telemetry.spans() if span.kind.name == "CLIENT"]
    assert len(clients) == 2
    one = next(span for span in clients if span.name.endswith("One"))
    assert wait.parent is not None
    assert wait.parent.span_id == one.context.span_id
    leased = [p for p in telemetry.points(semconv.LEASE_DURATION) if p.count]
    examples = {example.span_id for point in leased for example in point.exemplars}
    assert examples <= {span.context.span_id for span in clients}
    assert examples
    # gRPC reports the end of a stream in another thread.
    wait_until(lambda: telemetry.by(semconv.REQUESTS, "rpc") == {"OK": 2})


# Failures do not reach the application


def test_own_failure_does_not_affect_grpc_calls(listen, instrument, monkeypatch):
    """The failure is counted."""
    from opentelemetry.instrumentation.gluellm.adapters.grpc.channel import ChannelTracker
    from opentelemetry.instrumentation.gluellm.pool.tracker import PoolTracker

    server = listen(GrpcServer)

    def broken(*_: Any, **__: Any) -> Any:
        raise ValueError("sk-secret")

    async def aio_calls() -> None:
        async with grpc.aio.insecure_channel(server.target) as channel:
            assert await channel.unary_unary("/")(b"") == b"ok"
            assert [part async for part in channel.unary_stream("/")(b"")] == [b"ok"]

    for owner, name in (
        (PoolTracker, "begin"),
        (PoolTracker, "released"),
        (ChannelTracker, "call_entered"),
        (ChannelTracker, "call_answered"),
        (ChannelTracker, "completed"),
        (ChannelTracker, "seen"),
        (DurationObserver, "record"),
    ):
        telemetry = instrument()
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, broken)
            asyncio.run(aio_calls())
            with grpc.insecure_channel(server.target) as channel:
                assert channel.unary_unary("/")(b"") == b"ok"
                assert list(channel.unary_stream("/")(b"")) == [b"ok"]
            telemetry.collect()
            assert telemetry.value(semconv.INSTRUMENTATION_ERRORS) > 0, name
        GlueLLMInstrumentor().uninstrument()


def test_interrupt_in_the_instrumentation_leaves_no_call_behind(listen, instrument, monkeypatch):
    """Ctrl-C can interrupt after gRPC has ended a call, before its end is recorded."""
    from opentelemetry.instrumentation.gluellm.adapters.grpc import sync

    server = listen(GrpcServer)
    telemetry = instrument()

    class CtrlCError(BaseException):
        pass

    def interrupted(*_: Any) -> Any:
        raise CtrlCError

    with grpc.insecure_channel(server.target) as channel:
        for name, method in (("_end", channel.unary_unary), ("partial", channel.unary_stream)):
            with monkeypatch.context() as patch:
                patch.setattr(sync, name, interrupted)
                with pytest.raises(CtrlCError):
                    method("/")(b"")
            assert telemetry.value(semconv.ACTIVE_REQUESTS) == 0, name
        assert channel.unary_unary("/")(b"") == b"ok"
    assert telemetry.by(semconv.REQUESTS, "error") == {"cancelled": 2, None: 1}


def test_changed_result_of_a_private_method_does_not_affect_calls(listen, instrument, monkeypatch):
    """Only the library uses the result, so the request succeeds."""
    from grpc import _channel

    original = _channel._UnaryUnaryMultiCallable._blocking

    @functools.wraps(original)
    def _blocking(self: Any, *args: Any, **kwargs: Any) -> Any:
        state, call = original(self, *args, **kwargs)
        return {"state": state, "call": call}

    def __call__(self: Any, *args: Any, **kwargs: Any) -> Any:
        answer = self._blocking(*args, None, None, None, None, None)
        return _channel._end_unary_response_blocking(answer["state"], answer["call"], False, None)

    monkeypatch.setattr(_channel._UnaryUnaryMultiCallable, "_blocking", _blocking)
    monkeypatch.setattr(_channel._UnaryUnaryMultiCallable, "__call__", __call__)
    server = listen(GrpcServer)
    telemetry = instrument()
    with grpc.insecure_channel(server.target) as channel:
        assert channel.unary_unary("/")(b"") == b"ok"
    assert telemetry.value(semconv.ACTIVE_REQUESTS) == 0
    assert telemetry.value(semconv.INSTRUMENTATION_ERRORS) == 1
    GlueLLMInstrumentor().uninstrument()  # before the monkeypatch restores the method


def test_collection_does_not_make_an_idle_channel_connect(listen, instrument):
    server = listen(GrpcServer)
    telemetry = instrument()

    async def main() -> None:
        async with grpc.aio.insecure_channel(server.target) as channel:
            await channel.unary_unary("/")(b"")
            server.hang_up()
            await until(lambda: channel.get_state() is grpc.ChannelConnectivity.IDLE)
            for _ in range(20):
                telemetry.collect()
                str(snapshot())
                await asyncio.sleep(0.01)
            assert channel.get_state() is grpc.ChannelConnectivity.IDLE

    asyncio.run(main())
    assert server.timeline.count("accept") == 1
