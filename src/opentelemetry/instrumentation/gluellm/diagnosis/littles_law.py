"""How large a pool has to be.

Little's law: the mean number of requests that hold a connection at one moment is the rate at which
they arrive times how long each holds one, ``L = arrival rate x lease time``. (J. D. C. Little, "A
Proof for the Queuing Formula: L = lambda W", Operations Research 9(3), 1961.) It holds for every
distribution of arrivals and of lease times.

A pool of L connections has too few half of the time. With arrivals independent of each other and
connections enough, the number in use at one moment is Poisson distributed with mean L, again
whatever the lease times are (the M/G/infinity queue; L. Takacs, "Introduction to the Theory of
Queues", 1962). So its 0.99 quantile is the size that is too small 1 % of the time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..thresholds import GIVEN_UP_SHARE

QUANTILE = 0.99
"""Share of the time that the pool has to suffice."""
_REACH = 40
"""Standard deviations around the mean that are summed: what lies outside is below 1e-300."""
_GROWS = 0.75
"""Mean over last number in the pool: 0.5 for steady growth from nothing, 1 for what stays."""
_LARGEST_MEAN = 1e7
"""No pool has so many connections; beyond it the sum would take seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizing:
    """What Little's law asks for, per pool. Times are seconds."""

    arrival_rate: float
    """First attempts a second."""
    lease_time: float
    """Mean time that a request holds a connection."""
    concurrency: float
    """L: requests that would hold one at the same time, in the mean."""
    offered: float
    """Arrival rate times lease time."""
    size: int
    """Connections to allow."""
    burst: bool = False
    """Whether that is the peak, since the mean of the period is below what the pool has."""
    cut_off: bool = False
    """Whether requests that were given up bounded the queue."""


def poisson_quantile(mean: float, share: float = QUANTILE) -> int:
    """The smallest k with P(X <= k) >= ``share`` for X Poisson distributed with ``mean``.

    Exact but for the rounding of floats: probabilities are summed from their logarithms, since
    ``exp(-mean)`` itself is 0 from a mean of 746 on. 0 for a mean that is not a positive number.
    Raises ValueError for a share that is not above 0 and below 1.
    """
    if not 0 < share < 1:
        raise ValueError(f"share must be above 0 and below 1, found {share!r}")
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
    """The size for one pool that lets requests wait, always above the ``maximum`` it has.

    ``arrived`` first attempts in ``period`` seconds, of which each holds its connection for
    ``lease_time`` and a share ``given_up`` was cancelled or ended in a pool timeout. ``in_pool`` is
    the mean number of requests in any phase, waiting ones included, and ``in_pool_now`` their
    number at the end; ``peak`` is the largest number at one moment, as far as that is remembered.
    None when the period or the lease time is not a positive number.

    Three kinds of load need three readings of L:

    - Callers that come whatever happens (an open loop): the queue grows for as long as more enter
      than leave, so the number that waits says nothing. L is arrival rate x lease time. A queue
      that grew steadily is on average half of what it is in the end, which tells it from the other.
    - A fixed number of callers, each waiting for its answer (a closed loop): waiting throttles
      the arrivals, and arrival rate x lease time can't exceed the pool's size. Without the
      limit, what waits would be served, so L is what is in the pool in any phase.
    - Callers that give up: then their patience bounds the queue, and not their number. Those that
      wait are no demand, and those that ask again arrive anew. L is arrival rate x lease time, and
      no more than what is in the pool. (One overloaded pool that needed 26 connections was advised
      176.)

    What was asked for in one burst of a long period is above the mean by far: then it is the peak.
    More than the peak is never needed, as long as the peak is not one that was forgotten, that is
    below the mean.
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
