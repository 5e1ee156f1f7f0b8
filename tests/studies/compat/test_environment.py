"""The same program with what happens to be installed: our metrics come out.

Runs anywhere; nox runs it in environments that lack something.
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import logging
import os
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor
from opentelemetry.instrumentation.gluellm.cli.fake_provider import (
    Behaviour,
    FakeProvider,
    FakeProviderThread,
)
from opentelemetry.instrumentation.gluellm.telemetry import semconv

LOGGER = "opentelemetry.instrumentation.gluellm"
MESSAGES: list[Any] = [{"role": "user", "content": "hello"}]


def installed(module: str) -> bool:
    """Whether a module can be imported, without importing it."""
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


needs_any_llm = pytest.mark.skipif(not installed("any_llm"), reason="any-llm is not installed")


class Recorded:
    """What reached the SDK."""

    def __init__(self) -> None:
        self.reader = InMemoryMetricReader()
        self.spans = InMemorySpanExporter()
        self.meter_provider = MeterProvider([self.reader])
        self.tracer_provider = TracerProvider()
        self.tracer_provider.add_span_processor(SimpleSpanProcessor(self.spans))

    def points(self, metric: semconv.Metric) -> list[Any]:
        """The metric's data points of a collection made now."""
        data = self.reader.get_metrics_data()
        return [
            point
            for resource in (data.resource_metrics if data else ())
            for scope in resource.scope_metrics
            if scope.scope.name == semconv.SCOPE_NAME
            for found in scope.metrics
            if found.name == metric.name
            for point in found.data.data_points
        ]

    def requests(self) -> dict[tuple[str | None, str, int], int]:
        """Requests answered, by provider, library and status."""
        counted: dict[tuple[str | None, str, int], int] = {}
        for point in self.points(semconv.REQUESTS):
            attributes = point.attributes
            if point.value and semconv.STATUS_CODE in attributes:
                key = (
                    attributes.get(semconv.PROVIDER_NAME),
                    attributes[semconv.POOL_LIBRARY],
                    attributes[semconv.STATUS_CODE],
                )
                counted[key] = counted.get(key, 0) + point.value
        return counted


@pytest.fixture
def provider() -> Iterator[FakeProvider]:
    """A fake LLM provider on loopback."""
    with FakeProviderThread(behaviour=Behaviour()) as running:
        yield running


@pytest.fixture
def recorded() -> Iterator[Recorded]:
    """In-memory telemetry; whatever a test instrumented is taken back."""
    found = Recorded()
    yield found
    if GlueLLMInstrumentor().is_instrumented_by_opentelemetry:
        GlueLLMInstrumentor().uninstrument()
    found.meter_provider.shutdown()
    found.tracer_provider.shutdown()


def instrument(recorded: Recorded, **settings: Any) -> None:
    """Turn the instrumentation on for these providers."""
    GlueLLMInstrumentor().instrument(
        meter_provider=recorded.meter_provider,
        tracer_provider=recorded.tracer_provider,
        **settings,
    )


def openai_library() -> str:
    """openai moved from httpx to httpx2 with its third major version."""
    return "httpx2" if int(version("openai").split(".")[0]) >= 3 else "httpx"


def test_environment_lacks_what_it_should() -> None:
    """Without this, a dependency that comes back would make the run test nothing."""
    absent = [name for name in os.environ.get("GLUELLM_ABSENT", "").split(",") if name]
    assert not [name for name in absent if installed(name)]


def test_nobody_is_warned_of_what_is_not_installed(
    recorded: Recorded, caplog: pytest.LogCaptureFixture
) -> None:
    """Without h2 there is no HTTP/2 to be blind to: a warning, and an alert, would be for ever."""
    with caplog.at_level(logging.WARNING, LOGGER):
        instrument(recorded, scope="all")
        for library in ("httpx", "httpx2", "aiohttp", "urllib3", "grpc"):
            if installed(library):
                importlib.import_module(library)
    assert not [r for r in caplog.records if "'http2'" in r.getMessage()]
    assert not [
        point
        for point in recorded.points(semconv.SEAM)
        if point.attributes[semconv.SEAM_NAME] == "http2" and not point.value
    ]


