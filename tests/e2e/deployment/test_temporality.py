"""Delta temporality, with the example's Collector that computes cumulative sums."""

from collections.abc import Iterator

import pytest

from e2e.calls import call, exporting, instrumented
from e2e.processes import EXAMPLES
from e2e.programs import STORES, Stack, Store
from gluellm_pools.fake_provider import FakeProvider
from support.waiting import wait_until

OVERLAY = EXAMPLES / "collector-delta.yaml"
_FIRST, _SECOND = 3, 4
_CALLS = _FIRST + _SECOND
_VARIABLE = "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE"

pytest.importorskip("any_llm")


@pytest.fixture(scope="module")
def shared_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """All programs. The Collector sends through `deltatocumulative` to both OTLP endpoints."""
    folder = tmp_path_factory.mktemp("stack")
    stack = Stack(folder)
    also = folder / "also.yaml"
    also.write_text(OVERLAY.read_text().replace("prometheus", "victoria_metrics"))
    stack.collector.overlays += [OVERLAY, also]
    try:
        stack.start()
        yield stack
    finally:
        stack.stop()


@pytest.fixture(autouse=True)
def delta(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make exporters prefer delta temporality."""
    monkeypatch.setenv(_VARIABLE, "delta")


def export(endpoint: str, provider: FakeProvider, instance: str) -> None:
    """Make seven calls, with an export after the third and one at the end."""
    with instrumented(exporting(endpoint), instance) as meters:
        call(provider.openai_url, _FIRST)
        meters.force_flush()
        call(provider.openai_url, _SECOND)
        meters.force_flush()


def last(store: Store, name: str, instance: str) -> float | None:
    """Return the latest sum over a metric's series of one process, or None without series."""
    found = store.query(f'sum(last_over_time({name}{{service_instance_id="{instance}"}}[5m]))')
    return found[0]["value"][1] if found else None


def requests_and_leases(store: Store, instance: str) -> tuple[float | None, float | None]:
    """Return the last stored values of a counter and of a histogram's count."""
    return (
        last(store, "gluellm_pool_requests_total", instance),
        last(store, "gluellm_pool_lease_duration_seconds_count", instance),
    )


@pytest.mark.parametrize("way", STORES)
def test_a_collector_with_deltatocumulative_exports_sums(
    way: str, shared_stack: Stack, provider: FakeProvider
) -> None:
    """The OTLP endpoints need the example's file. The Prometheus exporter sums up by itself."""
    export(shared_stack.collector.http_endpoint, provider, f"summed-{way}")
    store, sums = getattr(shared_stack, way), (_CALLS, _CALLS)
    wait_until(lambda: requests_and_leases(store, f"summed-{way}") == sums, f"{sums} in {way}")


@pytest.mark.parametrize("way", ["prometheus_otlp", "victoria_metrics"])
def test_a_second_process_under_one_id_adds_to_the_sums(
    way: str, shared_stack: Stack, provider: FakeProvider
) -> None:
    """A crash loop is visible; its cumulative counters would be the same after each run."""
    store, instance = getattr(shared_stack, way), f"again-{way}"
    for total in (_CALLS, 2 * _CALLS):
        export(shared_stack.collector.http_endpoint, provider, instance)
        wait_until(
            lambda total=total: last(store, "gluellm_calls_total", instance) == total,
            f"{total} in {way}",
        )
