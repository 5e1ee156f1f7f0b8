"""Exponential histograms by a View: what each way makes of them."""

from __future__ import annotations

import math

import pytest
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import Histogram
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest

from e2e.programs import Stack
from opentelemetry.instrumentation.gluellm.cli.fake_provider import FakeProvider
from support.waiting import wait_until

from .calls import call, exporting, instrumented

_CALLS = 7
_NAME = "gluellm_pool_lease_duration_seconds"
VIEW = View(
    instrument_type=Histogram,
    instrument_name="gluellm.*",
    aggregation=ExponentialBucketHistogramAggregation(),
)

pytest.importorskip("any_llm")


@pytest.fixture(scope="module")
def instance(shared_stack: Stack) -> str:
    """The service.instance.id of a process whose seven calls went to all stores."""
    from opentelemetry.instrumentation.gluellm.cli.fake_provider import FakeProviderThread

    with (
        FakeProviderThread() as provider,
        instrumented(exporting(shared_stack.collector.http_endpoint), "exponential", [VIEW]),
    ):
        call(provider.openai_url, _CALLS)
    return "exponential"


def test_prometheus_stores_native_histograms(shared_stack: Stack, instance: str) -> None:
    """On its OTLP endpoint: one series, without ``_bucket``, for the functions on native ones."""
    store = shared_stack.prometheus_otlp
    of = f'{{service_instance_id="{instance}"}}'
    wait_until(lambda: store.query(f"histogram_count({_NAME}{of})"))
    assert store.query(f"histogram_count({_NAME}{of})")[0]["value"][1] == _CALLS
    (quantile,) = store.query(f"histogram_quantile(0.9, sum({_NAME}{of}))")
    assert 0 < quantile["value"][1] < 60
    for suffix in "_bucket", "_count", "_sum":
        assert not store.series(f"{_NAME}{suffix}{of}")


def test_the_collectors_prometheus_exporter_leaves_one_bucket(
    shared_stack: Stack, instance: str
) -> None:
    """Count and sum are right; every quantile is NaN."""
    store = shared_stack.prometheus_scraping
    of = f'{{service_instance_id="{instance}"}}'
    (count,) = wait_until(lambda: store.query(f"{_NAME}_count{of}"))
    assert count["value"][1] == _CALLS
    assert [row["le"] for row in store.series(f"{_NAME}_bucket{of}")] == ["+Inf"]
    (quantile,) = store.query(f"histogram_quantile(0.9, sum by (le) ({_NAME}_bucket{of}))")
    assert math.isnan(quantile["value"][1])


def test_victoria_metrics_stores_ranges(shared_stack: Stack, instance: str) -> None:
    """Buckets have a ``vmrange`` and no ``le``, so that a quantile by ``le`` is empty."""
    store = shared_stack.victoria_metrics
    of = f'{{service_instance_id="{instance}"}}'
    (count,) = wait_until(lambda: store.query(f"{_NAME}_count{of}"))
    assert count["value"][1] == _CALLS
    buckets = store.series(f"{_NAME}_bucket{of}")
    assert buckets
    assert all("vmrange" in row and "le" not in row for row in buckets)
    assert not store.query(f"histogram_quantile(0.9, sum by (le) ({_NAME}_bucket{of}))")
    (quantile,) = store.query(f"histogram_quantile(0.9, sum by (vmrange) ({_NAME}_bucket{of}))")
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
