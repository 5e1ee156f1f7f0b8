"""A failure in the instrumentation of aiohttp while a request fails."""

import asyncio
from collections.abc import Iterator
from typing import Any

import aiohttp
import pytest

from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor
from opentelemetry.instrumentation.gluellm.adapters.aiohttp import failures
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from support.installation import instrument
from support.telemetry import Telemetry


@pytest.fixture
def telemetry() -> Iterator[Telemetry]:
    """The instrumentation, on for every pool."""
    made = Telemetry()
    instrument(made)
    yield made
    GlueLLMInstrumentor().uninstrument()
    made.shutdown()


def test_unnamed_failure_is_no_cancellation(telemetry, monkeypatch):
    """A failure of unknown kind is reported as ``_OTHER``."""

    def fails(*_: Any) -> str:
        raise RuntimeError("ours")

    async def ask() -> None:
        async with aiohttp.ClientSession() as session:
            with pytest.raises(aiohttp.ClientConnectorError):
                await session.get("http://127.0.0.1:9/")

    monkeypatch.setattr(failures, "before_sending", fails)
    asyncio.run(ask())
    assert telemetry.by(semconv.REQUESTS, "error") == {"_OTHER": 1}
    assert telemetry.value(semconv.ACTIVE_REQUESTS) == 0
