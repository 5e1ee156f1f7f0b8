"""The SDKs of openai and anthropic by themselves, on whichever library they sit. Run by nox."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor
from opentelemetry.instrumentation.gluellm.cli.fake_provider import FakeProvider, FakeProviderThread
from opentelemetry.instrumentation.gluellm.telemetry import semconv

MESSAGES: list[Any] = [{"role": "user", "content": "hello"}]


@pytest.fixture
def provider() -> Iterator[FakeProvider]:
    """A fake LLM provider on loopback."""
    with FakeProviderThread() as running:
        yield running


@pytest.fixture
def reader() -> Iterator[InMemoryMetricReader]:
    """Everything is observed, and read from here."""
    reader = InMemoryMetricReader()
    meters = MeterProvider([reader])
    GlueLLMInstrumentor().instrument(scope="all", meter_provider=meters)
    yield reader
    GlueLLMInstrumentor().uninstrument()
    meters.shutdown()


def answered(reader: InMemoryMetricReader) -> dict[str, int]:
    """Requests answered with 200, by library."""
    data = reader.get_metrics_data()
    counted: dict[str, int] = {}
    for resource in data.resource_metrics if data else ():
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                for point in metric.data.data_points:
                    attributes: Any = point.attributes
                    if metric.name == semconv.REQUESTS.name and point.value:  # type: ignore[union-attr]
                        assert attributes[semconv.STATUS_CODE] == 200
                        library = attributes[semconv.POOL_LIBRARY]
                        counted[library] = counted.get(library, 0) + int(point.value)  # type: ignore[union-attr]
    return counted


def library_below(client: Any) -> str:
    """The HTTP library whose client an SDK's client has made for itself."""
    modules = [each.__module__.partition(".")[0] for each in type(client._client).__mro__]
    (library,) = {module for module in modules if module.startswith("httpx")}
    return library


def test_openai(provider: FakeProvider, reader: InMemoryMetricReader) -> None:
    """A call, a stream and an async call: three requests."""
    openai = pytest.importorskip("openai")
    settings: dict[str, Any] = {"api_key": "any", "base_url": provider.openai_url}
    with openai.OpenAI(**settings) as client:
        library = library_below(client)
        assert client.chat.completions.create(model="some-model", messages=MESSAGES).choices
        stream = client.chat.completions.create(model="some-model", messages=MESSAGES, stream=True)
        assert list(stream)

    async def call() -> None:
        async with openai.AsyncOpenAI(**settings) as client:
            assert await client.chat.completions.create(model="some-model", messages=MESSAGES)

    asyncio.run(call())
    assert answered(reader) == {library: 3}


def test_anthropic(provider: FakeProvider, reader: InMemoryMetricReader) -> None:
    """A call, a stream and an async call: three requests."""
    anthropic = pytest.importorskip("anthropic")
    settings: dict[str, Any] = {"api_key": "any", "base_url": provider.anthropic_url}
    asked: dict[str, Any] = {"model": "some-model", "messages": MESSAGES, "max_tokens": 16}
    with anthropic.Anthropic(**settings) as client:
        library = library_below(client)
        assert client.messages.create(**asked).content
        assert list(client.messages.create(**asked, stream=True))

    async def call() -> None:
        async with anthropic.AsyncAnthropic(**settings) as client:
            assert await client.messages.create(**asked)

    asyncio.run(call())
    assert answered(reader) == {library: 3}
