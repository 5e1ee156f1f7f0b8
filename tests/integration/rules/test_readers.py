"""Values appear in the next collection of every reader."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from opentelemetry.sdk.metrics import (
    Counter,
    Histogram,
    MeterProvider,
    ObservableCounter,
    UpDownCounter,
)
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    InMemoryMetricReader,
    MetricReader,
)
from opentelemetry.sdk.metrics.view import (
    DropAggregation,
    ExplicitBucketHistogramAggregation,
    ExponentialBucketHistogramAggregation,
    View,
)

from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from support.telemetry import points_of

DELTA = dict.fromkeys((Counter, Histogram, ObservableCounter), AggregationTemporality.DELTA)
Observe = Callable[..., None]


@pytest.fixture
def observe() -> Iterator[Observe]:
    """Turn on the instrumentation with the test's readers and views."""
    made: list[MeterProvider] = []

    def turn_on(*readers: MetricReader, views: tuple[View, ...] = ()) -> None:
        provider = MeterProvider(metric_readers=readers, views=views, shutdown_on_exit=False)
        made.append(provider)
        GlueLLMInstrumentor().instrument(scope="all", meter_provider=provider)

    yield turn_on
    GlueLLMInstrumentor().uninstrument()
    for provider in made:
        provider.shutdown()


def leases(found: dict[str, list[Any]]) -> int:
    """Return the number of recorded leases."""
    return sum(point.count for point in found.get(semconv.LEASE_DURATION.name, ()))


def requests(found: dict[str, list[Any]]) -> int:
    """Return the number of ended requests."""
    return sum(point.value for point in found.get(semconv.REQUESTS.name, ()))


def test_cumulative_and_delta_readers_each_see_everything_once(library, server, observe):
    """The first reader drains the buffer. Both get the values in the same collection."""
    cumulative = InMemoryMetricReader()
    delta = InMemoryMetricReader(preferred_temporality=DELTA)
    observe(cumulative, delta)
    pool = library.core.ConnectionPool()
    expected = 0
    for readers in ((cumulative, delta), (delta, cumulative), (cumulative, delta)):
        pool.request("GET", server.url())
        pool.request("GET", server.url())
        expected += 2
        for reader in readers:
            found = points_of(reader.get_metrics_data())
            wanted = expected if reader is cumulative else 2
            assert (leases(found), requests(found)) == (wanted, wanted)
            assert found[semconv.POOL_LIVE.name][0].value == 1
            assert found[semconv.OPEN_CONNECTIONS.name]
    assert leases(points_of(delta.get_metrics_data())) == 0
    pool.close()


def test_up_down_counters_stay_totals_with_delta(library, server, observe):
    """A difference of 0 would look like an empty pool."""
    delta = InMemoryMetricReader(preferred_temporality={**DELTA, UpDownCounter: DELTA[Counter]})
    observe(delta)
    pool = library.core.ConnectionPool()
    pool.request("GET", server.url())
    for _ in range(3):
        found = points_of(delta.get_metrics_data())
        assert [p.value for p in found[semconv.POOL_LIVE.name]] == [1]
        assert sum(p.value for p in found[semconv.OPEN_CONNECTIONS.name]) == 1
    pool.close()


def test_views_of_the_application_apply(library, server, observe):
    """Views rename, change buckets and aggregations, remove attributes, and drop metrics."""
    reader = InMemoryMetricReader()
    observe(
        reader,
        views=(
            View(
                instrument_name=semconv.LEASE_DURATION.name,
                name="held",
                attribute_keys={semconv.POOL_NAME},
                aggregation=ExplicitBucketHistogramAggregation((1.0,)),
            ),
            View(
                instrument_name=semconv.ACQUIRE_DURATION.name,
                aggregation=ExponentialBucketHistogramAggregation(),
            ),
            View(instrument_name=semconv.OPEN_CONNECTIONS.name, aggregation=DropAggregation()),
            View(instrument_name=semconv.REQUEST_CURRENT.name, attribute_keys=set()),
        ),
    )
    pool = library.core.ConnectionPool()
    pool.request("GET", server.url())
    pool.request("GET", server.url())
    found = points_of(reader.get_metrics_data())
    (held,) = found["held"]
    assert (held.count, held.bucket_counts, held.explicit_bounds) == (2, (2, 0), (1.0,))
    assert dict(held.attributes) == {semconv.POOL_NAME: library.name}
    (acquired,) = found[semconv.ACQUIRE_DURATION.name]
    assert (acquired.count, acquired.zero_count) == (2, 2)
    # The first instrument's callback takes the snapshot. Dropping it must not affect the others.
    assert semconv.OPEN_CONNECTIONS.name not in found
    assert [p.value for p in found[semconv.REQUEST_CURRENT.name]] == [0]
    assert requests(found) == 2
    pool.close()