@pytest.mark.parametrize("library", ["httpx", "httpx2"])
def test_plain_requests_are_measured(
    library: str, provider: FakeProvider, recorded: Recorded
) -> None:
    """With scope "all", each library that is there is observed; a missing one stops nothing."""
    instrument(recorded, scope="all")
    client_library = pytest.importorskip(library)
    with client_library.Client() as client:
        for _ in range(3):
            client.get(f"{provider.openai_url}/models").raise_for_status()
    assert {key[1:]: n for key, n in recorded.requests().items()} == {(library, 200): 3}
    assert sum(point.count for point in recorded.points(semconv.LEASE_DURATION)) == 3
    assert sum(point.value for point in recorded.points(semconv.CONNECTION_OPENED)) == 1


@needs_any_llm
def test_any_llm_calls_are_measured_with_their_provider(
    provider: FakeProvider, recorded: Recorded
) -> None:
    """openai and anthropic each, over whatever library their SDK sits on."""
    from any_llm import AnyLLM

    instrument(recorded)

    async def calls() -> None:
        openai = AnyLLM.create("openai", api_key="any", api_base=provider.openai_url)
        anthropic = AnyLLM.create("anthropic", api_key="any", api_base=provider.anthropic_url)
        for _ in range(2):
            await openai.acompletion(model="some-model", messages=MESSAGES)
        await anthropic.acompletion(model="some-model", messages=MESSAGES, max_tokens=16)
        await openai.client.close()
        await anthropic.client.close()

    asyncio.run(calls())
    assert recorded.requests() == {
        ("openai", openai_library(), 200): 2,
        ("anthropic", "httpx", 200): 1,
    }


@needs_any_llm
def test_waiting_is_measured(provider: FakeProvider, recorded: Recorded) -> None:
    """Two calls on a pool of one: the second waits, and says so in a metric and a span."""
    from any_llm import AnyLLM

    instrument(recorded)
    http = importlib.import_module(openai_library())
    provider.behaviour = Behaviour(head_delay=0.3)

    async def calls() -> None:
        client = http.AsyncClient(limits=http.Limits(max_connections=1))
        llm = AnyLLM.create(
            "openai", api_key="any", api_base=provider.openai_url, http_client=client
        )
        await asyncio.gather(
            *(llm.acompletion(model="some-model", messages=MESSAGES) for _ in range(2))
        )
        await client.aclose()

    asyncio.run(calls())
    waits = recorded.points(semconv.ACQUIRE_DURATION)
    assert sum(point.count for point in waits) == 2
    assert sum(point.sum for point in waits) > 0.2
    names = [span.name for span in recorded.spans.get_finished_spans()]
    assert names.count(f"HTTP wait_for_connection 127.0.0.1:{provider.port}") == 1


@pytest.mark.skipif(not installed("gluellm"), reason="GlueLLM is not installed")
def test_gluellm_calls_are_measured(
    provider: FakeProvider, recorded: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    """GlueLLM hands its own httpx client to any-llm."""
    monkeypatch.setenv("OPENAI_API_KEY", "any")
    monkeypatch.setenv("OPENAI_BASE_URL", provider.openai_url)
    instrument(recorded)
    from gluellm import complete

    asyncio.run(complete("hello", model="openai:some-model"))
    assert recorded.requests() == {("openai", "httpx", 200): 1}


@pytest.mark.parametrize("library", ["httpx", "httpx2"])
def test_http_spans_come_where_their_package_is_and_are_missed_aloud_where_not(
    library: str, provider: FakeProvider, recorded: Recorded, caplog: pytest.LogCaptureFixture
) -> None:
    """The extra adds a CLIENT span; without it there is one warning, and our metrics."""
    client_library = pytest.importorskip(library)
    with caplog.at_level(logging.WARNING, LOGGER):
        instrument(recorded, scope="all", http_spans=True)
    with client_library.Client() as client:
        client.get(f"{provider.openai_url}/models").raise_for_status()
    clients = [s for s in recorded.spans.get_finished_spans() if s.kind.name == "CLIENT"]
    warned = [r for r in caplog.records if "opentelemetry-instrumentation-httpx" in r.getMessage()]
    if installed("opentelemetry.instrumentation.httpx"):
        assert len(clients) == 1
        assert not warned
    else:
        assert not clients
        assert len(warned) == 1
    assert sum(recorded.requests().values()) == 1


def test_uninstrumented_requests_are_not_measured(
    provider: FakeProvider, recorded: Recorded
) -> None:
    """What was turned on is turned off."""
    instrument(recorded, scope="all")
    GlueLLMInstrumentor().uninstrument()
    for library in ("httpx", "httpx2"):
        if installed(library):
            with importlib.import_module(library).Client() as client:
                client.get(f"{provider.openai_url}/models").raise_for_status()
    assert not recorded.requests()
