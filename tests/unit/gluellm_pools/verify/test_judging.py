"""What is missing and why, and what is wrong: from facts alone."""

import dataclasses

import pytest

from gluellm_pools.verify import missing as reasons
from gluellm_pools.verify.facts import Facts, FallingCounter, Series
from gluellm_pools.verify.findings import findings
from gluellm_pools.verify.missing import missing
from gluellm_pools.verify.naming import Stored, Style, stored, styled
from gluellm_pools.verify.product import Kind, Product
from gluellm_pools.verify.report import Report, as_text
from gluellm_pools.verify.ways import arrivals
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from opentelemetry.instrumentation.gluellm.telemetry.semconv import METRICS, Instrument, Metric

_NOW = 1_000_000.0
_LABELS = {"job": "api", "instance": "a"}
_GROWING = (Instrument.OBSERVABLE_COUNTER, Instrument.HISTOGRAM)
_PROCESS = (semconv.EVENT_LOOP_LAG_PEAK, semconv.HOOK_MISSING, semconv.INSTRUMENTATION_DROPPED)
_LEAN = tuple(
    metric
    for metric in METRICS
    if not metric.full and not metric.setting and metric is not semconv.INSTRUMENTATION_ERRORS
)


def here(*metrics: Metric) -> list[Stored]:
    """As boards expect them."""
    return [Stored(metric, styled(metric, Style.EXPECTED), (Style.EXPECTED,)) for metric in metrics]


def given(**more) -> Facts:
    """A store in good order, but for what is given."""
    good = Facts(
        Product(Kind.PROMETHEUS, "3.16.0"),
        _NOW,
        3600.0,
        stored=here(*_LEAN),
        processes=[Series(_LABELS, _NOW - 5)],
        interval=15.0,
    )
    return dataclasses.replace(good, **more)


def kinds(facts: Facts) -> list[str]:
    """What is found, by its severity."""
    return [f"{one.severity}: {one.kind}" for one in findings(facts, arrivals(facts))]


def gaps(*metrics: Metric) -> dict[str, reasons.Missing]:
    return {gap.metric.name: gap for gap in missing(here(*metrics))}


def test_good_order_has_no_findings():
    """What is off by default is no trouble; with full metrics on it has another reason."""
    assert kinds(given()) == []
    found = gaps(*_LEAN)
    assert all(gap.expected for gap in found.values())
    for metric, reason in (
        (semconv.CONNECTION_TLS_DURATION, 'off by default: instrument(metrics="full")'),
        (semconv.REQUEST_TIME_IN_QUEUE, "off by default: instrument(time_in_queue=True)"),
    ):
        assert found[metric.name].reason == reason
    assert "good" in found[semconv.INSTRUMENTATION_ERRORS.name].reason
    full = gaps(*_LEAN, semconv.RESPONSE_WAIT_DURATION)
    assert full[semconv.STREAM_ACQUIRE_DURATION.name].reason == "no HTTP/2 connection yet"
    assert "yet" in full[semconv.CONNECTION_TLS_DURATION.name].reason
    names = [
        styled(metric, Style.EXPECTED) + part
        for metric in METRICS
        for part in (("_bucket", "_sum", "_count") if metric.buckets else ("",))
    ]
    assert kinds(given(stored=stored(names))) == []


@pytest.mark.parametrize("metric", _LEAN, ids=lambda metric: metric.name)
def test_each_metric_that_is_missing_has_a_reason(metric):
    """Either it may be absent, or something took it away on its way."""
    rest = [one for one in _LEAN if one is not metric]
    gap = gaps(*rest)[metric.name]
    assert gap.reason
    facts = given(stored=here(*rest))
    if gap.expected:
        assert kinds(facts) == []
    else:
        assert gap.reason == reasons.REMOVED
        assert kinds(facts) == ["warning: metrics_missing"]


def one(labels, newest=_NOW):
    return {"processes": [Series(labels, newest)]}


