"""The size that Little's law asks for."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest

from opentelemetry.instrumentation.gluellm.diagnosis.littles_law import (
    Sizing,
    poisson_quantile,
    required_size,
)


def exact_quantile(mean: int, share: Fraction) -> int:
    """By rational numbers, e to the minus mean to 60 terms beyond any need."""
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
def test_quantile_is_exact(mean: int, share: Fraction) -> None:
    """The same as by rational arithmetic."""
    assert poisson_quantile(mean, float(share)) == exact_quantile(mean, share)


HEALTHY = {"arrived": 100, "given_up": 0.0, "period": 10.0, "lease_time": 0.5, "in_pool": 5.0}
NOW = {"in_pool_now": 5, "peak": 0, "maximum": 4}


def size(**changes: float) -> Sizing | None:
    return required_size(**{**HEALTHY, **NOW, **changes})  # type: ignore[arg-type]


def test_arrival_rate_times_lease_time() -> None:
    """10 requests a second that hold a connection for 0.5 s need 5, and 11 for 99% of the time."""
    assert size() == Sizing(
        arrival_rate=10.0, lease_time=0.5, concurrency=5.0, offered=5.0, size=11
    )


IMPATIENT = {"period": 100.0, "lease_time": 1.0, "maximum": 10}


@pytest.mark.parametrize(
    ("changes", "concurrency", "expected"),
    [
        # 20 callers on 4 connections: 4 are served at a time, but 20 want to be, and no more.
        ({"arrived": 80, "in_pool": 20.0, "in_pool_now": 20, "peak": 20}, 20.0, 20),
        # An open loop that the pool can't serve: what waits has grown for as long as one looked.
        ({"arrived": 200, "in_pool": 64.0, "in_pool_now": 124, "peak": 124}, 10.0, 18),
        # The mean over an hour says nothing about a minute.
        ({"arrived": 1000, "period": 3600.0, "in_pool": 0.5, "peak": 30}, None, 30),
        # A peak below the mean is of another time.
        ({"in_pool": 20.0, "in_pool_now": 20, "peak": 3}, None, 31),
        # A pool that lets requests wait gets at least one connection more.
        ({"in_pool": 0.1, "arrived": 1, "maximum": 50}, None, 51),
        # 26 callers since the beginning of the period: the queue is there, and doesn't grow.
        (
            {"arrived": 170, "period": 6.0, "lease_time": 0.31}
            | {"in_pool": 25.0, "in_pool_now": 26, "peak": 26},
            25.0,
            26,
        ),
        # Arrivals that need 26, each of which waits 8 s in vain or in the end.
        (
            {**IMPATIENT, "arrived": 2600, "given_up": 0.6}
            | {"in_pool": 170.0, "in_pool_now": 170, "peak": 176},
            26.0,
            39,
        ),
        # 26 callers with a patience of 0.15 s arrive 173 times a second; they need 26.
        (
            {**IMPATIENT, "arrived": 17300, "given_up": 0.9}
            | {"in_pool": 26.0, "in_pool_now": 26, "peak": 26},
            26.0,
            26,
        ),
    ],
)
def test_size_depends_on_waiting_requests_and_on_timeouts(
    changes: dict[str, float], concurrency: float | None, expected: int
) -> None:
    sizing = size(**changes)
    assert sizing is not None
    assert sizing.size == expected
    assert concurrency in (None, sizing.concurrency)
    assert sizing.cut_off is ("given_up" in changes)


@pytest.mark.parametrize(
    "changes",
    [{"period": 0.0}, {"lease_time": 0.0}, {"lease_time": math.nan}, {"period": math.inf}],
)
def test_size_is_unknown_without_a_time_or_a_rate(changes: dict[str, float]) -> None:
    """No time, no rate."""
    assert size(**changes) is None
