"""Series: never so many that the SDK folds them, and within the budget of a provider."""

import asyncio
import contextlib
import errno
import socket
import ssl
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from prometheus_client import CollectorRegistry, generate_latest

from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor
from opentelemetry.instrumentation.gluellm.attribution.context import current_call
from opentelemetry.instrumentation.gluellm.pool.lease import Call
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from support.libraries import Library
from support.telemetry import Telemetry

from .network import Network, SilentNetwork

MOST_SETS = 1500
HEALTHY = 140
AFTER_FAILURES = 290

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


class Budget:
    """Counts what one provider costs: data points, and series of a Prometheus scrape."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.memory = InMemoryMetricReader()
        self.prometheus = PrometheusMetricReader()
        self.registry.register(self.prometheus._collector)
        self.meter_provider = MeterProvider(
            metric_readers=[self.memory, self.prometheus], shutdown_on_exit=False
        )

    def points(self) -> Counter[str]:
        """Data points by metric, of pools and not of the process."""
        found: Counter[str] = Counter()
        data = self.memory.get_metrics_data()
        assert data is not None
        for resource in data.resource_metrics:
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    for point in metric.data.data_points:
                        found[metric.name] += semconv.POOL_NAME in (point.attributes or {})
        return +found

    def error_types(self) -> set[str]:
        """How requests have failed so far."""
        metrics = {m.name: m for m in self.registry.collect()}
        requests = metrics["gluellm_pool_requests"].samples
        return {s.labels["error_type"] for s in requests if s.value and s.labels["error_type"]}

    def series(self) -> Counter[str]:
        """Series by Prometheus' name of the metric."""
        found: Counter[str] = Counter()
        for line in generate_latest(self.registry).decode().splitlines():
            if "gluellm_pool_name=" in line and not line.startswith("#"):
                found[line.partition("{")[0]] += 1
        return found


@pytest.fixture
def budget() -> Iterator[Budget]:
    """The instrumentation on, with both ways to count."""
    made = Budget()
    GlueLLMInstrumentor().instrument(meter_provider=made.meter_provider)
    yield made
    GlueLLMInstrumentor().uninstrument()
    made.meter_provider.shutdown()


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


def test_healthy_provider_is_within_its_series(library, budget):
    """One provider with one origin: at most 140 series."""
    pool = healthy(library, Network())
    series, points = budget.series(), budget.points()
    assert points.total() <= HEALTHY, points
    assert series.total() <= HEALTHY, series
    pool.close()


def test_provider_is_within_its_series_after_every_failure(library, budget):
    """Every error type, every way to close a connection: at most 290 series."""
    network = Network()
    pool = healthy(library, network)
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
    series, points = budget.series(), budget.points()
    # HTTP/1.1 connections swallow write errors, to read what the server has to say.
    assert budget.error_types() == set(semconv.ERROR_TYPES) - {semconv.ErrorType.WRITE_ERROR}
    assert points.total() <= AFTER_FAILURES, points
    assert series.total() <= AFTER_FAILURES, series.most_common()
