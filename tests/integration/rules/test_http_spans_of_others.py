"""http_spans for aiohttp, urllib3 and gRPC: OpenTelemetry's own, where installed, above ours."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Iterator

import aiohttp
import pytest
from opentelemetry.instrumentation.aiohttp_client import AioHttpClientInstrumentor
from opentelemetry.instrumentation.grpc import GrpcAioInstrumentorClient, GrpcInstrumentorClient
from opentelemetry.instrumentation.urllib3 import URLLib3Instrumentor

from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from support.http1 import HTTP1Server
from support.script import Reply
from support.waiting import until

from .conftest import Instrument

INSTRUMENTORS = {
    "aiohttp-client": AioHttpClientInstrumentor,
    "urllib3": URLLib3Instrumentor,
    "grpc_client": GrpcInstrumentorClient,
    "grpc_aio_client": GrpcAioInstrumentorClient,
}


@pytest.fixture(autouse=True)
def off() -> Iterator[None]:
    """None of them is on after a test."""
    yield
    if GlueLLMInstrumentor().is_instrumented_by_opentelemetry:
        GlueLLMInstrumentor().uninstrument()
    for instrumentor in INSTRUMENTORS.values():
        if instrumentor().is_instrumented_by_opentelemetry:
            instrumentor().uninstrument()


def turned_on() -> set[str]:
    """Those that are on, by the names that turn them off."""
    return {name for name, i in INSTRUMENTORS.items() if i().is_instrumented_by_opentelemetry}


def test_all_are_turned_on_and_off_again(instrument: Instrument) -> None:
    """With one setting for every library that providers run on."""
    for _ in range(2):
        instrument(http_spans=True)
        assert turned_on() == set(INSTRUMENTORS)
        GlueLLMInstrumentor().uninstrument()
        assert turned_on() == set()


@pytest.mark.parametrize("name", INSTRUMENTORS)
def test_each_can_be_disabled_by_its_name(
    instrument: Instrument, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """The name of its entry point, as for the loader."""
    monkeypatch.setenv("OTEL_PYTHON_DISABLED_INSTRUMENTATIONS", name)
    instrument(http_spans=True)
    assert turned_on() == set(INSTRUMENTORS) - {name}


def test_what_is_not_installed_is_no_warning(
    instrument: Instrument, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Few use all of the libraries."""
    for name in ("aiohttp_client", "urllib3", "grpc"):
        monkeypatch.setitem(sys.modules, f"opentelemetry.instrumentation.{name}", None)
    with caplog.at_level(logging.WARNING):
        instrument(http_spans=True)
    assert turned_on() == set()
    assert caplog.records == []


def test_wait_in_an_aiohttp_pool_is_under_the_requests_client_span(
    server: HTTP1Server, instrument: Instrument
) -> None:
    """And so is the set-up; the request's span tells how its connection was acquired."""
    telemetry = instrument(http_spans=True, span_min_duration=0)
    gate = server.gate()
    held, waiting = server.reply("/held", Reply(end_after=gate)), server.url("/waiting")

    async def main() -> None:
        connector = aiohttp.TCPConnector(limit=1)
        async with aiohttp.ClientSession(connector=connector) as session:
            holder = await session.get(held)
            waiter = asyncio.ensure_future(session.get(waiting))
            await until(lambda: telemetry.current("queued") == 1)
            gate.open()
            await holder.read()
            await (await waiter).read()

    asyncio.run(main())
    clients = {
        str((span.attributes or {})["http.url"]): span
        for span in telemetry.spans()
        if span.kind.name == "CLIENT"
    }
    assert set(clients) == {held, waiting}
    (wait,) = telemetry.spans("HTTP wait_for_connection")
    (setup,) = telemetry.spans("HTTP connection_setup")
    for ours, theirs in ((wait, clients[waiting]), (setup, clients[held])):
        context = theirs.get_span_context()
        assert context is not None
        assert ours.parent is not None
        assert ours.parent.span_id == context.span_id
        assert ours.parent.trace_id == context.trace_id
    reused = [(clients[url].attributes or {})[semconv.CONNECTION_REUSED] for url in (held, waiting)]
    assert reused == [False, True]
