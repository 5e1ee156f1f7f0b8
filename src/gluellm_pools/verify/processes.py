"""Which processes have data, which of them still send, and how often."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from opentelemetry.instrumentation.gluellm.telemetry import semconv

from . import naming
from .facts import LOOKBACK, RECENT, STEP, Series
from .looking import Look, counted_names
from .naming import Stored
from .rows import labels_of, number_of, times_of

OF_PROCESSES = (semconv.EVENT_LOOP_LAG_PEAK, semconv.INSTRUMENTATION_DROPPED, semconv.POOL_LIVE)
"""Few series per process, the first two from instrument() on: they tell processes apart."""
_INTERVALS = 3
_SHORTEST = 10.0

_Key = tuple[tuple[str, str], ...]


def processes(look: Look, found: Sequence[Stored]) -> list[Series]:
    """The series that stand for processes."""
    # The instant query knows the very last sample, and does not see a series that was marked as
    # stale; the others, which look at some moments only, know those that ended before.
    step = max(int(look.window / 60), 15)
    last: dict[_Key, float] = {}
    first: dict[_Key, float] = {}
    samples: dict[_Key, float] = {}
    seen: set[_Key] = set()
    for name in counted_names(found, OF_PROCESSES) or [found[0].counted]:
        one = naming.selector(name)
        recent = f"timestamp({one})[{RECENT:.0f}s:{STEP:.0f}s]"
        for moments in (f"timestamp({one})[{look.range}:{step}s]", recent):
            for key, when in _answers(look, f"max_over_time({moments})"):
                last[key] = max(last.get(key, 0.0), when)
        for key, when in _answers(look, f"timestamp({one})"):
            last[key] = max(last.get(key, 0.0), when)
            seen.add(key)
        first.update(_answers(look, f"min_over_time({recent})"))
        samples.update(_answers(look, f"count_over_time({one}[{RECENT:.0f}s])"))
    return [
        Series(
            dict(key),
            when,
            # The first moment that was looked at may be a step after the first sample.
            _within(when - first.get(key, when) + STEP, samples.get(key, 0.0)),
            first=first.get(key, when),
            marked=key not in seen,
        )
        for key, when in last.items()
    ]


def _answers(look: Look, expression: str) -> Iterator[tuple[_Key, float]]:
    for row in look.rows(expression):
        yield tuple(sorted(labels_of(row).items())), number_of(row)


def _within(span: float, samples: float) -> float:
    """The patience with a series that had so many samples in so many seconds."""
    return patience(span / (samples - 1)) if samples > 1 else LOOKBACK


def patience(interval: float) -> float:
    """Seconds without a sample after which a series with this interval has ended."""
    return min(max(_INTERVALS * interval, _SHORTEST), LOOKBACK)


def newest_times(look: Look, found: Sequence[Stored], known: Sequence[Series]) -> list[float]:
    """When the samples of one series, which had the newest, were taken in its last 10 minutes."""
    if not known:
        return []
    newest = max(known, key=lambda one: one.last)
    matchers = [naming.matcher(*pair) for pair in sorted(newest.labels.items())]
    moment = newest.last + 0.001
    for name in counted_names(found, OF_PROCESSES):
        expression = f"{naming.selector(name, matchers)}[{RECENT:.0f}s]"
        for row in look.store.query(expression, moment)[:1]:
            return times_of(row)
    return []
