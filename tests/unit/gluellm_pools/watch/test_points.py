"""Data points: what is kept of them, and what is refused."""

import pytest
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric

from gluellm_pools.watch.limits import BUCKETS
from gluellm_pools.watch.points import Point, UnfitPointError, point_of, series_of
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from support.otlp import CUMULATIVE, DELTA, POOL, histogram, number, pairs


def point(metric: Metric) -> Point:
    """The metric's only point. Raises UnfitPointError."""
    kind = metric.WhichOneof("data")
    (raw,) = getattr(metric, kind).data_points
    return point_of(metric, kind, raw)


def error_of(metric: Metric) -> str:
    """The error of the metric's only point."""
    with pytest.raises(UnfitPointError) as found:
        point(metric)
    return str(found.value)


def test_only_attributes_of_the_contract_are_kept():
    """They are printable. The others distinguish series but are not kept."""
    made = number(semconv.REQUESTS, 3, error__type="pool\x1b[2J_timeout", url__full="https://a/b")
    assert point(made).attributes == {**POOL, semconv.ERROR_TYPE: "pool?[2J_timeout"}


def test_series_are_distinguished_by_all_attributes():
    """Senders differ in the order of attributes."""

    def key(**attributes):
        return series_of(number(semconv.REQUESTS, 1, **attributes).sum.data_points[0])

    assert len({key(server__address=host) for host in ("a", "b", "a")}) == 2
    assert key(a="1", b="2") == key(b="2", a="1")


def test_an_exponential_histogram_has_a_count_and_no_buckets():
    """Its buckets can't be added to others."""
    made = Metric(name=semconv.ACQUIRE_DURATION.name)
    made.exponential_histogram.aggregation_temporality = CUMULATIVE
    raw = made.exponential_histogram.data_points.add(count=7, scale=3, max=1.5)
    raw.positive.bucket_counts.extend([3, 4])
    raw.attributes.extend(pairs(POOL))
    found = point(made)
    assert (found.count, found.explicit_bounds, found.max) == (7, None, 1.5)


@pytest.mark.parametrize(
    ("counts", "bounds", "message"),
    [
        ([1, 2], [0.5, 1.0], "2 bounds and 2 counts"),
        ([1, 2, 3], [1.0, 0.5], "don't increase"),
        ([1, 2], [float("nan")], "don't increase"),
        ([1, 2], [float("inf")], "don't increase"),
        ([1, 2**63], [1.0], "too large"),
        ([0] * (BUCKETS + 2), range(BUCKETS + 1), f"more than {BUCKETS} buckets"),
    ],
)
def test_invalid_buckets_are_refused(counts, bounds, message):
    """Quantiles are computed from them."""
    assert message in error_of(histogram(semconv.ACQUIRE_DURATION, counts, bounds))


def test_points_that_break_the_contract_are_refused():
    """The kind or temporality is wrong, or the value is missing or no number."""
    as_histogram = histogram(semconv.ACQUIRE_DURATION, [1], [])
    as_histogram.name = semconv.REQUESTS.name
    assert "found histogram" in error_of(as_histogram)
    assert "found sum" in error_of(number(semconv.ACQUIRE_DURATION, 1))
    summary = Metric(name=semconv.REQUESTS.name)
    summary.summary.data_points.add(count=1)
    assert "found summary" in error_of(summary)
    for other in (0, DELTA):
        assert "PREFERENCE=cumulative" in error_of(number(semconv.REQUESTS, 1, temporality=other))
    empty = number(semconv.REQUESTS, 1)
    empty.sum.data_points[0].ClearField("as_int")
    assert "no value" in error_of(empty)
    for value in (float("nan"), float("inf"), 1e300, 2**62):
        assert "not a number" in error_of(number(semconv.REQUESTS, value))
