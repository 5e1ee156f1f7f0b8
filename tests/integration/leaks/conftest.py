"""Fixtures: a fake provider, the instrumentation with a clock that tests advance, and its log."""

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
    """A fake provider in its own thread."""
    with FakeProviderThread() as provider:
        yield provider


@pytest.fixture
def reports() -> Iterator[Reports]:
    """Log records of the test."""
    with Reports.listen() as reports:
        yield reports


@pytest.fixture
def telemetry() -> Telemetry:
    """In-memory telemetry for the instrumentation."""
    return Telemetry()


@pytest.fixture
def instrument(telemetry: Telemetry) -> Iterator[Instrument]:
    """Turn on the instrumentation. Its leak threshold, 20 s, exceeds delays of a busy machine."""
    with contextlib.ExitStack() as stack:

        def turn_on(**settings: Any) -> Clock:
            settings = {"leak_threshold": 20, "loop_lag": False, **settings}
            return stack.enter_context(instrumented(telemetry, **settings))

        yield turn_on


@pytest.fixture
def clock(instrument: Instrument) -> Clock:
    """The clock of the instrumentation, with its default scope."""
    return instrument()
