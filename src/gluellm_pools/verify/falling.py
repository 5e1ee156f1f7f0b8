"""Counters that fall: whether they still do, and whether several processes or deltas are behind it.

Two processes that share a series alternate: every second sample belongs to one of them, and these
rise. What is sent as deltas falls at any distance, in the rhythm of one exporter.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from opentelemetry.instrumentation.gluellm.telemetry import semconv

from . import naming
from .facts import RECENT, FallingCounter, Labels
from .looking import Look, counted_names
from .naming import Stored
from .processes import patience
from .rhythm import interval, steady
from .rows import labels_of, number_of, times_of, values_of

_COUNTERS = (
    semconv.REQUEST_TIME,
    semconv.REQUESTS,
    semconv.POOL_OPENED,
    semconv.CONNECTION_OPENED,
    semconv.LEASE_DURATION,
)
_FALLS = 3
_CURED = 10
"""Samples without a fall after which it is over."""
_MOST_PROCESSES = 8
_STRAY = 0.1


def falling(
    look: Look, found: Sequence[Stored], narrowed: Sequence[Sequence[str]], moment: float
) -> list[FallingCounter]:
    """The counters that fell most often, up to a moment that is the newest sample's or now."""
    counters = {}
    recent = f"{RECENT:.0f}s"
    for name in counted_names(found, _COUNTERS):
        for matchers in narrowed:
            chosen = naming.selector(name, matchers)
            for window in (look.range, recent):
                for row in look.rows(f"topk(3, resets({chosen}[{window}]) >= {_FALLS})"):
                    labels = labels_of(row)
                    key = (name, *sorted(labels.items()))
                    if key not in counters:
                        counters[key] = _counter(look, name, labels, number_of(row), moment)
    return list(counters.values())


def _counter(look: Look, name: str, labels: Labels, falls: float, moment: float) -> FallingCounter:
    own = naming.selector(name, [naming.matcher(*pair) for pair in sorted(labels.items())])
    rows = look.rows(f"count_over_time({own}[{look.range}])")
    whole = FallingCounter(labels, falls, number_of(rows[0]) if rows else 0.0)
    rows = look.store.query(f"{own}[{RECENT:.0f}s]", moment + 0.001)
    if not rows:
        return dataclasses.replace(whole, over=True)
    return judged(whole, times_of(rows[0]), values_of(rows[0]), moment)


def judged(
    whole: FallingCounter, times: Sequence[float], values: Sequence[float], moment: float
) -> FallingCounter:
    """What the newest samples tell of a counter that fell within the window."""
    places = [place for place in range(1, len(values)) if values[place] < values[place - 1]]
    if not places:
        return dataclasses.replace(whole, over=True)
    if moment - times[-1] > patience(interval(times) or RECENT):
        return dataclasses.replace(whole, over=True, until=times[-1])
    if len(values) - 1 - places[-1] >= _CURED:
        return dataclasses.replace(whole, over=True, until=times[places[-1]])
    deltas = steady(times) and not _alternates(values)
    now = FallingCounter(whole.labels, len(places), len(values), deltas=deltas)
    # One of a long interval has few falls now, and one that began a moment ago few of all samples:
    # the second process came long after the first. The first fall is where it came.
    since = FallingCounter(
        whole.labels, len(places) - 1, len(values) - 1 - places[0], deltas=deltas
    )
    return max(
        (now, since, dataclasses.replace(whole, deltas=deltas)),
        key=lambda one: one.share if one.falls >= _FALLS else 0.0,
    )


def _alternates(values: Sequence[float]) -> bool:
    """Whether the samples are those of several counters that only rise."""
    for number in range(2, _MOST_PROCESSES + 1):
        pairs = list(zip(values, values[number:], strict=False))
        if len(pairs) < number:
            break
        if sum(b < a for a, b in pairs) <= _STRAY * len(pairs):
            return True
    return False
