"""Common mistakes in a set-up: the command names the cause and the fix."""

import contextlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from e2e.files import GRAFANA
from e2e.programs import Stack
from support.waiting import wait_until

from .conftest import SEVERAL, Programs, Verify, arrived

pytest.importorskip("any_llm")

_SHARED = {"service.name": "answers", "service.instance.id": "the-one"}
_NO_INSTANCE = {"resource": {"service.name": "answers"}}
_SCRAPING, _OTLP, _VICTORIA = "prometheus_scraping", "prometheus_otlp", "victoria_metrics"
_WITHIN = 60.0


@dataclass(frozen=True, kw_only=True)
class Broken:
    """A broken set-up with one program. The scraped store gets its data through the Collector."""

    store: str = _OTLP
    change: tuple[str, str] | None = None
    """Text of Prometheus' configuration, and its replacement."""
    lacks: tuple[str, ...] = ()
    """Flags that the store is started without."""
    exporter: dict[str, str] = field(default_factory=dict)
    """Settings of the Collector's exporter."""
    run: dict[str, Any] = field(default_factory=dict)
    arrived: str = SEVERAL
    reported: tuple[str, ...]


BROKEN = {
    # All processes of the service write into the same series.
    "no instance": Broken(
        run=_NO_INSTANCE,
        reported=(
            "WARNING: no instance",
            "answers: no label distinguishes its processes",
            "service.instance.id",
        ),
    ),
    # The label exists, but is the same for all processes.
    "the collector's address for an instance": Broken(
        store=_SCRAPING,
        run=_NO_INSTANCE,
        reported=("WARNING: no instance", "instance is the Collector's address"),
    ),
    # Prometheus' OTLP endpoint translates names in another way.
    **{
        strategy: Broken(
            change=("UnderscoreEscapingWithSuffixes", strategy),
            arrived='{"gluellm.pool.live"} > 0',
            reported=(
                (
                    "metrics have other names: http.client.open_connections instead of "
                    "http_client_open_connections"
                ),
                "translation_strategy: UnderscoreEscapingWithSuffixes",
                f"its metric is stored as {name}",
            ),
        )
        for strategy, name in (
            ("NoTranslation", "gluellm.pool.requests"),
            ("NoUTF8EscapingWithSuffixes", "gluellm.pool.requests_total"),
        )
    },
    "no suffixes and a prefix": Broken(
        store=_SCRAPING,
        exporter={"namespace": "our", "translation_strategy": "UnderscoreEscapingWithoutSuffixes"},
        arrived="count_over_time(our_gluellm_pool_requests[1m]) > 3",
        reported=(
            "instead of http_client_open_connections",
            "its metric is stored as our_gluellm_pool_requests",
            "in the Collector's prometheus exporter",
            "without `namespace`",
        ),
    ),
    # The export works, but instrument() was not called.
    "another instrumentation only": Broken(
        run={"instrument": "httpx", "calls": "httpx"},
        arrived='{__name__=~"http_client_.*_count"} > 0',
        reported=(
            "ERROR: another instrumentation",
            "http_client_duration",
            "GlueLLMInstrumentor().instrument() was not called",
        ),
    ),
    # The first call creates the pools' metrics.
    "no call yet": Broken(
        run={"calls": ""},
        arrived="count_over_time(gluellm_instrumentation_dropped_total[1m]) > 3",
        reported=("WARNING: no call", "no pool has served a request:", 'instrument(scope="all")'),
    ),
    # The process has ended, or its clock is behind: the samples are the same.
    "old samples": Broken(
        run={"behind": 600},
        arrived="count_over_time(gluellm_pool_lease_duration_seconds_count[15m]) > 3",
        reported=(
            "ERROR: stopped",
            "the newest sample is 10 min old",
            "clock is that far behind",
            "no sample for 5 min: nothing is exported any more",
        ),
    ),
    # VictoriaMetrics stores deltas unchanged, so counters fall as if two processes shared them.
    "deltas stored as they are": Broken(
        store=_VICTORIA,
        run={"temporality": "delta"},
        arrived="resets(gluellm_pool_request_time_seconds_total[1m]) > 4",
        reported=(
            "ERROR: counters fall",
            "the program sends deltas, which this store keeps as they are",
            "advice: unset OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE",
        ),
    ),
    # VictoriaMetrics derives no job and instance from the resource by itself.
    "no relabelling": Broken(
        store=_VICTORIA,
        lacks=("--relabelConfig",),
        reported=(
            "WARNING: labels of their own",
            "service and process are in service_name and service_instance_id",
            "start VictoriaMetrics with -relabelConfig",
        ),
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_set_up_is_reported_with_its_fix(
    name: str, stack: Stack, run: Programs, verify: Verify, tmp_path: Path
) -> None:
    case = BROKEN[name]
    store = getattr(stack, case.store)
    store.lacks = case.lacks
    if case.change:
        store.change(*case.change)
    overlay = tmp_path / "exporter.yaml"
    overlay.write_text(json.dumps({"exporters": {"prometheus": case.exporter}}))
    stack.collector.overlays += [overlay] if case.exporter else []
    if case.store == _SCRAPING:
        stack.start("collector", case.store)
        run(endpoint=stack.collector.http_endpoint, **case.run)
    else:
        stack.start(case.store)
        run(endpoint=store.otlp_endpoint, **case.run)
    arrived(store, case.arrived)
    text = _report(verify, store.url, 1, *case.reported)
    assert "processes collide" not in text


def _report(verify: Verify, url: str, status: int, *texts: str) -> str:
    """Wait until the report has this status and these texts, since a busy program exports late."""
    found: tuple[int, str] = (0, "")

    def as_expected() -> bool:
        nonlocal found
        found = verify(url)
        return found[0] == status and all(text in found[1] for text in texts)

    with contextlib.suppress(AssertionError):  # the one below has the report
        wait_until(as_expected, timeout=_WITHIN)
    assert as_expected(), found
    return found[1]


def test_a_scrape_without_honor_labels_is_reported_until_it_is_fixed(
    stack: Stack, run: Programs, verify: Verify
) -> None:
    """All processes of all services look like one. After the fix, ended series are ignored."""
    store = stack.prometheus_scraping
    right, wrong = "honor_labels: true", "honor_labels: false"
    store.change(right, wrong)
    stack.start("collector", store.name)
    run(endpoint=stack.collector.http_endpoint)
    arrived(store)
    status, text = verify(store.url)
    assert status == 1
    assert "ERROR: labels exported" in text, text
    assert "Collector's Prometheus exporter (" in text
    assert "service: label exported_job, answers" in text
    assert "set honor_labels: true in Prometheus' scrape_configs" in text
    store.stop()
    store.change(wrong, right)
    store.start()
    text = _report(verify, store.url, 0)
    assert "labels exported" not in text, text


def test_two_workers_with_one_instance_collide_until_each_has_its_own(
    stack: Stack, run: Programs, verify: Verify
) -> None:
    """This happens after a fork, or with one id for a whole deployment."""
    stack.start(_OTLP)
    store = stack.prometheus_otlp
    for _ in range(2):
        run(endpoint=store.otlp_endpoint, resource=_SHARED)
    text = _report(verify, store.url, 1, "ERROR: processes collide")
    assert "counters of job=answers instance=the-one" in text
    assert "several processes write into the same series" in text
    assert "give each process its own service.instance.id" in text
    run.end()
    for _ in range(2):
        run(endpoint=store.otlp_endpoint)
    text = _report(verify, store.url, 0)
    assert "processes collide" not in text, text


def test_an_empty_store_is_reported_with_the_next_steps(stack: Stack, verify: Verify) -> None:
    """The finding explains all empty answers, so the boards' queries are not listed."""
    stack.start(_VICTORIA)
    status, text = verify(stack.victoria_metrics.url, "--boards", str(GRAFANA))
    assert status == 1
    assert "ERROR: store empty" in text, text
    assert "NO DATA" not in text
    assert "1. Is the program instrumented?" in text
    assert "2. Does it export metrics?" in text
    assert f"to {stack.victoria_metrics.url}/opentelemetry/v1/metrics" in text
    assert "look for `Exporting failed. Dropping data.` in its log" in text


def test_prometheus_is_reported_as_empty_if_it_refuses_deltas(
    stack: Stack, run: Programs, verify: Verify
) -> None:
    """It rejects the whole export, including gauges. The program's log has the reason."""
    stack.start(_OTLP)
    run(endpoint=stack.prometheus_otlp.otlp_endpoint, temporality="delta")
    wait_until(lambda: "invalid temporality" in stack.prometheus_otlp.log_tail())
    status, text = verify(stack.prometheus_otlp.url)
    assert status == 1
    assert "ERROR: store empty" in text, text
    assert "unset OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE" in text


def test_exponential_histograms_are_no_finding(
    stack: Stack, run: Programs, verify: Verify, tmp_path: Path
) -> None:
    """The essential queries read native histograms. Boards that read _bucket are reported."""
    stack.start(_OTLP)
    store = stack.prometheus_otlp
    run(endpoint=store.otlp_endpoint, exponential=True)
    arrived(store, "count_over_time(gluellm_pool_lease_duration_seconds[1m]) > 3")
    status, text = verify(store.url)
    assert status == 0, text
    query = "sum by (le) (rate(gluellm_pool_lease_duration_seconds_bucket[5m]))"
    panels = [{"title": "leases", "targets": [{"expr": query}]}]
    (tmp_path / "own.json").write_text(json.dumps({"title": "Own", "panels": panels}))
    status, text = verify(store.url, "--boards", str(tmp_path))
    assert status == 1
    assert "its metric is stored as a native histogram, without _bucket" in text


def test_data_that_arrives_twice_is_reported(stack: Stack, run: Programs, verify: Verify) -> None:
    """A store that also scrapes the Collector doubles all sums.

    The URLs of a scraped page and of an OTLP receiver are rejected: they are no stores.
    """
    stack.start("collector", _SCRAPING, _OTLP)
    store = stack.prometheus_otlp
    store.scrape("collector", stack.collector.ports["scrape"])
    run(endpoint=stack.collector.http_endpoint)
    arrived(store, f"count({SEVERAL}) > 1")
    status, text = verify(store.url)
    assert status == 1
    assert "ERROR: arrives twice" in text, text
    assert "Collector's Prometheus exporter and Prometheus' OTLP endpoint at once" in text
    for url, message in (
        (stack.collector.scrape_url, "this is a page to be scraped"),
        (stack.collector.scrape_url.removesuffix("/metrics"), "this is a page to be scraped"),
        (stack.collector.http_endpoint, "this is an OTLP receiver"),
    ):
        status, text = verify(url)
        assert (status, message in text) == (2, True), text
