"""The causes that a run can hide, and which run hides which."""

from __future__ import annotations

import random
from enum import StrEnum


class Cause(StrEnum):
    """What is wrong in a run."""

    HEALTHY = "healthy"
    TOO_SMALL = "too small"
    SLOW_PROVIDER = "slow provider"
    LEAK = "leak"
    SLOW_CONSUMER = "slow consumer"
    CHURN = "churn"
    REFUSED = "refused"
    REUSE_FAILURES = "reuse failures"
    BLOCKED_LOOP = "blocked loop"
    HTTP2_STUCK = "http/2 stuck"


_BLOCK: tuple[Cause, ...] = (Cause.HEALTHY, Cause.HEALTHY, *Cause)
"""Healthy three times: most processes are, and a false alarm costs more trust than a miss."""


def cause_of(seed: int, index: int) -> Cause:
    """The cause of a run: each block of twelve runs has them all, in an order of its own."""
    block = list(_BLOCK)
    random.Random(f"{seed}/block {index // len(block)}").shuffle(block)
    return block[index % len(block)]
