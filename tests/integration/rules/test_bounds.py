"""Series: within the budget of a provider."""

import asyncio
import contextlib
import errno
import socket
import ssl
from collections.abc import Iterator
from typing import Any

import h11
import pytest
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import MeterProvider
from prometheus_client import CollectorRegistry, generate_latest

from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor
from opentelemetry.instrumentation.gluellm.attribution.context import current_call
from opentelemetry.instrumentation.gluellm.pool.call import Call
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from support.libraries import Library

from .network import Network, SilentNetwork

HEALTHY, AFTER_FAILURES = 140, 290

FAILURES_TO_CONNECT: list[tuple[str, BaseException | None]] = [
    ("ConnectTimeout", None),
    ("ConnectError", ConnectionRefusedError()),
    ("ConnectError", socket.gaierror()),
    ("ConnectError", ssl.SSLError()),
    ("ConnectError", OSError(errno.EMFILE, "")),
    ("ConnectError", OSError(errno.EADDRNOTAVAIL, "")),
    ("ProxyError", None),
]
FAILURES_TO_READ = ["ReadTimeout", "ReadError", "RemoteProtocolError"]
FAILURES_TO_WRITE = ["WriteTimeout", "WriteError"]


def request(library: Library, pool: Any, url: str, headers: Any = None) -> None:
    """One request, whatever comes of it."""
    core = library.core
    expected = (core.TimeoutException, core.NetworkError, core.ProtocolError, core.ProxyError)
    with contextlib.suppress(*expected):
        pool.request("GET", url, headers=headers, extensions={"timeout": {"pool": 0.001}})


def error_of(library: Library, name: str, cause: BaseException | None) -> BaseException:
    error: BaseException = getattr(library.core, name)("")
    # Pools raise it anew "from None", which clears the cause and leaves the context.
    error.__context__ = cause
    return error


@pytest.fixture
def scraped() -> Iterator[CollectorRegistry]:
    """The instrumentation on, with Prometheus' reader."""
    reader, registry = PrometheusMetricReader(), CollectorRegistry()
    registry.register(reader._collector)
    provider = MeterProvider(metric_readers=[reader], shutdown_on_exit=False)
    GlueLLMInstrumentor().instrument(meter_provider=provider)
    yield registry
    GlueLLMInstrumentor().uninstrument()
    provider.shutdown()


def series(registry: CollectorRegistry) -> list[str]:
    """The series of pools in a scrape."""
    lines = generate_latest(registry).decode().splitlines()
    return [line for line in lines if "gluellm_pool_name=" in line and not line.startswith("#")]


def healthy(library: Library, network: Network) -> Any:
    """A provider's pool that has served all kinds of requests well."""
    pool = library.core.ConnectionPool(network_backend=network, max_connections=2)
    token = current_call.set(Call("openai", "gpt-test", "chat"))
    held = pool.handle_request(library.request("https://api.test/200"))
    for _ in range(5):
        assert pool.request("GET", "https://api.test/200").status == 200
    held.close()
    current_call.reset(token)
    return pool


async def cancelled(library: Library, url: str) -> None:
    """Two requests that are cancelled: one while it connects, one while it is queued."""
    async with library.core.AsyncConnectionPool(
        network_backend=SilentNetwork(), max_connections=1
    ) as pool:
        tasks = [asyncio.ensure_future(pool.request("GET", url)) for _ in range(2)]
        while len(pool._requests) < 2:
            await asyncio.sleep(0)
        for task in reversed(tasks):  # the queued one first, or it gets the other's place
            task.cancel()
            await asyncio.wait([task])


def test_provider_is_within_its_series_after_every_failure(library, scraped):
    """At most 140 series while it is healthy, and at most 290 after every type of error."""
    network = Network()
    pool = healthy(library, network)
    assert len(series(scraped)) <= HEALTHY
    token = current_call.set(Call("openai", "gpt-test", "chat"))
    url = "https://api.test/"
    for status in (400, 401, 429, 500, 503):
        request(library, pool, url + str(status))
    for failure in FAILURES_TO_CONNECT:
        fresh = library.core.ConnectionPool(network_backend=network)
        network.connect_error = error_of(library, *failure)
        request(library, fresh, url + "200")
        network.connect_error = None
        fresh.close()
    for where, names in (("read_error", FAILURES_TO_READ), ("write_error", FAILURES_TO_WRITE)):
        for name in names:
            setattr(network, where, error_of(library, name, None))
            request(library, pool, url + "200")
            setattr(network, where, None)
    network.read_error = library.core.RemoteProtocolError(h11.RemoteProtocolError("no HTTP"))
    request(library, pool, url + "200")
    network.read_error = None
    request(library, pool, url + "200", {"host": "api.test", "x-key": "secret\n"})
    held = [pool.handle_request(library.request(url + "200")) for _ in range(2)]
    request(library, pool, url + "200")
    for response in held:
        response.close()
    network.connect_error = KeyboardInterrupt()
    fresh = library.core.ConnectionPool(network_backend=network)
    with pytest.raises(KeyboardInterrupt):
        fresh.request("GET", url + "200")
    network.connect_error = None
    network.write_error = RuntimeError("Event loop is closed")
    with pytest.raises(RuntimeError):
        pool.request("GET", url + "200")
    network.write_error = None
    for connection in pool.connections:
        connection._connection._expire_at = 0.0
    request(library, pool, url + "200")
    asyncio.run(cancelled(library, url + "200"))
    current_call.reset(token)
    pool.close()
    failed = {
        error
        for error in semconv.ERROR_TYPES
        for line in series(scraped)
        if line.startswith("gluellm_pool_requests_total")
        and f'error_type="{error}"' in line
        and not line.endswith(" 0.0")
    }
    # HTTP/1.1 connections swallow write errors, to read what the server has to say. No pool is
    # closed here while it has a request in flight.
    missing = {semconv.ErrorType.WRITE_ERROR, semconv.ErrorType.CLIENT_CLOSED}
    assert failed == set(semconv.ERROR_TYPES) - missing
    assert len(series(scraped)) <= AFTER_FAILURES
