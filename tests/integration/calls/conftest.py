"""A fake provider and the instrumentation, and what the ledger of calls says."""

import gc
from collections.abc import Iterator

import pytest

pytest.importorskip("any_llm")
pytest.importorskip("openai")
pytest.importorskip("anthropic")

from gluellm_pools.fake_provider import FakeProvider, FakeProviderThread
from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor
from support.further_replies import REPLIES
from support.telemetry import Telemetry

from .ledger import Ledger


@pytest.fixture(autouse=True)
def _collect_clients() -> Iterator[None]:
    """Collect clients outside of event loops: in a later test's loop, SDKs would close them."""
    yield
    gc.collect()


@pytest.fixture
def server() -> Iterator[FakeProvider]:
    """The fake provider, in a thread of its own."""
    with FakeProviderThread(replies=dict(REPLIES)) as provider:
        yield provider


@pytest.fixture
def telemetry() -> Iterator[Telemetry]:
    """Both OpenTelemetry providers, in memory."""
    telemetry = Telemetry()
    yield telemetry
    telemetry.shutdown()


@pytest.fixture
def ledger(telemetry: Telemetry) -> Iterator[Ledger]:
    """The instrumentation, on."""
    GlueLLMInstrumentor().instrument(
        meter_provider=telemetry.meter_provider, tracer_provider=telemetry.tracer_provider
    )
    try:
        yield Ledger(telemetry)
    finally:
        GlueLLMInstrumentor().uninstrument()
