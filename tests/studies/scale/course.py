"""The courses of series over the minutes, in which all series of a program are consistent.

The program's export is the result of one step of load. Counters and histograms are multiples of it:
buckets stay in order, a count is the value of its last bucket, and the connections closed are those
opened less those still open. Gauges follow the number of busy connections.
"""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

from .template import Series

VARIANTS: Final = 8
"""The number of courses; instances share them."""
DAY: Final = 24 * 60
"""Minutes."""
_COUNTERS: Final = ("_total", "_bucket", "_sum", "_count")
_PHASE: Final = "gluellm_request_phase"


@dataclass(frozen=True, slots=True)
class Course:
    """The load of one program by the minute, for a day."""

    steps: Sequence[int]
    """Steps of load until each minute; never falling, and above 0 from the beginning."""
    busy: Sequence[int]
    """Busy connections in each minute: at most two, which every provider has."""


def course(variant: int) -> Course:
    """One of the courses, the same each time."""
    chance = random.Random(variant)
    loads = [
        round(2 + 2 * math.sin(2 * math.pi * (minute / DAY + variant / VARIANTS)) + chance.random())
        for minute in range(DAY + 1)
    ]
    return Course(
        list(accumulate(loads, initial=1))[: DAY + 1],
        [chance.randint(0, 2) for _ in range(DAY + 1)],
    )


def value(series: Series, course: Course, minute: int, opened: float, limit: float) -> float:
    """The value of a series in a minute of the day.

    ``opened`` and ``limit`` are its provider's connections opened in one step, and their limit.
    """
    steps, busy = course.steps[minute], course.busy[minute]
    match series.name:
        case "gluellm_pool_opened_total":
            return series.value
        case "gluellm_pool_connection_closed_total":
            return series.value + opened * (steps - 1)
        case name if name.endswith(_COUNTERS):
            return series.value * steps
        case "http_client_active_requests":
            return busy
        case "http_client_open_connections":
            return busy if series.labels["http_connection_state"] == "active" else 2 - busy
        case "gluellm_pool_occupancy_ratio":
            return busy / limit if limit else 0
        case "gluellm_pool_request_current":
            return _in_phase(series, busy)
        case "gluellm_pool_request_oldest_age_seconds":
            return 0.4 * _in_phase(series, busy)
        case _:
            return series.value


def _in_phase(series: Series, busy: int) -> int:
    halves = {"reading": busy // 2, "awaiting_response": busy - busy // 2}
    return halves.get(series.labels[_PHASE], 0)
