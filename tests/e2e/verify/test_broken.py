"""Set-ups that are broken in ways that people meet: the command names the cause and the cure."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from e2e.programs import Stack, Store
from support.waiting import wait_until

from .conftest import Run, Verify, arrived

pytest.importorskip("any_llm")

_SEVERAL = "count_over_time(gluellm_pool_lease_duration_seconds_count[1m]) > 3"
_SHARED = {"service.name": "answers", "service.instance.id": "the-one"}


def test_two_workers_with_one_instance_collide(stack: Stack, run: Run, verify: Verify):
    """As after a fork, or with an instance id that a deployment sets for all."""
    stack.start("prometheus_otlp")
    store = stack.prometheus_otlp
    run(endpoint=store.otlp_endpoint, resource=_SHARED)
    run(endpoint=store.otlp_endpoint, resource=_SHARED)
    arrived(store, "resets(gluellm_pool_requests_total[1m]) > 4")
    status, text = verify(store.url)
    assert status == 1
    assert "ERROR: processes collide" in text, text
    assert "counters of job=answers instance=the-one" in text
    assert "several processes write into the same series" in text
    assert "give each process its own service.instance.id" in text


def test_processes_without_an_instance_are_warned_of(stack: Stack, run: Run, verify: Verify):
    """One such process is well; the second one would spoil its numbers."""
    stack.start("prometheus_otlp")
    store = stack.prometheus_otlp
    run(endpoint=store.otlp_endpoint, resource={"service.name": "answers"})
    arrived(store, _SEVERAL)
    status, text = verify(store.url)
    assert status == 1
    assert "WARNING: no instance" in text, text
    assert "answers: no label tells its processes apart" in text
    assert "service.instance.id" in text


def test_without_an_instance_the_collector_s_address_stands_for_it(
    stack: Stack, run: Run, verify: Verify
):
    """There is a label, and it tells nothing."""
    stack.start("collector", "prometheus_scraping")
    run(endpoint=stack.collector.http_endpoint, resource={"service.name": "answers"})
    arrived(stack.prometheus_scraping, _SEVERAL)
    status, text = verify(stack.prometheus_scraping.url)
    assert status == 1
    assert "WARNING: no instance" in text, text
    assert "instance is the Collector's address" in text


def test_a_scrape_without_honor_labels(stack: Stack, run: Run, verify: Verify):
    """All processes of all services look like one."""
    configuration = stack.prometheus_scraping.configuration
    text = configuration.read_text()
    assert "honor_labels: true" in text
    configuration.write_text(text.replace("honor_labels: true", "honor_labels: false"))
    stack.start("collector", "prometheus_scraping")
    run(endpoint=stack.collector.http_endpoint)
    arrived(stack.prometheus_scraping, _SEVERAL)
    status, text = verify(stack.prometheus_scraping.url)
    assert status == 1
    assert "ERROR: labels exported" in text, text
    assert "Collector's Prometheus exporter (" in text
    assert "service is the label exported_job: answers" in text
    assert "in Prometheus' scrape_configs, for the job that scrapes the Collector: honor" in text


@pytest.mark.parametrize(
    ("strategy", "style"),
    [
        ("NoTranslation", "dots kept, no suffixes"),
        ("NoUTF8EscapingWithSuffixes", "dots kept, with suffixes"),
    ],
)
def test_names_that_keep_their_dots(stack, run, verify: Verify, strategy, style):
    """Prometheus' OTLP endpoint with another translation: the boards' names are not there."""
    configuration = stack.prometheus_otlp.configuration
    text = configuration.read_text()
    assert "UnderscoreEscapingWithSuffixes" in text
    configuration.write_text(text.replace("UnderscoreEscapingWithSuffixes", strategy))
    stack.start("prometheus_otlp")
    store = stack.prometheus_otlp
    run(endpoint=store.otlp_endpoint)
    arrived(store, '{"gluellm.pool.live"} > 0')
    status, text = verify(store.url)
    assert status == 1
    assert f"names are stored with {style}:" in text, text
    assert f"(it is {strategy})" in text
    assert "translation_strategy: UnderscoreEscapingWithSuffixes" in text
    assert f"its metric is stored under another name: {style}" in text


def test_names_without_suffixes_and_with_a_prefix(stack, run, verify: Verify, tmp_path):
    """Two settings of the Collector's exporter."""
    overlay = tmp_path / "names.yaml"
    overlay.write_text(
        "exporters:\n  prometheus:\n    namespace: our\n"
        "    translation_strategy: UnderscoreEscapingWithoutSuffixes\n"
    )
    stack.collector.overlays.append(overlay)
    stack.start("collector", "prometheus_scraping")
    run(endpoint=stack.collector.http_endpoint)
    store = stack.prometheus_scraping
    arrived(store, "count_over_time(our_gluellm_pool_requests[1m]) > 3")
    status, text = verify(store.url)
    assert status == 1
    assert "names are stored with underscores, no suffixes: our_gluellm_pool_" in text, text
    assert "names begin with our_" in text
    assert "take `namespace` out of the Collector's prometheus exporter" in text


def test_data_of_another_instrumentation_only(stack: Stack, run: Run, verify: Verify):
    """The export works, and nobody called instrument()."""
    stack.start("prometheus_otlp")
    store = stack.prometheus_otlp
    run(endpoint=store.otlp_endpoint, instrument="httpx", calls="httpx")
    arrived(store, '{__name__=~"http_client_.*_count"} > 0')
    status, text = verify(store.url)
    assert status == 1
    assert "ERROR: another instrumentation" in text, text
    assert "http_client_duration" in text
    assert "GlueLLMInstrumentor().instrument() was not called" in text


