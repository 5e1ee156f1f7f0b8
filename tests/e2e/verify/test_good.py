"""A correct set-up on each ingestion path: the command names the path and reports no problem."""

import json

import pytest

from e2e.files import GRAFANA, RULES
from e2e.programs import Stack
from e2e.running import free_port
from gluellm_pools.prometheus import Way

from .conftest import SEVERAL, Programs, Verify, arrived

pytest.importorskip("any_llm")

_STORES = {
    Way.COLLECTOR: "prometheus_scraping",
    Way.PROMETHEUS: "prometheus_otlp",
    Way.VICTORIA_METRICS: "victoria_metrics",
    Way.READER: "prometheus_scraping",
}


@pytest.mark.parametrize("way", Way, ids=lambda way: way.name.lower())
def test_a_correct_set_up_has_no_findings(
    way: Way, stack: Stack, run: Programs, verify: Verify
) -> None:
    """The report has the path, the labels, and a result for each query that needs only calls."""
    store = getattr(stack, _STORES[way])
    if way is Way.READER:
        port = free_port()
        stack.start(store.name)
        run(port=port)
        store.scrape("programs", port)
    else:
        through_collector = way is Way.COLLECTOR
        stack.start(*["collector"] * through_collector, store.name)
        run(endpoint=stack.collector.http_endpoint if through_collector else store.otlp_endpoint)
    arrived(store)
    status, text = verify(store.url)
    assert "All good" in text, text
    assert status == 0
    assert f"{way.value} (" in text
    assert "newest sample" in text
    assert "22 of 23 have an answer" in text
    assert "s/s In which phase do requests spend their time? (highest of 6: " in text
    assert "no HTTP/2 connection yet" in text
    if way is not Way.READER:  # there, the job is that of the scrape
        assert "answers (1 instance)" in text
        assert "worker-0" in text


def test_a_service_is_found_by_its_name_with_or_without_its_namespace(
    stack: Stack, run: Programs, verify: Verify
) -> None:
    """The JSON report is limited to the service. A misspelt name is an error."""
    stack.start("prometheus_otlp")
    store = stack.prometheus_otlp
    for namespace, service in (("shop", "answers"), ("lab", "answers"), ("", "questions")):
        resource = {"service.name": service, "service.instance.id": f"{namespace}-1"}
        space = {"service.namespace": namespace} if namespace else {}
        run(endpoint=store.otlp_endpoint, resource={**resource, **space})
    arrived(store, f"count({SEVERAL}) > 2")
    shop, lab = {"shop/answers": ["shop-1"]}, {"lab/answers": ["lab-1"]}
    for name, services in (
        ("answers", {**shop, **lab}),
        ("shop/answers", shop),
        ("questions", {"questions": ["-1"]}),
    ):
        status, text = verify(store.url, "--json", "--service", name)
        assert status == 0, text
        found = json.loads(text)
        assert found["good"] is True
        (way,) = found["ways"]
        assert way["services"] == services
        assert (way["service_label"], way["instance_label"]) == ("job", "instance")
        assert "gluellm.pool.live" in {row["metric"] for row in found["metrics"]}
        assert sum(row["rows"] > 0 for row in found["queries"]) == 22
        assert found["missing"]
        assert all(gap["expected"] for gap in found["missing"])
    status, text = verify(store.url, "--service", "anwsers")
    assert status == 1
    assert "no process of the service 'anwsers' has data here" in text
    assert "services in this store: lab/answers, questions, shop/answers." in text


def test_a_metric_that_only_another_service_has_is_not_reported_as_a_wrong_label(
    stack: Stack, run: Programs, verify: Verify
) -> None:
    """A service without calls has no pools and no leases."""
    stack.start("prometheus_otlp")
    store = stack.prometheus_otlp
    idle = {"service.name": "idle", "service.instance.id": "0"}
    run(endpoint=store.otlp_endpoint, resource=idle, calls="none")
    run(endpoint=store.otlp_endpoint)
    arrived(store)
    arrived(store, 'gluellm_instrumentation_hook_missing{job="idle"}')
    _, text = verify(store.url, "--service", "idle")
    assert "it has answers" not in text


def test_every_query_of_the_boards_has_a_result_or_an_expected_reason(
    stack: Stack, run: Programs, verify: Verify
) -> None:
    """The rules are loaded. "All" includes series without a cluster or a version."""
    stack.prometheus_otlp.load_rules(RULES / "recording.yaml")
    stack.start("prometheus_otlp")
    store = stack.prometheus_otlp
    run(endpoint=store.otlp_endpoint)
    arrived(store)
    arrived(store, "instance_pool:gluellm_pool_requests:rate5m")
    status, text = verify(store.url, "--boards", str(GRAFANA))
    assert status == 0, text
    assert text.count("BOARD GlueLLM pools: ") == 4
    assert "NO DATA" not in text
    assert "variable $cluster" in text
    assert "annotation Limits changed" in text
    assert 'off by default: instrument(metrics="full")' in text
