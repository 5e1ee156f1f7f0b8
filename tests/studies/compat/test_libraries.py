"""Plain requests of aiohttp, urllib3 and gRPC, in whichever versions are installed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from packaging.version import Version

from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor
from opentelemetry.instrumentation.gluellm.cli.fake_provider import FakeProviderThread
from opentelemetry.instrumentation.gluellm.telemetry import semconv

aiohttp = pytest.importorskip("aiohttp")
grpc = pytest.importorskip("grpc")
urllib3 = pytest.importorskip("urllib3")

CAME_WITH = {
    ("grpc", "earlier_channels"): ("grpcio", "1.85"),
    ("httpx", "upgrade"): ("httpcore", "1.0.4"),
    ("urllib3", "read"): ("urllib3", "1.26.11"),
}
"""Seams that older versions lack; docs/compatibility.md says what goes with each."""


@pytest.fixture
def reader() -> Iterator[InMemoryMetricReader]:
    """Everything is observed, and read from here."""
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader])
    GlueLLMInstrumentor().instrument(scope="all", meter_provider=provider)
    yield reader
    GlueLLMInstrumentor().uninstrument()
    provider.shutdown()


def points(reader: InMemoryMetricReader, metric: semconv.Metric) -> list[Any]:
    """The metric's data points of a collection made now."""
    data = reader.get_metrics_data()
    return [
        point
        for resource in (data.resource_metrics if data else ())
        for scope in resource.scope_metrics
        for found in scope.metrics
        if found.name == metric.name
        for point in found.data.data_points
    ]


def leases(reader: InMemoryMetricReader) -> dict[str, int]:
    """Finished requests by library."""
    counted: dict[str, int] = {}
    for point in points(reader, semconv.LEASE_DURATION):
        library = point.attributes[semconv.POOL_LIBRARY]
        counted[library] = counted.get(library, 0) + point.count
    return counted


def opened(reader: InMemoryMetricReader) -> float:
    """Connections opened."""
    return float(sum(point.value for point in points(reader, semconv.CONNECTION_OPENED)))


def test_every_seam_is_there(reader: InMemoryMetricReader) -> None:
    """What the installed versions lack is told, and is what is known to be lacking."""
    seams = points(reader, semconv.SEAM)
    missing = {
        (point.attributes[semconv.POOL_LIBRARY], point.attributes[semconv.SEAM_NAME])
        for point in seams
        if not point.value
    }
    libraries = {point.attributes[semconv.POOL_LIBRARY] for point in seams}
    assert {"aiohttp", "urllib3", "grpc"} <= libraries
    older = {
        seam
        for seam, (distribution, since) in CAME_WITH.items()
        if find_spec(distribution.removesuffix("io"))
        and Version(version(distribution)) < Version(since)
    }
    assert missing == older


def test_aiohttp(reader: InMemoryMetricReader) -> None:
    """Three requests on one connection."""

    async def calls(url: str) -> None:
        async with aiohttp.ClientSession() as session:
            for _ in range(3):
                async with session.get(url) as response:
                    await response.read()

    with FakeProviderThread() as provider:
        asyncio.run(calls(f"{provider.openai_url}/models"))
    assert leases(reader) == {"aiohttp": 3}
    assert opened(reader) == 1


def test_urllib3(reader: InMemoryMetricReader) -> None:
    """Three requests on one connection."""
    with FakeProviderThread() as provider:
        pool = urllib3.PoolManager()
        for _ in range(3):
            pool.request("GET", f"{provider.openai_url}/models")
        pool.clear()
    assert leases(reader) == {"urllib3": 3}
    assert opened(reader) == 1


class _Echo(grpc.GenericRpcHandler):  # type: ignore[misc]
    def service(self, handler_call_details: Any) -> Any:
        return grpc.unary_unary_rpc_method_handler(lambda request, context: request)


def test_grpc(reader: InMemoryMetricReader) -> None:
    """Calls of a sync and of an async channel."""
    server = grpc.server(ThreadPoolExecutor(2), handlers=(_Echo(),))
    target = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()

    async def calls() -> None:
        async with grpc.aio.insecure_channel(target) as channel:
            for _ in range(2):
                assert await channel.unary_unary("/test/Echo")(b"hello") == b"hello"

    try:
        with grpc.insecure_channel(target) as channel:
            assert channel.unary_unary("/test/Echo")(b"hello") == b"hello"
        asyncio.run(calls())
    finally:
        server.stop(None).wait()
    assert leases(reader) == {"grpc": 3}
