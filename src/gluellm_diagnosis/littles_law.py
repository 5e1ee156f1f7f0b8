"""Number of connections for requests of a known rate and time.

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


def poisson_quantile(mean: float, share: float = 0.99) -> int:
    """Return the smallest k with P(X <= k) >= ``share`` for X Poisson distributed with ``mean``.

    Exact except for the rounding of floats: probabilities are summed from their logarithms, since
    ``exp(-mean)`` is 0 from a mean of 746 on. Returns 0 for a mean of 0. A mean beyond 100 000,
    which no pool has, counts as that: a damaged snapshot would keep this busy for hours.
    """
    mean = min(mean, 1e5)
    total, number = math.exp(-mean), 0
    while total < share:
        number += 1
        total += math.exp(number * math.log(mean) - mean - math.lgamma(number + 1))
    return number
