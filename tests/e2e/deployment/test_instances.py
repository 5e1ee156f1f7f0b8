"""What tells processes apart: `service.instance.id`, and what comes of one that they share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, MetricExportResult, MetricsData

from e2e.programs import Stack
from opentelemetry.instrumentation.gluellm.cli.fake_provider import FakeProvider, FakeProviderThread
from support.waiting import wait_until

from .calls import SERVICE, call, instrumented
from .processes import Caller, caller, environment

_MANY, _FEW = 20, 3
_REQUESTS = (
    f'gluellm_pool_requests_total{{service_name="{SERVICE}",http_response_status_code="200"}}'
)

pytest.importorskip("any_llm")


@pytest.fixture(scope="module")
def two_processes(
    shared_stack: Stack, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Caller, Caller]]:
    """One has made twenty calls, the other three; they share an id, as the containers of a pod."""
    folder = tmp_path_factory.mktemp("processes")
    variables = environment(
        shared_stack.collector.http_endpoint,
        SERVICE,
        OTEL_METRIC_EXPORT_INTERVAL="200",
        OTEL_RESOURCE_ATTRIBUTES="service.instance.id=pod-1",
    )
    with (
        FakeProviderThread() as provider,
        caller(provider, variables, folder / "one") as one,
        caller(provider, variables, folder / "other") as other,
    ):
        one.call(_MANY)
        other.call(_FEW)
        yield one, other


@pytest.mark.parametrize("way", ["prometheus_otlp", "victoria_metrics"])
def test_processes_that_share_an_id_share_their_series(
    way: str, shared_stack: Stack, two_processes: tuple[Caller, Caller]
) -> None:
    """One series jumps between their counts, so that it seems to count more than happened."""
    store = getattr(shared_stack, way)

    def resets() -> float:
        return sum(row["value"][1] for row in store.query(f"resets({_REQUESTS}[5m])"))

    wait_until(lambda: resets() >= 3, "a series that falls again and again", 30)
    (series,) = store.samples(_REQUESTS)
    assert {value for _, value in series["values"]} >= {_FEW, _MANY}
    (increase,) = store.query(f"increase({_REQUESTS}[5m])")
    assert increase["value"][1] > _MANY + _FEW


def test_the_collectors_page_shows_one_of_them(
    shared_stack: Stack, two_processes: tuple[Caller, Caller]
) -> None:
    """Whichever exported last when it is scraped; never their sum."""
    store = shared_stack.prometheus_scraping
    wait_until(
        lambda: {row["value"][1] for row in store.query(_REQUESTS)} & {_FEW, _MANY}, "a scrape", 30
    )
    (series,) = store.samples(_REQUESTS)
    assert max(value for _, value in series["values"]) <= _MANY


@pytest.fixture
def two_exports(provider: FakeProvider) -> tuple[MetricsData, MetricsData]:
    """What a process would export after one call, and a moment later after three."""
    reader = InMemoryMetricReader()
    with instrumented(reader, "late"):
        call(provider.openai_url, 1)
        before = reader.get_metrics_data()
        call(provider.openai_url, 2)
        after = reader.get_metrics_data()
    assert before is not None
    assert after is not None
    return before, after


@pytest.mark.parametrize("window", ["30m", "0s"])
def test_samples_that_come_late_need_an_out_of_order_window(
    window: str,
    stack: Stack,
    two_exports: tuple[MetricsData, MetricsData],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A retried export comes after a later one: kept within the window, else refused with 400."""
    store = stack.prometheus_otlp
    setting = "out_of_order_time_window: {}"
    text = store.configuration.read_text()
    assert setting.format("30m") in text
    store.configuration.write_text(text.replace(setting.format("30m"), setting.format(window)))
    stack.start("prometheus_otlp")
    before, after = two_exports
    exporter = OTLPMetricExporter(endpoint=f"{store.otlp_endpoint}/v1/metrics")
    assert exporter.export(after) is MetricExportResult.SUCCESS
    late = exporter.export(before)
    exporter.shutdown()
    counts = store.samples('gluellm_pool_lease_duration_seconds_count{instance="late"}')
    if window == "30m":
        assert late is MetricExportResult.SUCCESS
        assert [value for _, value in counts[0]["values"]] == [1, 3]
    else:
        assert late is MetricExportResult.FAILURE
        assert [value for _, value in counts[0]["values"]] == [3]
        assert "Failed to export metrics batch code: 400, reason: Bad Request" in caplog.text
