"""The pool size by Little's law."""

import math
from fractions import Fraction

import pytest

from gluellm_diagnosis.littles_law import poisson_quantile
from opentelemetry.instrumentation.gluellm.snapshots.parts import MOST_ALIKE

from .building import a_request


def exact_quantile(mean: int, share: Fraction) -> int:
    """Calculate with rational numbers, and more terms of the series than needed."""
    terms = 60 + 6 * mean
    e_to_the_mean = sum(Fraction(mean**k, math.factorial(k)) for k in range(terms))
    total = Fraction(0)
    for number in range(terms):
        total += Fraction(mean**number, math.factorial(number))
        if total >= share * e_to_the_mean:
            return number
    raise AssertionError("too few terms")


@pytest.mark.parametrize("mean", [1, 2, 3, 7, 13, 29, 41])
@pytest.mark.parametrize("share", [Fraction(1, 2), Fraction(9, 10), Fraction(99, 100)])
def test_quantile_is_exact(mean, share):
    """It equals the one calculated with rational numbers."""
    assert poisson_quantile(mean, float(share)) == exact_quantile(mean, share)


def test_a_number_that_no_pool_has_keeps_nothing_busy():
    """A damaged snapshot can have any."""
    assert poisson_quantile(1e308) == poisson_quantile(1e5) < 101_000
    assert len(a_request("queued", 1.0, number=10**9).alike) == MOST_ALIKE
