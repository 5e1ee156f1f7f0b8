"""Findings on the contents of a store."""

import dataclasses

import pytest

from gluellm_pools.verify.contents import Contents, StoredProcess
from gluellm_pools.verify.findings import findings
from gluellm_pools.verify.metrics import Stored, forms
from gluellm_pools.verify.paths import paths
from gluellm_pools.verify.product import PROMETHEUS, VICTORIA_METRICS, Product
from gluellm_pools.verify.report import StoreReport, as_text
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from opentelemetry.instrumentation.gluellm.telemetry.semconv import METRICS, Instrument, Metric

NOW = 1_000_000.0
LABELS = {"job": "api", "instance": "a"}
LEAN = tuple(
    metric
    for metric in METRICS
    if not metric.full and not metric.setting and metric is not semconv.INSTRUMENTATION_ERRORS
)
_GROWING = (Instrument.OBSERVABLE_COUNTER, Instrument.HISTOGRAM)
_OF_PROCESS = (semconv.EVENT_LOOP_LAG_PEAK, semconv.HOOK_MISSING, semconv.INSTRUMENTATION_DROPPED)
_EXPORTED = {**LABELS, "exported_job": "api", "exported_instance": "a"}


def stored_as_expected(*metrics: Metric) -> list[Stored]:
    """These metrics, under the names that boards query."""
    return [Stored(metric, forms(metric)[0]) for metric in metrics]


def given(**more) -> Contents:
    """The contents of a healthy store, with these changes."""
    stored = more.pop("stored", stored_as_expected(*LEAN))
    good = Contents(
        Product(PROMETHEUS, "3.16.0"),
        "http://h",
        NOW,
        3600.0,
        stored=stored,
        fresh={one.counted for one in stored},
        processes=[StoredProcess(LABELS, NOW - 5)],
        interval=15.0,
    )
    return dataclasses.replace(good, **more)


def kinds(contents: Contents) -> list[str]:
    """Severity and kind of each finding."""
    return [f"{one.severity}: {one.kind}" for one in findings(contents)]


def one(labels, newest=NOW, lives=True):
    return {"processes": [StoredProcess(labels, newest, lives)]}


def without(*metrics):
    return {"stored": stored_as_expected(*(metric for metric in LEAN if metric not in metrics))}


@pytest.mark.parametrize(
    ("more", "found"),
    [
        ({}, []),
        (one(LABELS, NOW - 700, lives=False), ["error: stopped"]),
        (one({"job": "api"}), ["warning: no_instance"]),
        (
            {
                **one({"job": "api", "instance": "c:8889", "otel_scope_name": "x"}),
                "targets": {("collector", "c:8889")},
            },
            ["warning: no_instance"],
        ),
        (one({**LABELS, "job": "unknown_service"}), ["warning: service_unnamed"]),
        (one(_EXPORTED), ["error: labels_exported"]),
        ({"falling": (LABELS, 0.4)}, ["error: processes_collide"]),
        (
            {"falling": (LABELS, 0.4), "product": Product(VICTORIA_METRICS)},
            ["error: counters_fall"],
        ),
        ({"failures": ["collection (2)"]}, ["warning: own_failures"]),
        ({"stored": [Stored(semconv.POOL_LIVE, "gluellm.pool.live")]}, ["error: names_differ"]),
        ({"stored": [], "empty": True}, ["error: store_empty"]),
        ({"stored": [], "others": ["http_client_duration"]}, ["error: another_instrumentation"]),
        ({"processes": [], "service": "x"}, ["error: service_unknown"]),
        # As long as there is no call, these metrics are missing.
        ({"stored": stored_as_expected(*_OF_PROCESS)}, ["warning: no_call"]),
        # Gauges without a counter: the Collector's remote write drops deltas alone.
        (without(*(metric for metric in LEAN if metric.instrument in _GROWING)), ["error: delta"]),
        # State and counters of a pool need no event.
        *(
            (without(metric), ["warning: metrics_missing"])
            for metric in (semconv.POOL_LIVE, semconv.REQUEST_CURRENT, semconv.HOOK_MISSING)
        ),
    ],
)
def test_each_problem_has_its_finding(more, found):
    """Each case has one problem."""
    contents = given(**more)
    assert [kind for kind in kinds(contents) if "metrics_missing" not in kind or kind in found] == (
        found
    )