def test_an_empty_store(stack: Stack, verify: Verify):
    """What to do next stands there in order."""
    stack.start("victoria_metrics")
    status, text = verify(stack.victoria_metrics.url)
    assert status == 1
    assert "ERROR: store empty" in text, text
    assert "1. Is the program instrumented?" in text
    assert "2. Does it export metrics?" in text
    assert f"for this store {stack.victoria_metrics.url}/opentelemetry/v1/metrics" in text
    assert "look for `Exporting failed. Dropping data.` in its log" in text


def test_a_program_without_a_call_yet(stack: Stack, run: Run, verify: Verify):
    """Instrumented and exporting; the pools' metrics come with the first call."""
    stack.start("prometheus_otlp")
    store = stack.prometheus_otlp
    run(endpoint=store.otlp_endpoint, calls="")
    arrived(store, "count_over_time(gluellm_instrumentation_dropped_total[1m]) > 3")
    status, text = verify(store.url)
    assert status == 1
    assert "WARNING: no call" in text, text
    assert "no pool has served a request yet" in text
    assert 'instrument(scope="all")' in text


def test_samples_that_are_old(stack: Stack, run: Run, verify: Verify):
    """The process has ended, or its clock is behind: nobody can tell from here."""
    stack.start("prometheus_otlp")
    store = stack.prometheus_otlp
    run(endpoint=store.otlp_endpoint, behind=600)
    arrived(store, "count_over_time(gluellm_pool_lease_duration_seconds_count[15m]) > 3")
    status, text = verify(store.url)
    assert status == 1
    assert "ERROR: stopped" in text, text
    assert "the newest sample is 10 min old" in text
    assert "clock is that far behind" in text
    assert "no sample for 5 min: nothing is exported any more" in text


def test_deltas_that_prometheus_refuses(stack: Stack, run: Run, verify: Verify):
    """It takes nothing of such an export, gauges included; the program's log knows."""
    stack.start("prometheus_otlp")
    run(endpoint=stack.prometheus_otlp.otlp_endpoint, temporality="delta")
    wait_until(lambda: "invalid temporality" in stack.prometheus_otlp.log_tail())
    status, text = verify(stack.prometheus_otlp.url)
    assert status == 1
    assert "ERROR: store empty" in text, text
    assert "unset OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE" in text


def test_deltas_that_victoria_metrics_stores(stack: Stack, run: Run, verify: Verify):
    """As they are: one process, whose counters fall at will in a steady rhythm."""
    stack.start("victoria_metrics")
    store = stack.victoria_metrics
    run(endpoint=store.otlp_endpoint, temporality="delta")
    arrived(store, "resets(gluellm_pool_request_time_seconds_total[1m]) > 4")
    status, text = verify(store.url)
    assert status == 1
    assert "ERROR: deltas stored" in text, text
    assert "come in the rhythm of one exporter" in text
    assert "cure: unset OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE" in text
    assert "processes collide" not in text


def test_exponential_histograms_are_no_fault(
    stack: Stack, run: Run, verify: Verify, tmp_path: Path
):
    """Stored as native ones, which our queries read. A board of one's own may read _bucket."""
    stack.start("prometheus_otlp")
    store = stack.prometheus_otlp
    run(endpoint=store.otlp_endpoint, exponential=True)
    arrived(store, "count_over_time(gluellm_pool_lease_duration_seconds[1m]) > 3")
    status, text = verify(store.url)
    assert status == 0, text
    assert "INFO: native histograms" in text
    query = "sum by (le) (rate(gluellm_pool_lease_duration_seconds_bucket[5m]))"
    panels = [{"title": "leases", "targets": [{"expr": query}]}]
    (tmp_path / "own.json").write_text(json.dumps({"title": "Own", "panels": panels}))
    status, text = verify(store.url, "--boards", str(tmp_path))
    assert status == 1
    assert "is stored as a native histogram, without _bucket" in text


def test_data_that_comes_twice(stack: Stack, run: Run, verify: Verify):
    """Sent to a store that also scrapes it: all sums are doubled."""
    stack.start("collector", "prometheus_scraping", "prometheus_otlp")
    store: Store = stack.prometheus_otlp
    stack.prometheus_otlp.scrape("collector", stack.collector.ports["scrape"])
    run(endpoint=stack.collector.http_endpoint)
    arrived(store, f"count({_SEVERAL}) > 1")
    status, text = verify(store.url)
    assert status == 1
    assert "ERROR: arrives twice" in text, text
    assert "Collector's Prometheus exporter and Prometheus' OTLP endpoint at once" in text


def test_what_is_no_store(stack: Stack, verify: Verify):
    """The Collector's own ports, which people have at hand."""
    stack.start("collector", "prometheus_scraping")
    for url in (stack.collector.scrape_url, stack.collector.scrape_url.removesuffix("/metrics")):
        status, text = verify(url)
        assert status == 2
        assert "this is a page to be scraped" in text
    status, text = verify(stack.collector.http_endpoint)
    assert status == 2
    assert "this takes OTLP" in text


def test_victoria_metrics_without_relabelling(
    stack: Stack, run: Run, verify: Verify, monkeypatch: pytest.MonkeyPatch
):
    """It makes no job and instance of the resource's attributes by itself."""
    store = stack.victoria_metrics
    command = type(store).command
    monkeypatch.setattr(
        type(store),
        "command",
        lambda self, executable: [
            word for word in command(self, executable) if "relabelConfig" not in word
        ],
    )
    stack.start("victoria_metrics")
    run(endpoint=store.otlp_endpoint)
    arrived(store, _SEVERAL)
    status, text = verify(store.url)
    assert status == 1
    assert "WARNING: labels of their own" in text, text
    assert "service and process are in service_name and service_instance_id" in text
    assert "start VictoriaMetrics with -relabelConfig" in text
