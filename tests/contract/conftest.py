"""The contract suite's axes: libraries, sync and async; and the instrumentation itself.

Everything here goes through the package's public interface and the libraries' own.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor
from support.clients import Runner
from support.grpc_server import GrpcServer
from support.http1 import HTTP1Server
from support.installation import instrument
from support.libraries import Library
from support.listener import Listen
from support.telemetry import Telemetry

from .cells import LIBRARIES, cell

MODES = ("sync", "asyncio")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "modes(*names): run in these modes, not sync and asyncio")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    names = [name for name in ("library", "runner") if name in metafunc.fixturenames]
    if not names:
        return
    marker = metafunc.definition.get_closest_marker("modes")
    wanted = marker.args if marker else MODES
    file = Path(str(metafunc.definition.path)).name
    pairs = [
        (library, mode)
        for library in LIBRARIES
        for mode in cell(file, metafunc.function.__name__, library, wanted).modes
    ]
    if names == ["library"]:
        metafunc.parametrize(
            "library", list(dict.fromkeys(pair[0] for pair in pairs)), indirect=True
        )
    elif names == ["runner"]:
        metafunc.parametrize("runner", wanted, indirect=True)
    else:
        metafunc.parametrize("library,runner", pairs, indirect=True)


@pytest.fixture
def library(request: pytest.FixtureRequest) -> Library:
    """A client library, whichever has the scenario."""
    return Library.load(request.param)


@pytest.fixture
def server(request: pytest.FixtureRequest, listen: Listen) -> HTTP1Server | GrpcServer:
    """A server in cleartext that the scenario's library can talk to."""
    names = request.fixturenames
    is_grpc = "library" in names and request.getfixturevalue("library").name == "grpc"
    return listen(GrpcServer) if is_grpc else listen(HTTP1Server)


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
