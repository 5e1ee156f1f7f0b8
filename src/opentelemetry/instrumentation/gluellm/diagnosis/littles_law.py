"""Required size of a pool.

Little's law: the mean number of requests that hold a connection at one moment is the rate at which
they arrive times the time for which each holds one, ``L = arrival rate x lease time``. (J. D. C.
Little, "A Proof for the Queuing Formula: L = lambda W", Operations Research 9(3), 1961.) It holds
for every distribution of arrivals and of lease times.

A pool of L connections is too small about half of the time. If arrivals are independent of each
other and connections are not limited, the number in use at one moment is Poisson distributed with
mean L, again for every distribution of lease times (the M/G/infinity queue; L. Takacs,
"Introduction to the Theory of Queues", 1962). So its 0.99 quantile is the size that is too small
1 % of the time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..thresholds import GIVEN_UP_SHARE

QUANTILE = 0.99
"""Share of the time for which the pool has to be large enough."""
_REACH = 40
"""Standard deviations around the mean that are summed. The probability outside is below 1e-100."""
_GROWS = 0.75
"""Ratio of the mean number in the pool to the last one, below which a queue counts as growing:
steady growth from zero gives 0.5, a constant number 1."""
_LARGEST_MEAN = 1e7
"""Upper bound of the mean: no pool has so many connections, and the sum would take seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizing:
    """Size that Little's law requires, per pool. Times are seconds."""

    arrival_rate: float
    """First attempts per second."""
    lease_time: float
    """Mean time for which a request holds a connection."""
    concurrency: float
    """L: mean number of requests that would hold a connection at the same time."""
    offered: float
    """Arrival rate times lease time."""
    size: int
    """Connections to allow."""
    burst: bool = False
    """Whether ``size`` is the peak, because the pool is large enough for the period's mean."""
    cut_off: bool = False
    """Whether callers that gave up limited the queue."""


def poisson_quantile(mean: float, share: float = QUANTILE) -> int:
    """Return the smallest k with P(X <= k) >= ``share`` for X Poisson distributed with ``mean``.

    Exact except for the rounding of floats: probabilities are summed from their logarithms, since
    ``exp(-mean)`` is 0 from a mean of 746 on. Returns 0 for a mean that is not a positive number.
    """
    if not mean > 0:
        return 0
    mean = min(mean, _LARGEST_MEAN)
    reach = _REACH * (math.sqrt(mean) + 1)
    logarithm = math.log(mean)
    total = 0.0
    number = max(0, math.floor(mean - reach))
    while number <= mean + reach:
        total += math.exp(number * logarithm - mean - math.lgamma(number + 1))
        if total >= share:
            break
        number += 1
    return number


def required_size(
    *,
    arrived: int,
    given_up: float,
    period: float,
    lease_time: float,
    in_pool: float,
    in_pool_now: int,
    peak: int,
    maximum: int,
) -> Sizing | None:
    """Return the size for one pool in which requests wait; always more than its ``maximum``.

    - ``arrived``: first attempts in ``period`` seconds.
    - ``given_up``: share of these that were cancelled or ended in a pool timeout.
    - ``lease_time``: mean seconds for which a request holds its connection.
    - ``in_pool``, ``in_pool_now``: requests in any phase, queued ones included; their mean number
      and their number at the end of the period.
    - ``peak``: largest number of requests at one moment, as far as it is remembered.

    Returns None if the period or the lease time is not a positive number.

    L depends on the kind of load:

    - Open loop: callers arrive whatever happens. The queue grows as long as more requests enter
      than leave, so its length does not show the demand. L is arrival rate x lease time. A queue
      that grows steadily is on average half as long as at the end; that distinguishes it from a
      closed loop.
    - Closed loop: a fixed number of callers, each waiting for its answer. Waiting throttles the
      arrivals, so arrival rate x lease time can't exceed the pool's size. Without the limit, the
      queued requests would be served, so L is the number of requests in the pool in any phase.
    - Callers that give up: their patience bounds the queue, not their number. The queue is not
      demand, since a caller that tries again counts as a new arrival. L is arrival rate x lease
      time, at most the number of requests in the pool. (Counting the queue, the advice was 176
      for an overloaded pool that needed 26 connections.)

    A single burst in a long period exceeds the mean by far; then the size is the peak. More than
    the peak is never needed. A peak below the mean is one that was forgotten, and is ignored.
    """
    if not (period > 0 and lease_time > 0 and math.isfinite(period * lease_time)):
        return None
    arrival_rate = arrived / period
    offered = arrival_rate * lease_time
    cut_off = given_up >= GIVEN_UP_SHARE
    grows = in_pool < _GROWS * in_pool_now and offered > maximum
    if cut_off:
        concurrency = min(offered, max(in_pool, in_pool_now))
    else:
        concurrency = offered if grows else max(offered, in_pool)
    size = poisson_quantile(concurrency)
    burst = size <= maximum < peak and not cut_off
    if burst:
        size = peak
    elif peak >= concurrency:
        size = min(size, peak)
    return Sizing(
        arrival_rate=arrival_rate,
        lease_time=lease_time,
        concurrency=concurrency,
        offered=offered,
        cut_off=cut_off,
        size=max(size, maximum + 1),
        burst=burst,
    )
