"""A process that starts again under the same instance: its counters begin anew, increases don't."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics.export import MetricExportResult

from e2e.calls import call, exporting, instrumented
from e2e.programs import STORES, Prometheus, Stack, Store
from e2e.stores import increase
from gluellm_pools.fake_provider import FakeProviderThread
from support.waiting import wait_until

pytest.importorskip("any_llm")

RUNS = {"falls": (7, 5), "rises": (7, 9)}
"""Calls of each process. ``rises`` looks like a counter that went on."""
MADE = {name: sum(calls) for name, calls in RUNS.items()}
LATEST = {name: max(calls) for name, calls in RUNS.items()}
"""What a store has that doesn't see a restart where the count doesn't fall."""
ZERO = "created-timestamp-zero-ingestion"
"""Prometheus' feature that stores a 0 for the moment at which a counter began to count."""

_ALSO_TO_PLAIN = """
exporters: {otlp_http/plain: {endpoint: "%s"}}
service: {pipelines: {metrics/plain: {receivers: [otlp], exporters: [otlp_http/plain]}}}
"""


class LosingTheFirst(OTLPMetricExporter):
    """Loses its first export.

    The SDK starts to count at a collection. In the first one, start and sample can have the same
    millisecond, and Prometheus stores no 0 then.
    """

    _lost = False

    def export(self, *args: Any, **kwargs: Any) -> MetricExportResult:
        if self._lost:
            return super().export(*args, **kwargs)
        self._lost = True
        return MetricExportResult.SUCCESS


class Featured(Prometheus):
    """Prometheus with that feature."""

    def command(self, executable: Path) -> list[str]:
        return [*super().command(executable), f"--enable-feature={ZERO}"]


def requests_of(run: str) -> str:
    """Selects what the processes of a run counted."""
    return f'gluellm_pool_requests_total{{service_instance_id="{run}"}}'


def increases(store: Store, of: str = "requests_total") -> dict[str, float]:
    """By how much a counter rose in each run, as its samples say."""
    return {
        run: sum(
            increase([value for _, value in row["values"]])
            for row in store.samples(requests_of(run).replace("requests_total", of))
        )
        for run in RUNS
    }


@pytest.fixture(scope="module")
def restarted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Stack, Store]]:
    """Stores that have both processes of each run, one of them without the feature."""
    folder = tmp_path_factory.mktemp("restarts")
    stack = Stack(folder / "stack")
    stack.prometheus_scraping = Featured("prometheus_scraping", folder)
    stack.prometheus_otlp = Featured("prometheus_otlp", folder)
    plain = Prometheus("plain", folder)
    for store in (plain, stack.prometheus_scraping, stack.prometheus_otlp):
        store.lacks = ("--enable-feature",)
    try:
        plain.start()
        overlay = folder / "plain.yaml"
        overlay.write_text(_ALSO_TO_PLAIN % plain.otlp_endpoint)
        stack.collector.overlays.append(overlay)
        stack.start()
        _play(stack, [plain, *(getattr(stack, name) for name in STORES)])
        yield stack, plain
    finally:
        stack.stop()
        plain.stop()


def _play(stack: Stack, stores: list[Store]) -> None:
    """The second process of each run, an SDK of its own, starts when the first is stored."""

    def stored(number: int) -> bool:
        return all(
            sum(row["value"][1] for row in store.query(f"last_over_time({requests_of(run)}[5m])"))
            == calls[number]
            for store in stores
            for run, calls in RUNS.items()
        )

    with FakeProviderThread() as provider:
        for number in range(2):
            for run, calls in RUNS.items():
                reader = exporting(stack.collector.http_endpoint, LosingTheFirst)
                with instrumented(reader, run) as meters:
                    call(provider.openai_url, 1)
                    meters.force_flush()
                    call(provider.openai_url, calls[number] - 1)
            wait_until(lambda number=number: stored(number), f"process {number + 1} is stored", 40)


def test_prometheus_counts_a_restart_by_its_start_timestamp(restarted: tuple[Stack, Store]) -> None:
    """The start timestamps of OTLP say that a counter began anew, also where it does not fall."""
    store = restarted[0].prometheus_otlp
    assert increases(store) == increases(store, "acquire_duration_seconds_count") == MADE
    for run in RUNS:
        resets = store.query(f"resets({requests_of(run)}[5m]) > 0")
        assert {row["value"][1] for row in resets} == {1}


def test_without_the_feature_it_does_not_see_the_one_that_rises(
    restarted: tuple[Stack, Store],
) -> None:
    """What an instance id for each process, or the feature, is needed for."""
    store = restarted[1]
    assert increases(store) == {"falls": MADE["falls"], "rises": LATEST["rises"]}
    assert not store.query(f"resets({requests_of('rises')}[5m]) > 0")


def test_a_scraped_collector_shows_a_restart_where_the_count_falls(
    restarted: tuple[Stack, Store],
) -> None:
    """Where it does not fall nothing is promised: its page shows the old count until the first
    export of the new process, and a 0 for the moment before that comes too late.
    """
    store = restarted[0].prometheus_scraping
    for of in ("requests_total", "acquire_duration_seconds_count"):
        assert increases(store, of)["falls"] == MADE["falls"]


def test_victoria_metrics_sees_a_restart_where_the_count_falls(
    restarted: tuple[Stack, Store],
) -> None:
    """It has no start timestamps: a count that is higher looks as if it went on."""
    found = {
        run: sum(
            row["value"][1]
            for row in restarted[0].victoria_metrics.query(f"increase({requests_of(run)}[5m])")
        )
        for run in RUNS
    }
    assert found == {"falls": MADE["falls"], "rises": LATEST["rises"]}
