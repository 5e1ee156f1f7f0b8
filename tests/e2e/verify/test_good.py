"""A set-up in good order, on each way: the command names the way and finds nothing wrong."""

from __future__ import annotations

import json

import pytest

from e2e.programs import Stack, Store, free_port
from opentelemetry.instrumentation.gluellm.telemetry.prometheus import Way

from .conftest import Run, Verify, arrived

pytest.importorskip("any_llm")

_SEVERAL = "count_over_time(gluellm_pool_lease_duration_seconds_count[1m]) > 3"


def through_the_collector(stack: Stack, run: Run) -> Store:
    """Scraped from the Collector's exporter."""
    stack.start("collector", "prometheus_scraping")
    run(endpoint=stack.collector.http_endpoint)
    return stack.prometheus_scraping


def to_prometheus(stack: Stack, run: Run) -> Store:
    """Sent to its OTLP endpoint."""
    stack.start("prometheus_otlp")
    run(endpoint=stack.prometheus_otlp.otlp_endpoint)
    return stack.prometheus_otlp


def to_victoria_metrics(stack: Stack, run: Run) -> Store:
    """Sent to its OTLP endpoint."""
    stack.start("victoria_metrics")
    run(endpoint=stack.victoria_metrics.otlp_endpoint)
    return stack.victoria_metrics


def scraped(stack: Stack, run: Run) -> Store:
    """Scraped from the program."""
    port = free_port()
    stack.start("prometheus_scraping")
    run(port=port)
    stack.prometheus_scraping.scrape("programs", port)
    return stack.prometheus_scraping


@pytest.mark.parametrize(
    ("way", "begin"),
    [
        (Way.COLLECTOR, through_the_collector),
        (Way.PROMETHEUS, to_prometheus),
        (Way.VICTORIA_METRICS, to_victoria_metrics),
        (Way.READER, scraped),
    ],
    ids=lambda value: value.name.lower() if isinstance(value, Way) else "",
)
def test_a_good_set_up_is_called_good(stack, run, verify: Verify, way, begin):
    """With its way, its labels, and an answer to each question that rests on calls alone."""
    store = begin(stack, run)
    arrived(store, _SEVERAL)
    status, text = verify(store.url)
    assert "Good so far" in text, text
    assert "INFO: rates too low" in text
    assert status == 0
    assert f"{way.value} (" in text
    assert "newest sample" in text
    assert "20 of 21 have an answer" in text
    assert "s/s In which phase do requests spend their time? (highest of 6: " in text
    assert "no HTTP/2 connection yet" in text
    if way is not Way.READER:  # there the job is that of the scrape
        assert "answers (1 process)" in text
        assert "worker-0" in text


def test_what_is_found_is_data_too(stack, run, verify: Verify):
    """As JSON, narrowed to one of two services."""
    stack.start("prometheus_otlp")
    store = stack.prometheus_otlp
    for service in ("answers", "questions"):
        run(
            endpoint=store.otlp_endpoint,
            resource={"service.name": service, "service.instance.id": service},
        )
    arrived(store, f"count({_SEVERAL}) > 1")
    status, text = verify(store.url, "--json", "--service", "questions")
    found = json.loads(text)
    assert status == 0
    assert found["good"] is True
    (way,) = found["ways"]
    assert way["services"] == {"questions": ["questions"]}
    assert (way["service_label"], way["instance_label"]) == ("job", "instance")
    rows = {row["metric"]: row for row in found["metrics"]}
    assert rows["gluellm.pool.live"]["series"] == 1
    assert found["missing"]
    assert all(gap["expected"] for gap in found["missing"])


def test_an_unknown_service_is_told_from_a_silent_one(stack, run, verify: Verify):
    """The name may be misspelt."""
    stack.start("prometheus_otlp")
    run(endpoint=stack.prometheus_otlp.otlp_endpoint)
    arrived(stack.prometheus_otlp, _SEVERAL)
    status, text = verify(stack.prometheus_otlp.url, "--service", "anwsers")
    assert status == 1
    assert "no process of the service 'anwsers' has data here" in text
    assert "the services here: answers." in text


def test_a_service_is_found_by_its_name_without_its_namespace(stack, run, verify: Verify):
    """The job is then namespace/name: either is understood, for findings and queries."""
    stack.start("prometheus_otlp")
    store = stack.prometheus_otlp
    for namespace in ("shop", "lab"):
        run(
            endpoint=store.otlp_endpoint,
            resource={
                "service.name": "answers",
                "service.namespace": namespace,
                "service.instance.id": namespace,
            },
        )
    arrived(store, f"count({_SEVERAL}) > 1")
    both = {"shop/answers", "lab/answers"}
    for name, services in (("answers", both), ("shop/answers", {"shop/answers"})):
        status, text = verify(store.url, "--json", "--service", name)
        found = json.loads(text)
        assert status == 0, text
        (way,) = found["ways"]
        assert set(way["services"]) == services
        assert sum(row["rows"] > 0 for row in found["queries"]) == 20