def test_labels_without_relabelling_are_a_warning():
    """VictoriaMetrics stores them without relabelling; with it they are job and instance."""
    labels = {"service_name": "api", "service_instance_id": "a", "scope_name": "gluellm"}
    contents = given(product=Product(VICTORIA_METRICS), **one(labels))
    assert kinds(contents) == ["warning: labels_of_their_own"]
    (finding,) = findings(contents)
    assert "service and process are in service_name and service_instance_id" in finding.observed
    assert "-relabelConfig" in finding.advice
    assert kinds(given(product=Product(VICTORIA_METRICS), **one({**labels, **LABELS}))) == []


def test_only_services_without_a_name_are_listed():
    """Another program's missing name is not blamed on a service that has one."""
    unnamed = StoredProcess({**LABELS, "job": "unknown_service:python"}, NOW)
    (found,) = findings(given(processes=[StoredProcess(LABELS, NOW), unnamed]))
    assert found.observed == "unknown_service:python: programs without a service name"


def test_one_instance_on_two_paths_is_counted_twice():
    """Two services and ended paths are not reported."""
    scraped = StoredProcess({**LABELS, "otel_scope_name": "gluellm"}, NOW)
    assert kinds(given(processes=[StoredProcess(LABELS, NOW), scraped])) == ["error: arrives_twice"]
    other = StoredProcess({**LABELS, "job": "web"}, NOW)
    ended = StoredProcess(LABELS, NOW - 600, lives=False)
    for harmless in (other, ended):
        assert kinds(given(processes=[harmless, scraped])) == []


def test_series_that_ended_are_not_judged():
    """After a fix, the old series stay in the window."""
    ended = StoredProcess(_EXPORTED, NOW - 50, lives=False)
    assert kinds(given(processes=[ended, StoredProcess(LABELS, NOW)])) == []
    both = given()
    both.stored = [*both.stored, Stored(semconv.POOL_LIVE, "gluellm.pool.live")]
    assert kinds(both) == []


def test_a_target_that_cannot_be_scraped_is_named_with_its_error():
    """Prometheus reports the error of each target."""
    down = ["col http://c:8889/metrics: refused"]
    for contents in (
        given(down=down, **one(LABELS, 1.0, lives=False)),
        given(stored=[], down=down),
    ):
        (finding,) = findings(contents)
        assert "Prometheus can't scrape col http://c:8889/metrics: refused" in finding.observed


def test_an_empty_store_comes_with_the_next_steps():
    """Its own address for metrics is among them."""
    (finding,) = findings(
        given(stored=[], empty=True, product=Product(PROMETHEUS, takes_otlp=False))
    )
    assert "its OTLP endpoint is off" in finding.observed
    assert finding.advice.startswith("1. Is the program instrumented?")
    assert "http://h/api/v1/otlp/v1/metrics" in finding.advice
    (finding,) = findings(given(stored=[], product=Product("Thanos")))
    assert "http://h" not in finding.advice


def test_an_unknown_service_comes_with_the_known_ones():
    """The advice lists some, and counts the others."""
    services = [f"s{number}" for number in range(500)]
    (finding,) = findings(given(processes=[], service="x", services=services))
    assert "s0, s1" in finding.advice
    assert "and 488 more" in finding.advice


def test_cut_answers_are_reported():
    (finding,) = findings(given(), ["up", "up"])
    assert finding.observed == "more than 10000 series in the answer to up"


def test_the_report_fits_a_terminal_and_keeps_foreign_text_harmless():
    """80 columns, and no escape sequence of a label's value."""
    hostile = "\x1b]0;owned\x07" + "x" * 300
    labels = {"job": hostile, "instance": "i\n" * 200}
    contents = given(falling=(labels, 0.5), down=[hostile], **one(labels, NOW - 700, lives=False))
    found = paths(contents, contents.processes)
    text = as_text(StoreReport(contents, found, findings(contents), []))
    assert "\x1b" not in text
    assert "\x07" not in text
    assert max(map(len, text.splitlines())) <= 80
