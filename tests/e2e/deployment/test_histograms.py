"""Exponential histograms by a View: what each way makes of them."""

from __future__ import annotations

import math

import pytest
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import Histogram
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest

from e2e.calls import call, exporting, instrumented
from e2e.programs import Stack
from gluellm_pools.fake_provider import FakeProvider, FakeProviderThread
from support.waiting import wait_until

_CALLS = 7
_NAME = "gluellm_pool_lease_duration_seconds"
VIEW = View(
    instrument_type=Histogram,
    instrument_name="gluellm.*",
    aggregation=ExponentialBucketHistogramAggregation(),
)

pytest.importorskip("any_llm")


_OF = '{service_instance_id="exponential"}'


@pytest.fixture(scope="module")
def stores(shared_stack: Stack) -> Stack:
    """All have seven calls of a process."""
    with (
        FakeProviderThread() as provider,
        instrumented(exporting(shared_stack.collector.http_endpoint), "exponential", [VIEW]),
    ):
        call(provider.openai_url, _CALLS)
    return shared_stack


def test_prometheus_stores_native_histograms(stores: Stack) -> None:
    """On its OTLP endpoint: one series, without ``_bucket``, for the functions on native ones."""
    store = stores.prometheus_otlp
    (count,) = wait_until(lambda: store.query(f"histogram_count({_NAME}{_OF})"))
    assert count["value"][1] == _CALLS
    (quantile,) = store.query(f"histogram_quantile(0.9, sum({_NAME}{_OF}))")
    assert 0 < quantile["value"][1] < 60
    for suffix in "_bucket", "_count", "_sum":
        assert not store.series(f"{_NAME}{suffix}{_OF}")


def test_the_collectors_prometheus_exporter_leaves_one_bucket(stores: Stack) -> None:
    """Count and sum are right; every quantile is NaN."""
    store = stores.prometheus_scraping
    (count,) = wait_until(lambda: store.query(f"{_NAME}_count{_OF}"))
    assert count["value"][1] == _CALLS
    assert [row["le"] for row in store.series(f"{_NAME}_bucket{_OF}")] == ["+Inf"]
    (quantile,) = store.query(f"histogram_quantile(0.9, sum by (le) ({_NAME}_bucket{_OF}))")
    assert math.isnan(quantile["value"][1])


def test_victoria_metrics_stores_ranges(stores: Stack) -> None:
    """Buckets have a ``vmrange`` and no ``le``, so that a quantile by ``le`` is empty."""
    store = stores.victoria_metrics
    (count,) = wait_until(lambda: store.query(f"{_NAME}_count{_OF}"))
    assert count["value"][1] == _CALLS
    buckets = store.series(f"{_NAME}_bucket{_OF}")
    assert buckets
    assert all("vmrange" in row and "le" not in row for row in buckets)
    assert not store.query(f"histogram_quantile(0.9, sum by (le) ({_NAME}_bucket{_OF}))")
    (quantile,) = store.query(f"histogram_quantile(0.9, sum by (vmrange) ({_NAME}_bucket{_OF}))")
    assert 0 < quantile["value"][1] < 60


def test_the_prometheus_reader_breaks(provider: FakeProvider) -> None:
    """The whole page is lost with them, every metric of the process included."""
    registry = CollectorRegistry()
    with instrumented(PrometheusMetricReader(registry=registry), "read", [VIEW]):
        call(provider.openai_url, 1)
        with pytest.raises(AttributeError, match="'ExponentialHistogramDataPoint' object has no"):
            generate_latest(registry)
    # What it was without the view.
    registry = CollectorRegistry()
    with instrumented(PrometheusMetricReader(registry=registry), "read"):
        call(provider.openai_url, 1)
        assert f"{_NAME}_count" in generate_latest(registry).decode()
