"""Fixtures of the contract tests: each library, sync and async, and the instrumentation.

Except for `quick_watch`, they use public interfaces only. The arguments of tests have no types: see
the fixtures here and in the folder above.
"""

import socket
from collections.abc import Iterator
from typing import Any

import pytest

from opentelemetry.instrumentation.gluellm.watch import anomalies, watch
from support.clients import PoolUnderTest, Runner
from support.grpc_server import GrpcServer
from support.http1 import HTTP1Server
from support.http2 import HTTP2Server
from support.installation import in_memory, instrument
from support.libraries import Library
from support.listener import Listen
from support.telemetry import Telemetry
from support.waiting import LATENESS

from .cells import cells_of, thinned
from .known_hosts import LLM, OTHER


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "modes(*names): run in these modes, not sync and asyncio")
    config.addinivalue_line("markers", "only(library): a scenario of this library alone")
    config.addinivalue_line("markers", "all_pairs: httpx and httpx2 differ, so run both in full")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    names = [name for name in ("library", "runner") if name in metafunc.fixturenames]
    if not names:
        return
    cells = cells_of(metafunc)
    pairs = [(library, mode) for library, cell in cells.items() for mode in cell.modes]
    if not metafunc.definition.get_closest_marker("all_pairs"):
        pairs = thinned(metafunc.function.__name__, pairs)
    if len(names) == 1:
        column = ["library", "runner"].index(names[0])
        values = list(dict.fromkeys(pair[column] for pair in pairs))
        metafunc.parametrize(names[0], values, indirect=True)
    else:
        metafunc.parametrize("library,runner", pairs, indirect=True)


@pytest.fixture(scope="session", autouse=True)
def measured_lateness() -> None:
    """Measure how late threads of this process wake up."""
    LATENESS.start()


@pytest.fixture(autouse=True)
def lateness_of_one_test(measured_lateness: None) -> None:
    """Count the lateness of each test by itself."""
    LATENESS.reset()


@pytest.fixture
def library(request: pytest.FixtureRequest) -> Library:
    """The client library that the scenario runs for."""
    return Library.load(request.param)


@pytest.fixture
def server(request: pytest.FixtureRequest, listen: Listen) -> HTTP1Server | GrpcServer:
    """A server in cleartext that the scenario's library can talk to."""
    names = request.fixturenames
    is_grpc = "library" in names and request.getfixturevalue("library").name == "grpc"
    return listen(GrpcServer) if is_grpc else listen(HTTP1Server)


@pytest.fixture
def http2_server(listen: Listen) -> HTTP2Server:
    """An HTTP/2 server in cleartext, for clients with prior knowledge."""
    return listen(HTTP2Server)


@pytest.fixture
def runner(request: pytest.FixtureRequest) -> Iterator[Runner]:
    """Threads for the sync pools, or an event loop for the async ones."""
    with Runner.start(request.param) as runner:
        yield runner


@pytest.fixture
def pool(runner: Runner, library: Library, telemetry: Telemetry) -> PoolUnderTest:
    """A bare pool, observed."""
    return runner.pool(library)


@pytest.fixture
def pool_of_one(runner: Runner, library: Library, telemetry: Telemetry) -> PoolUnderTest:
    """A bare pool with room for one connection, observed."""
    return runner.pool(library, max_connections=1)


@pytest.fixture
def http2_pool(runner: Runner, library: Library, telemetry: Telemetry) -> PoolUnderTest:
    """A bare pool that speaks HTTP/2 and nothing else, observed."""
    return runner.pool(library, http1=False, http2=True)


@pytest.fixture
def quick_watch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the watch every 50 ms, not every second; allow a late timeout 0.2 s, not 1 s.

    Request it before ``telemetry``.
    """
    monkeypatch.setattr(watch, "INTERVAL", 0.05)
    monkeypatch.setattr(anomalies, "_GRACE", 200_000_000)


@pytest.fixture
def untouched() -> Iterator[Telemetry]:
    """Providers in memory. The instrumentation is off before and after the test."""
    with in_memory() as telemetry:
        yield telemetry


@pytest.fixture
def telemetry(untouched: Telemetry) -> Telemetry:
    """Providers in memory, with the instrumentation on for every pool of the process."""
    instrument(untouched)
    return untouched


@pytest.fixture
def scoped(untouched: Telemetry, monkeypatch: pytest.MonkeyPatch) -> Telemetry:
    """The instrumentation with its default scope. Both hosts are on the loopback address."""
    resolve = socket.getaddrinfo

    def getaddrinfo(host: Any, *args: Any, **kwargs: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        return resolve("127.0.0.1" if name in (LLM, OTHER) else host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    instrument(untouched, scope="llm")
    return untouched
