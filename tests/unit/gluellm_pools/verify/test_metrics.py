"""Names of stored metrics, and reasons for missing ones."""

import re
import tomllib
from importlib.resources import files

import pytest

from gluellm_pools.prometheus import series_names
from gluellm_pools.verify.metrics import NAMES, REMOVED, forms, missing, stored
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from opentelemetry.instrumentation.gluellm.telemetry.semconv import METRICS, Instrument

from .test_findings import LEAN, stored_as_expected


def names(style=0, prefix=""):
    """All names of the contract in one style: the expected one, or the plainest."""
    found = []
    for metric in METRICS:
        name = prefix + forms(metric)[style]
        histogram = metric.instrument == Instrument.HISTOGRAM
        found += [name + part for part in ("_bucket", "_sum", "_count")] if histogram else [name]
    return found


@pytest.mark.parametrize("style", [0, -1])
@pytest.mark.parametrize("prefix", ["", "our_"])
def test_metrics_are_recognized_under_other_names(style, prefix):
    """All are found, and the query covers all names."""
    found = stored(names(style, prefix))
    assert [one.metric for one in found] == list(METRICS)
    assert not any(one.native for one in found)
    assert all(re.fullmatch(NAMES, name) for name in names(style, prefix))


def test_the_expected_names_are_those_of_the_reference():
    """The boards query these names."""
    assert set(names()) == {name for metric in METRICS for name in series_names(metric)}
    assert not re.fullmatch(NAMES, "go_gc_duration_seconds")


def test_recording_rules_are_no_prefix():
    """This holds for names with colons, as is convention, and for copies of a few names."""
    rules = ["job:gluellm_pool_live", "our:team_gluellm_pool_live", "team_gluellm_pool_live"]
    assert stored([*names(), *rules]) == stored(names())
    assert stored(rules[:2]) == []


def test_a_histogram_in_one_series_is_a_native_one():
    """Exponential histograms have no _bucket in Prometheus."""
    (one,) = stored([forms(semconv.LEASE_DURATION)[0]])
    assert one.native
    assert one.counted == one.name


def test_metrics_of_other_instrumentations_are_ignored():
    """Conventional names alone may come from another instrumentation."""
    others = ["http_client_open_connections", "http_client_request_duration_bucket", "dns_query_ms"]
    assert stored(others) == []
    assert stored([*names(), *others]) == stored(names())
    assert [one.name for one in stored(["our_gluellm_pool_live", *others])] == [
        "our_gluellm_pool_live"
    ]


def test_each_reason_is_of_a_metric_of_the_contract():
    text = files("gluellm_pools.verify").joinpath("missing.toml").read_text()
    assert tomllib.loads(text).keys() <= {metric.name for metric in METRICS}


def test_what_is_off_by_default_is_in_order():
    """With full metrics, the reasons differ."""
    found = missing(stored_as_expected(*LEAN))
    assert not any(reason.finding for reason in found.values())
    assert found[semconv.CONNECTION_TLS_DURATION].text.endswith('instrument(metrics="full")')
    assert "time_in_queue=True" in found[semconv.REQUEST_TIME_IN_QUEUE].text
    full = missing(stored_as_expected(*LEAN, semconv.RESPONSE_WAIT_DURATION))
    assert full[semconv.STREAM_ACQUIRE_DURATION].text == "no HTTP/2 connection yet"
    assert full[semconv.CONNECTION_TLS_DURATION].text == "no such event yet"


@pytest.mark.parametrize("metric", LEAN, ids=lambda metric: metric.name)
def test_each_missing_metric_has_a_reason(metric):
    """Either it may be absent, or something removed it."""
    reason = missing(stored_as_expected(*(one for one in LEAN if one is not metric)))[metric]
    assert reason.text
    assert reason == REMOVED or not reason.finding
