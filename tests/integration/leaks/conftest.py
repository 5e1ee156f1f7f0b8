"""A fake provider, providers in memory, and ears for the log."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

pytest.importorskip("any_llm")
pytest.importorskip("openai")
pytest.importorskip("anthropic")

from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor
from opentelemetry.instrumentation.gluellm.cli.fake_provider import (
    FakeProvider,
    FakeProviderThread,
)
from support.telemetry import Telemetry

from .reports import Reports

Instrument = Callable[..., Telemetry]


@pytest.fixture
def provider_server() -> Iterator[FakeProvider]:
    """The fake provider, in a thread of its own."""
    with FakeProviderThread() as provider:
        yield provider


@pytest.fixture
def reports() -> Iterator[Reports]:
    """What is logged during the test."""
    with Reports.listen() as reports:
        yield reports


@pytest.fixture
def instrument() -> Iterator[Instrument]:
    """Turn the instrumentation on, with the smallest leak threshold unless told otherwise."""
    telemetry = Telemetry()

    def turn_on(**settings: Any) -> Telemetry:
        GlueLLMInstrumentor().instrument(
            meter_provider=telemetry.meter_provider,
            tracer_provider=telemetry.tracer_provider,
            **{"leak_threshold": 2, **settings},
        )
        return telemetry

    yield turn_on
    if GlueLLMInstrumentor().is_instrumented_by_opentelemetry:
        GlueLLMInstrumentor().uninstrument()
    telemetry.shutdown()


@pytest.fixture
def telemetry(instrument: Instrument) -> Telemetry:
    """The instrumentation on, for what any-llm does."""
    return instrument()
