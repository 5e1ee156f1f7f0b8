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

QUANTILE = 0.99
"""Share of the time for which the pool has to be large enough."""
_REACH = 40
"""Standard deviations around the mean that are summed. The probability outside is below 1e-100."""
_LARGEST_MEAN = 1e7
"""Upper bound of the mean: no pool has so many connections, and the sum would take seconds."""


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
