"""What tells processes apart: `service.instance.id`, and what comes of one that they share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, MetricExportResult

from e2e.calls import call, instrumented
from e2e.processes import caller, environment
from e2e.programs import Stack
from gluellm_pools.fake_provider import FakeProvider, FakeProviderThread
from support.waiting import wait_until

_MANY, _FEW = 20, 3
_SERVICE = "two-of-a-pod"
_REQUESTS = (
    f'gluellm_pool_requests_total{{service_name="{_SERVICE}",http_response_status_code="200"}}'
)

pytest.importorskip("any_llm")


@pytest.fixture(scope="module")
def stores(shared_stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Two processes export to them, which share an id as the containers of a pod."""
    folder = tmp_path_factory.mktemp("processes")
    variables = environment(shared_stack.collector.http_endpoint, _SERVICE, "pod-1", every=0.2)
    with (
        FakeProviderThread() as provider,
        caller(provider, variables, folder / "one") as one,
        caller(provider, variables, folder / "other") as other,
    ):
        one.call(_MANY)
        other.call(_FEW)
        yield shared_stack


@pytest.mark.parametrize("way", ["prometheus_otlp", "victoria_metrics"])
def test_processes_that_share_an_id_share_their_series(way: str, stores: Stack) -> None:
    """One series jumps between their counts, so that it seems to count more than happened."""
    store = getattr(stores, way)

    def resets() -> float:
        return sum(row["value"][1] for row in store.query(f"resets({_REQUESTS}[5m])"))

    wait_until(lambda: resets() >= 3, "a series that falls again and again", 30)
    (series,) = store.samples(_REQUESTS)
    assert {value for _, value in series["values"]} >= {_FEW, _MANY}
    (increase,) = store.query(f"increase({_REQUESTS}[5m])")
    assert increase["value"][1] > _MANY + _FEW


def test_the_collectors_page_shows_one_of_them(stores: Stack) -> None:
    """Whichever exported last when it is scraped; never their sum."""
    store, counts = stores.prometheus_scraping, {_FEW, _MANY}
    wait_until(lambda: {row["value"][1] for row in store.query(_REQUESTS)} & counts, "a scrape", 30)
    (series,) = store.samples(_REQUESTS)
    assert max(value for _, value in series["values"]) <= _MANY


@pytest.mark.parametrize(
    ("window", "taken", "stored"),
    [("30m", MetricExportResult.SUCCESS, [1, 3]), ("0s", MetricExportResult.FAILURE, [3])],
    ids=["within", "beyond"],
)
def test_samples_that_come_late_need_an_out_of_order_window(
    window: str,
    taken: MetricExportResult,
    stored: list[float],
    stack: Stack,
    provider: FakeProvider,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A retried export comes after a later one: kept within the window, else refused with 400."""
    reader, exports = InMemoryMetricReader(), []
    with instrumented(reader, "late"):
        for times in (1, 2):
            call(provider.openai_url, times)
            exports.append(reader.get_metrics_data())
    store = stack.prometheus_otlp
    store.change("out_of_order_time_window: 30m", f"out_of_order_time_window: {window}")
    stack.start("prometheus_otlp")
    exporter = OTLPMetricExporter(endpoint=f"{store.otlp_endpoint}/v1/metrics")
    assert exporter.export(exports[1]) is MetricExportResult.SUCCESS
    assert exporter.export(exports[0]) is taken
    exporter.shutdown()
    (counts,) = store.samples('gluellm_pool_lease_duration_seconds_count{instance="late"}')
    assert [value for _, value in counts["values"]] == stored
    refused = "Failed to export metrics batch code: 400, reason: Bad Request" in caplog.text
    assert refused is (taken is MetricExportResult.FAILURE)
