"""Every provider of any-llm is called once: its pool is told under its name, with its limits."""

from __future__ import annotations

from typing import Any

import any_llm
import pytest

from opentelemetry.instrumentation.gluellm.providers import has_limit, libraries_of
from opentelemetry.instrumentation.gluellm.telemetry import semconv

from .calls import OTHER_CALLS, call_sync
from .measuring import measured
from .rows import BY_PROVIDER, ROWS, Row
from .seeing import Fakes, Points, Seen, see

pytestmark = [
    pytest.mark.all_sdks,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # the SDKs' own
]
SECOND = (
    ("deepseek", "messages", (1000, 100)),
    ("meta", "messages", (1000, 100)),
    ("otari", "stream", (100, 20)),
)
"""Providers with a pool of httpx beside that of their chat, and what goes through it."""
SYNC = ("openai", "groq", "azure", "bedrock", "xai")
"""A provider for each library."""


def test_every_provider_has_a_row() -> None:
    """And no provider that is none."""
    assert set(BY_PROVIDER) == set(any_llm.AnyLLM.get_supported_providers())
    assert len(ROWS) == len(BY_PROVIDER) == 55


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.provider)
def test_library_is_the_one_that_configure_pools_goes_by(row: Row) -> None:
    """The package's own table says the same."""
    first, *_ = libraries_of(row.provider)
    assert first.name.lower() == row.library
    assert (row.maximum is not None) <= has_limit(row.provider, "max_connections")


@pytest.mark.parametrize(("provider", "method", "limits"), SECOND)
def test_second_pool_of(provider: str, method: str, limits: tuple[int, int], fakes: Fakes) -> None:
    """The notes of the page tell of it."""
    row = BY_PROVIDER[provider]
    seen = see(row, fakes, make_call=lambda instance: OTHER_CALLS[method](instance))
    (pool,) = seen.calling()
    assert (pool.name, pool.library) == (provider, "httpx")
    assert (pool.max_connections, pool.max_idle_connections) == limits


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.provider)
def test_pool_of(row: Row, fakes: Fakes) -> None:
    """The library, the limits in effect and the timeouts, by snapshot and metrics alike."""
    seen = see(row, fakes)
    assert measured(row, seen) == row
    check_snapshot(seen, row)
    check_metrics(seen, row)


@pytest.mark.parametrize("provider", SYNC)
def test_pool_of_a_sync_call(provider: str, fakes: Fakes) -> None:
    """any-llm runs it on a loop of its own: it is the same pool, for each library."""
    row = BY_PROVIDER[provider]
    seen = see(row, fakes, make_call=call_sync)
    check_snapshot(seen, row)


def check_snapshot(seen: Seen, row: Row) -> None:
    """What a debugger sees while the provider is asked, and what is counted afterwards."""
    for pool in seen.calling():
        assert (pool.name, pool.provider) == (row.provider, row.provider)
        assert pool.limits_from is None
        assert (pool.channel_state is not None) is (row.library == "grpc")
        assert {request.origin for request in pool.requests} == {f"{row.host}:{seen.port}"}
        operation = row.operation if row.told_operation else None
        assert {request.operation for request in pool.requests} == {operation}
        protocols = {connection.protocol for connection in pool.connections}
        assert protocols == ({row.protocol} if row.protocol else set())
    assert seen.after is not None
    (total,) = seen.after.snapshot.totals
    assert (total.name, total.provider, total.library) == (row.provider, row.provider, row.library)
    expected = {f"{row.host}:{seen.port}": row.requests}
    expected |= {f"{host}:{seen.port}": 1 for host in row.elsewhere}
    assert {origin.origin: origin.requests_entered for origin in total.origins} == expected
    assert all(
        outcome.error in (None, "cancelled") for o in total.origins for outcome in o.outcomes
    )


def check_metrics(seen: Seen, row: Row) -> None:
    """What is exported."""
    pool = {
        semconv.PROVIDER_NAME: row.name,
        semconv.POOL_NAME: row.provider,
        semconv.POOL_LIBRARY: row.library,
    }
    origin = {**pool, semconv.SERVER_ADDRESS: row.host, semconv.SERVER_PORT: seen.port}
    during = seen.during.points
    live = value(during, semconv.POOL_LIVE, pool)
    assert live is not None
    assert live >= row.calling
    for metric, limit in (
        (semconv.CONNECTION_MAX, row.maximum),
        (semconv.CONNECTION_IDLE_MAX, row.idle_maximum),
    ):
        expected = None if limit is None else live * limit
        assert value(during, metric, pool) == expected
    assert value(during, semconv.ACQUIRE_TIMEOUT, pool) == row.pool_timeout
    assert value(during, semconv.ACTIVE_REQUESTS, origin) == row.calling
    assert seen.after is not None
    after = seen.after.points
    assert value(after, semconv.POOL_OPENED, pool) == row.pools
    assert value(after, semconv.REQUESTS, origin) == row.requests
    for name, points in after.items():
        for point in points:
            attributes = dict(point.attributes)
            if semconv.POOL_NAME in attributes:
                assert attributes.items() >= pool.items(), name


def value(points: Points, metric: semconv.Metric, where: dict[str, Any]) -> float | None:
    """The sum of a metric's points with these attributes; None where there is none."""
    found = [
        point.value
        for point in points.get(metric.name, ())
        if dict(point.attributes).items() >= where.items()
    ]
    return sum(found) if found else None
