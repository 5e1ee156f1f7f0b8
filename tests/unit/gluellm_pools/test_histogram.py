"""Quantiles from buckets."""

import pytest

from gluellm_pools.histogram import Histogram

BOUNDS = (0.0, 1.0, 5.0)


@pytest.mark.parametrize(
    ("histogram", "share", "expected"),
    [
        (Histogram(), 0.5, None),  # no value is not 0
        (Histogram(BOUNDS, (0, 0, 0, 0)), 0.5, None),
        (Histogram(BOUNDS, (99, 1, 0, 0)), 0.95, (0.0, False)),  # the first bucket ends at 0
        (Histogram(BOUNDS, (0, 0, 10, 0)), 0.5, (3.0, False)),  # half way through its width
        # A bucket is wider than what it holds, and the last one has no end.
        (Histogram(BOUNDS, (0, 0, 10, 0), longest=1.5), 0.99, (1.5, False)),
        (Histogram(BOUNDS, (1, 0, 0, 9)), 0.5, (5.0, True)),
    ],
)
def test_quantiles_are_interpolated_in_buckets(histogram, share, expected):
    assert histogram.quantile(share) == expected


def test_histograms_are_added_and_subtracted():
    """They are added over origins and subtracted for a window, if their buckets match."""
    one, two = Histogram(BOUNDS, (1, 2, 0, 0), 0.7, 1.5), Histogram(BOUNDS, (0, 1, 1, 0), 3.0, 3.5)
    both = one + two
    assert both == Histogram(BOUNDS, (1, 3, 1, 0), 3.0, 5.0)
    assert both.mean == 1.0
    assert Histogram().mean is None
    assert both - one == two
    assert Histogram() + one == one
    other_buckets, before_a_restart = Histogram((1.0,), (1, 1)), Histogram(BOUNDS, (9, 9, 9, 9))
    assert one - other_buckets == one - before_a_restart == one + other_buckets == one
