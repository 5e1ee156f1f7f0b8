"""Series: never so many that the SDK folds them, and within the budget of a provider."""

import asyncio
import contextlib
import errno
import socket
import ssl
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import MeterProvider
from prometheus_client import CollectorRegistry, generate_latest

from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor
from opentelemetry.instrumentation.gluellm.attribution.context import current_call
from opentelemetry.instrumentation.gluellm.pool.call import Call
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from support.libraries import Library
from support.telemetry import Telemetry

from .network import Network, SilentNetwork

MOST_SETS = 1500
HEALTHY, AFTER_FAILURES = 140, 290

FAILURES_TO_CONNECT: list[tuple[str, BaseException | None]] = [
    ("ConnectTimeout", None),
    ("ConnectError", ConnectionRefusedError()),
    ("ConnectError", socket.gaierror()),
    ("ConnectError", ssl.SSLError()),
    ("ConnectError", OSError(errno.EMFILE, "")),
    ("ConnectError", OSError(errno.EADDRNOTAVAIL, "")),
]
FAILURES_TO_READ = ["ReadTimeout", "ReadError", "RemoteProtocolError"]
FAILURES_TO_WRITE = ["WriteTimeout", "WriteError"]


class Sets:
    """The attribute sets that each instrument has had so far."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry
        self.seen: dict[str, set[frozenset[Any]]] = {}

    def collect(self) -> None:
        """Add those of one more collection."""
        for name, points in self._telemetry.collect().items():
            found = self.seen.setdefault(name, set())
            found.update(frozenset(point.attributes.items()) for point in points)

    def check(self) -> None:
        """None has overflowed, and none is near it."""
        for name, found in self.seen.items():
            assert len(found) < MOST_SETS, (name, len(found))
            keys = {key for attributes in found for key, _ in attributes}
            assert "otel.metric.overflow" not in keys, name


def request(library: Library, pool: Any, url: str) -> None:
    """One request, whatever comes of it."""
    core = library.core
    with contextlib.suppress(core.TimeoutException, core.NetworkError, core.ProtocolError):
        pool.request("GET", url, extensions={"timeout": {"pool": 0.001}})


def test_no_instrument_overflows(library, instrument):
    """Hundreds of names, origins, ports and statuses, each error everywhere, for every model."""
    telemetry = instrument(
        metrics="full", max_origins=200, model_attributes=True, time_in_queue=True
    )
    sets = Sets(telemetry)
    network = Network()
    one = library.core.ConnectionPool(network_backend=network, max_connections=1)
    # Origins and statuses on one pool, as a crawler would.
    for number in range(260):
        request(library, one, f"http://host-{number}.test/{200 + number}")
    for status in range(200, 1000):
        request(library, one, f"http://host-1.test/{status}")
    sets.collect()
    # Names.
    pools = []
    for name in range(60):
        pool = library.core.ConnectionPool(network_backend=network, max_connections=1)
        GlueLLMInstrumentor.instrument_client(pool, f"pool-{name}")
        pools.append(pool)
        token = current_call.set(Call("groq"))
        for port in range(5):
            request(library, pool, f"http://host-{name}.test:{8000 + port}/200")
        current_call.reset(token)
    sets.collect()
    # Providers, as create_openai_compatible() lets anybody name them.
    for number in range(300):
        token = current_call.set(Call(f"provider-{number}"))
        request(library, pools[number % 60], f"http://host-{number % 60}.test:8000/200")
        current_call.reset(token)
    sets.collect()
    # Models, a few on each pool and origin.
    for number in range(450):
        token = current_call.set(Call("openai", f"model-{number}", "chat"))
        pool = pools[number % 60]
        for origin in range(4):
            request(library, pool, f"http://host-{number % 60}.test:{8000 + origin}/200")
        if number % 5 == 0:
            held = pool.handle_request(library.request(f"http://host-{number % 60}.test/200"))
            request(library, pool, f"http://host-{number % 60}.test/200")  # times out in the queue
            held.close()
        current_call.reset(token)
    sets.collect()
    # Errors.
    for where, failures in (
        ("connect_error", [_error(library, *failure) for failure in FAILURES_TO_CONNECT]),
        ("read_error", [_error(library, name, None) for name in FAILURES_TO_READ]),
        ("write_error", [_error(library, name, None) for name in FAILURES_TO_WRITE]),
    ):
        for error in failures:
            setattr(network, where, error)
            for number in range(0, 60, 3):
                for port in range(5):
                    request(library, pools[number], f"http://host-{number}.test:{8000 + port}/200")
            setattr(network, where, None)
    sets.collect()
    sets.check()
    for pool in (one, *pools):
        pool.close()


def _error(library: Library, name: str, cause: BaseException | None) -> BaseException:
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
        network.connect_error = _error(library, *failure)
        request(library, fresh, url + "200")
        network.connect_error = None
        fresh.close()
    for where, names in (("read_error", FAILURES_TO_READ), ("write_error", FAILURES_TO_WRITE)):
        for name in names:
            setattr(network, where, _error(library, name, None))
            request(library, pool, url + "200")
            setattr(network, where, None)
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
    # HTTP/1.1 connections swallow write errors, to read what the server has to say.
    assert failed == set(semconv.ERROR_TYPES) - {semconv.ErrorType.WRITE_ERROR}
    assert len(series(scraped)) <= AFTER_FAILURES