@pytest.mark.parametrize(
    ("more", "found"),
    [
        (one(_LABELS, _NOW - 700), ["error: stopped"]),
        (
            {"processes": [Series(_LABELS, _NOW), Series({**_LABELS, "instance": "b"}, 1.0)]},
            ["info: some_ended"],
        ),
        (one(_LABELS, _NOW + 60), ["warning: clock_ahead"]),
        (one({"job": "api"}), ["warning: no_instance"]),
        (one({**_LABELS, "job": "unknown_service"}), ["warning: service_unnamed"]),
        ({"interval": 120.0}, ["warning: interval_long"]),
        ({"falling": [FallingCounter(_LABELS, 9.0, 30.0)]}, ["error: processes_collide"]),
        ({"falling": [FallingCounter(_LABELS, 3.0, 240.0)]}, []),  # restarted under its name
        ({"writers": 2}, ["error: processes_collide"]),
        ({"missing_hooks": {"httpx": 1}}, ["warning: blind"]),
        ({"failures": {"collection": 3.0}}, ["warning: own_failures"]),
        ({"unknown": ["gluellm_pool_new"]}, ["info: names_unknown"]),
        ({"targets": {("api", "a"): 0.0}, "scraped": True}, ["warning: target_down"]),
        ({"stored": [], "empty": True}, ["error: store_empty"]),
        ({"stored": []}, ["error: no_data"]),
        ({"stored": [], "foreign": ["http_client_duration"]}, ["error: another_instrumentation"]),
        ({"stored": [], "earlier": True}, ["error: stopped"]),
        ({"stored": [], "ahead": True}, ["error: clock_ahead"]),
        ({"stored": [], "unknown": ["gluellm_new"]}, ["error: names_unknown"]),
        ({"processes": [], "service": "x"}, ["error: service_unknown"]),
        # No call yet explains all that is missing.
        ({"stored": here(*_PROCESS)}, ["warning: no_call"]),
        # Gauges without a counter: the Collector's remote write drops deltas alone.
        ({"stored": here(*(m for m in _LEAN if m.instrument not in _GROWING))}, ["error: delta"]),
        # State and counters of a pool don't wait for an event.
        *(
            ({"stored": here(*(m for m in _LEAN if m is not missed))}, ["warning: metrics_missing"])
            for missed in (
                *(semconv.POOL_LIVE, semconv.REQUEST_CURRENT),
                *(semconv.TIMEOUTS, semconv.HOOK_MISSING),
            )
        ),
    ],
)
def test_what_is_wrong_is_found(more, found):
    """One thing at a time."""
    assert kinds(given(**more)) == found


def test_labels_without_relabelling_are_a_warning():
    """VictoriaMetrics stores them without relabelling; with it they are job and instance."""
    labels = {"service_name": "api", "service_instance_id": "a", "scope_name": "gluellm"}
    store = Product(Kind.VICTORIA_METRICS, "1.151")
    facts = given(product=store, processes=[Series(labels, _NOW - 5)])
    assert kinds(facts) == ["warning: labels_of_their_own"]
    (finding,) = findings(facts, arrivals(facts))
    assert "service and process are in service_name and service_instance_id" in finding.observed
    assert "-relabelConfig" in finding.advice
    relabelled = [Series({**labels, **_LABELS}, _NOW - 5)]
    assert kinds(given(product=store, processes=relabelled)) == []


def test_a_target_that_can_t_be_scraped_is_named_with_its_error():
    """Prometheus knows what is wrong with it."""
    facts = given(processes=[Series(_LABELS, 1.0)], down=["col http://c:8889/metrics: refused"])
    (finding,) = findings(facts, arrivals(facts))
    assert "Prometheus can't scrape col http://c:8889/metrics: refused" in finding.advice


def test_the_report_fits_a_terminal_and_keeps_foreign_text_harmless():
    """80 columns, and no escape sequence of a label's value."""
    hostile = "\x1b]0;owned\x07" + "x" * 300
    labels = {"job": hostile, "instance": "i\n" * 200}
    facts = given(
        processes=[Series(labels, _NOW - 700)],
        unknown=[f"gluellm_{hostile}"],
        missing_hooks={hostile: 1},
        failures={hostile: 1.0},
        falling=[FallingCounter(labels, 20.0, 30.0)],
        down=[hostile],
    )
    found = arrivals(facts)
    text = as_text(Report("http://h", facts, found, findings(facts, found), []))
    assert "\x1b" not in text
    assert "\x07" not in text
    assert max(map(len, text.splitlines())) <= 80
