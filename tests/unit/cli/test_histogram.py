"""Quantiles from buckets."""

import pytest

from opentelemetry.instrumentation.gluellm.cli.histogram import Histogram, Quantile

BOUNDS = (0.0, 1.0, 5.0)


def test_nothing_recorded_has_no_quantile():
    """No value is not 0."""
    assert Histogram().quantile(0.5) is None
    assert Histogram(BOUNDS, (0, 0, 0, 0)).quantile(0.5) is None


def test_immediate_acquires_are_exactly_0():
    """The first bucket ends at 0, and no wait is shorter."""
    assert Histogram(BOUNDS, (99, 1, 0, 0)).quantile(0.95) == Quantile(0.0)


def test_a_value_is_interpolated_in_its_bucket():
    """Half way through the bucket's values is half way through its width."""
    assert Histogram(BOUNDS, (0, 0, 10, 0)).quantile(0.5) == Quantile(3.0)


def test_the_largest_value_bounds_the_estimate():
    """A bucket is wider than what it holds."""
    assert Histogram(BOUNDS, (0, 0, 10, 0), longest=1.5).quantile(0.99) == Quantile(1.5)


def test_the_last_bucket_has_no_end():
    """All that is known is that the value is above the last bound."""
    assert Histogram(BOUNDS, (1, 0, 0, 9)).quantile(0.5) == Quantile(5.0, beyond=True)


def test_sums_and_differences():
    """Added up over origins, and subtracted for a window."""
    one, two = Histogram(BOUNDS, (1, 2, 0, 0), 0.7), Histogram(BOUNDS, (0, 1, 1, 0), 3.0)
    both = one.plus(two)
    assert both == Histogram(BOUNDS, (1, 3, 1, 0), 3.0)
    assert both.since(one).counts == (0, 1, 1, 0)
    assert Histogram().plus(one) == one


@pytest.mark.parametrize(
    "before",
    [Histogram((1.0,), (1, 1)), Histogram(BOUNDS, (9, 9, 9, 9))],
    ids=["other-buckets", "restarted"],
)
def test_what_can_not_be_subtracted_is_left_whole(before):
    """After a restart or another bucket list there is no difference to take."""
    now = Histogram(BOUNDS, (1, 2, 3, 4))
    assert now.since(before) == now


def test_other_buckets_are_not_added_up():
    """Two lists of buckets don't fit together: the first one wins."""
    one = Histogram(BOUNDS, (1, 0, 0, 0))
    assert one.plus(Histogram((1.0,), (1, 1))) == one
