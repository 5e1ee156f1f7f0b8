"""Delta temporality: which way adds it up, which refuses it, and which stores it as a sum."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.programs import Stack, Store
from opentelemetry.instrumentation.gluellm.cli.fake_provider import FakeProvider
from support.waiting import wait_until

from .calls import ask, call, client, exporting, instrumented

OVERLAY = Path(__file__).parents[3] / "docs" / "examples" / "collector-delta.yaml"
_FIRST, _SECOND = 3, 4
_CALLS = _FIRST + _SECOND
_VARIABLE = "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE"

pytest.importorskip("any_llm")


@pytest.fixture(scope="module")
def shared_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """All programs; the Collector's ways to both OTLP endpoints by `deltatocumulative`."""
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


def export(endpoint: str, provider: FakeProvider, instance: str) -> None:
    """Seven calls, with an export after the third and one at the end."""
    with instrumented(exporting(endpoint), instance) as meters:
        call(provider.openai_url, _FIRST)
        meters.force_flush()
        call(provider.openai_url, _SECOND)
        meters.force_flush()


def leases(store: Store, instance: str) -> float | None:
    """The count of the lease histogram, as stored last; None when there is none."""
    return last(store, "gluellm_pool_lease_duration_seconds_count", instance)


def last(store: Store, name: str, instance: str, **labels: str) -> float | None:
    """The latest value of the sum over a metric's series of one process."""
    which = f'service_instance_id="{instance}"'
    which += "".join(f',{label}="{value}"' for label, value in labels.items())
    found = store.query(f"sum(last_over_time({name}{{{which}}}[5m]))")
    return found[0]["value"][1] if found else None


def answered(store: Store, instance: str) -> float | None:
    """Requests that were answered with 200, as stored last."""
    return last(store, "gluellm_pool_requests_total", instance, http_response_status_code="200")


@pytest.mark.parametrize("way", ["prometheus_scraping", "prometheus_otlp", "victoria_metrics"])
def test_a_collector_with_deltatocumulative_hands_sums_on(
    way: str, shared_stack: Stack, provider: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The example's file for the OTLP endpoints; the Prometheus exporter adds up by itself."""
    monkeypatch.setenv(_VARIABLE, "delta")
    store = getattr(shared_stack, way)
    export(shared_stack.collector.http_endpoint, provider, f"summed-{way}")
    wait_until(lambda: leases(store, f"summed-{way}") == _CALLS, f"{_CALLS} leases in {way}")
    assert answered(store, f"summed-{way}") == _CALLS


def test_prometheus_refuses_delta(
    shared_stack: Stack,
    provider: FakeProvider,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Its OTLP endpoint answers 500, and says why in its own log only."""
    monkeypatch.setenv(_VARIABLE, "delta")
    with caplog.at_level(logging.ERROR):
        export(shared_stack.prometheus_otlp.otlp_endpoint, provider, "refused")
    assert "Failed to export metrics batch code: 500, reason: Internal Server Error" in caplog.text
    assert "invalid temporality and type combination" in shared_stack.prometheus_otlp.log_tail()
    assert leases(shared_stack.prometheus_otlp, "refused") is None
    assert answered(shared_stack.prometheus_otlp, "refused") is None


def test_victoria_metrics_stores_each_delta_as_if_it_were_the_sum(
    shared_stack: Stack,
    provider: FakeProvider,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Nothing is said, and the count is that of the last interval."""
    monkeypatch.setenv(_VARIABLE, "delta")
    with instrumented(exporting(shared_stack.victoria_metrics.otlp_endpoint), "silent") as meters:
        for times in (_FIRST, _SECOND):
            call(provider.openai_url, times)
            meters.force_flush()
            assert answered(shared_stack.victoria_metrics, "silent") == times
            assert leases(shared_stack.victoria_metrics, "silent") == times
    assert not caplog.records


@pytest.mark.parametrize(
    ("preference", "opened", "leased"), [("delta", (1, 0), (1, 2)), ("lowmemory", (1, 1), (1, 2))]
)
def test_what_the_preference_changes(
    preference: str,
    opened: tuple[int, int],
    leased: tuple[int, int],
    shared_stack: Stack,
    provider: FakeProvider,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Histograms always, counters by ``delta`` only, and what tells a state never."""
    monkeypatch.setenv(_VARIABLE, preference)
    store = shared_stack.victoria_metrics
    seen = []

    async def calls() -> None:
        async with client(provider.openai_url) as llm:
            for times in leased:
                await ask(llm, times)
                await asyncio.to_thread(meters.force_flush)
                names = "gluellm_pool_live", "gluellm_pool_opened_total"
                seen.append([last(store, name, preference) for name in names])
                seen[-1].append(leases(store, preference))

    with instrumented(exporting(store.otlp_endpoint), preference) as meters:
        asyncio.run(calls())
    assert seen == [[1, *values] for values in zip(opened, leased, strict=True)]
