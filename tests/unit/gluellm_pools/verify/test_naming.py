"""Which translation a store's names come from."""

import re

import pytest

from gluellm_pools.verify.naming import (
    NAMES,
    Style,
    foreign,
    matcher,
    selector,
    stored,
    styled,
    styles_of,
)
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from opentelemetry.instrumentation.gluellm.telemetry.prometheus import series_names
from opentelemetry.instrumentation.gluellm.telemetry.semconv import METRICS, Instrument


def names(style: Style, prefix: str = "") -> list[str]:
    """All names of the contract in one style."""
    found = []
    for metric in METRICS:
        name = prefix + styled(metric, style)
        histogram = metric.instrument == Instrument.HISTOGRAM
        found += [name + part for part in ("_bucket", "_sum", "_count")] if histogram else [name]
    return found


@pytest.mark.parametrize("style", Style)
@pytest.mark.parametrize("prefix", ["", "our_"])
def test_every_style_is_recognised(style, prefix):
    """All metrics are found, and one style explains all names, though some are the same in two."""
    found = stored(names(style, prefix))
    assert len(found) == len(METRICS)
    assert styles_of(found) == [style]
    assert {one.prefix for one in found} == {prefix}
    assert not any(one.native for one in found)
    assert all(re.fullmatch(NAMES, name) for name in names(style, prefix))  # they are asked for


def test_the_expected_style_is_that_of_the_reference():
    """What boards ask for. Two styles at once are both named, as after a change of the setting."""
    reference = {name for metric in METRICS for name in series_names(metric)}
    assert set(names(Style.EXPECTED)) == reference
    found = stored(names(Style.EXPECTED) + names(Style.DOTS))
    assert styles_of(found) == [Style.EXPECTED, Style.DOTS]
    assert not re.fullmatch(NAMES, "go_gc_duration_seconds")


def test_a_histogram_in_one_series_is_a_native_one():
    """Exponential histograms have no _bucket in Prometheus."""
    name = styled(semconv.LEASE_DURATION, Style.EXPECTED)
    (one,) = stored([name])
    assert one.native
    assert one.counted == name


def test_metrics_of_other_instrumentations_are_ignored():
    """Conventional names alone may come from another instrumentation."""
    theirs = ["http_client_open_connections", "http_client_request_duration_seconds_bucket"]
    assert stored(theirs) == []
    assert foreign(theirs, []) == [
        "http_client_open_connections",
        "http_client_request_duration_seconds",
    ]
    ours = stored([*theirs, *names(Style.EXPECTED)])
    assert foreign(theirs, ours) == ["http_client_request_duration_seconds"]


def test_names_with_dots_are_quoted():
    """Prometheus 3 and VictoriaMetrics read these."""
    assert selector("a_b") == "a_b"
    assert selector("a_b", ['c="d"']) == 'a_b{c="d"}'
    assert selector("a.b", ['c="d"']) == '{"a.b",c="d"}'
    assert matcher("a.b", 'x"\\') == '"a.b"="x\\"\\\\"'
