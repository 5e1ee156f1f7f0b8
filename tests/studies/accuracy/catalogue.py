"""The catalogue of incidents, each an application that is well until something goes wrong.

It is played for the score, for looking at (``incident``) and for the pictures of the boards.
"""

import random
from typing import Final

from .incident import CONTROL, PLAYED, Incident
from .incidents import controls, establishing, holding, process, refusals, timeouts

MODULES: Final = (controls, establishing, holding, process, refusals, timeouts)
INCIDENTS: Final[dict[str, Incident]] = dict(sorted(PLAYED.items()))
SPLIT_SEED: Final = 20261128
"""Drawn before any incident was played. Another seed makes all figures incomparable."""


def _half(number: int) -> list[str]:
    """Every second incident in an order that the seed alone decides, incidents before controls."""
    names = list(INCIDENTS)
    random.Random(SPLIT_SEED).shuffle(names)
    names.sort(key=lambda name: INCIDENTS[name].cause == CONTROL)
    return sorted(names[number::2])


HALVES: Final = {"tuning": _half(0), "verification": _half(1)}
"""Thresholds and rules may be set by the first; the second only verifies them."""
