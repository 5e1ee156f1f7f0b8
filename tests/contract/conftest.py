"""The contract suite's axes: libraries, sync and async; and the instrumentation itself.

Everything here goes through the package's public interface and the libraries' own.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor
from support.clients import Runner
from support.installation import instrument
from support.libraries import Library
from support.telemetry import Telemetry

MODES = ("sync", "asyncio")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "modes(*names): run in these modes, not sync and asyncio")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "runner" in metafunc.fixturenames:
        marker = metafunc.definition.get_closest_marker("modes")
        metafunc.parametrize("runner", marker.args if marker else MODES, indirect=True)


@pytest.fixture(params=["httpx", "httpx2"])
def library(request: pytest.FixtureRequest) -> Library:
    """httpx on httpcore, httpx2 on httpcore2."""
    return Library.load(request.param)


@pytest.fixture
def runner(request: pytest.FixtureRequest) -> Iterator[Runner]:
    """Threads for the sync pools, or an event loop for the async ones."""
    with Runner.start(request.param) as runner:
        yield runner


@pytest.fixture
def telemetry() -> Iterator[Telemetry]:
    """Providers in memory, with the instrumentation on for every pool of the process."""
    telemetry = Telemetry()
    instrument(telemetry)
    yield telemetry
    GlueLLMInstrumentor().uninstrument()
    telemetry.shutdown()


@pytest.fixture
def untouched() -> Iterator[Telemetry]:
    """Providers in memory, with the instrumentation still off. It is off again in the end."""
    telemetry = Telemetry()
    yield telemetry
    if GlueLLMInstrumentor().is_instrumented_by_opentelemetry:
        GlueLLMInstrumentor().uninstrument()
    telemetry.shutdown()
