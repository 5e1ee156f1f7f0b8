"""A fake provider, and the instrumentation of every pool."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor
from opentelemetry.instrumentation.gluellm.cli.fake_provider import (
    FakeProvider,
    FakeProviderThread,
)
from support.installation import instrument
from support.telemetry import Telemetry


@pytest.fixture
def provider() -> Iterator[FakeProvider]:
    """The fake provider, in a thread of its own."""
    with FakeProviderThread() as provider:
        yield provider


@pytest.fixture(autouse=True)
def telemetry() -> Iterator[Telemetry]:
    """The instrumentation with ``scope="all"``; event loops are not watched, since neighbours on
    the machine would delay them."""
    telemetry = Telemetry()
    instrument(telemetry, loop_lag=False, leak_threshold=2)
    yield telemetry
    GlueLLMInstrumentor().uninstrument()
    telemetry.shutdown()
