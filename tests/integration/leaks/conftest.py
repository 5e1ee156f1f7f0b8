"""A fake provider, the instrumentation on a clock that tests put forward, and ears for the log."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest

pytest.importorskip("any_llm")
pytest.importorskip("openai")
pytest.importorskip("anthropic")

from gluellm_pools.fake_provider import FakeProvider, FakeProviderThread
from support.clock import Clock, instrumented
from support.telemetry import Telemetry

from .reports import Reports

Instrument = Callable[..., Clock]
PROVIDERS = pytest.mark.parametrize("provider", ["openai", "anthropic"])


@pytest.fixture
def server() -> Iterator[FakeProvider]:
    """The fake provider, in a thread of its own."""
    with FakeProviderThread() as provider:
        yield provider


@pytest.fixture
def reports() -> Iterator[Reports]:
    """What is logged during the test."""
    with Reports.listen() as reports:
        yield reports


@pytest.fixture
def telemetry() -> Telemetry:
    """What is told to OpenTelemetry once the instrumentation is on."""
    return Telemetry()


@pytest.fixture
def instrument(telemetry: Telemetry) -> Iterator[Instrument]:
    """Turn the instrumentation on. A busy machine holds no response unread for 20 s."""
    with contextlib.ExitStack() as stack:

        def turn_on(**settings: Any) -> Clock:
            settings = {"leak_threshold": 20, "loop_lag": False, **settings}
            return stack.enter_context(instrumented(telemetry, **settings))

        yield turn_on


@pytest.fixture
def clock(instrument: Instrument) -> Clock:
    """The instrumentation on, for what any-llm does."""
    return instrument()
