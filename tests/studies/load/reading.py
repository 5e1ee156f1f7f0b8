"""One collection of the metrics, and checks that hold for every collection and every snapshot."""

import time
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping
from typing import Any

from opentelemetry.sdk.metrics.export import HistogramDataPoint, InMemoryMetricReader

from opentelemetry.instrumentation.gluellm import Snapshot
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from opentelemetry.instrumentation.gluellm.telemetry.semconv import Instrument, Metric
from studies.bench.workload import series_of
from support.telemetry import Reading, points_of

_NEVER_FALL = {
    metric.name
    for metric in semconv.METRICS
    if metric.instrument in (Instrument.OBSERVABLE_COUNTER, Instrument.HISTOGRAM)
}
HOLDING = ("awaiting_response", "reading", "unread")
"""Phases in which a request has a connection of HTTP/1.1 for itself."""
Series = tuple[str, frozenset[tuple[str, Any]]]


class Collection(Reading):
    """The data points of a collection that was made between the times ``since`` and ``until``."""

    def __init__(self, reader: InMemoryMetricReader) -> None:
        self.since = time.monotonic()
        data = reader.get_metrics_data()
        self.until = time.monotonic()
        super().__init__(points_of(data))

    def by(self, metric: Metric, *names: str) -> Counter[Any]:
        """Return the result of `Reading.by` as a Counter."""
        return Counter(super().by(metric, *names))

    def total(self, metric: Metric, **where: Any) -> float:
        """The sum of the values (a histogram's counts) with these attributes."""
        return sum(amount(point) for point in self.points(metric, **where))

    @property
    def series(self) -> int:
        """Series as Prometheus counts them: each bucket of a histogram, its sum and its count."""
        return sum(series_of(point) for each in self.collect().values() for point in each)


def amount(point: Any) -> Any:
    """A point's value, or its count for a histogram."""
    return point.count if isinstance(point, HistogramDataPoint) else point.value


class Choices:
    """Expected values; for some, only a set with the right one is known (None: no value)."""

    def __init__(self, choices: Iterable[frozenset[Any]] = ()) -> None:
        self.certain: Counter[Any] = Counter()
        self.open: Counter[frozenset[Any]] = Counter()
        for choice in choices:
            self.add(choice)

    def add(self, choice: frozenset[Any]) -> None:
        """Add the possible values of one request."""
        if len(choice) > 1:
            self.open[choice] += 1
        else:
            self.certain.update(choice - {None})

    def difference(self, reported: Counter[Any]) -> Counter[Hashable]:
        """Return what was reported too often (positive) or too rarely (negative), at least."""
        rest = Counter(reported)
        rest.subtract(self.certain)
        choices = sorted(self.open.elements(), key=len)
        taken: dict[int, Any] = {}

        def give(number: int, tried: set[Any]) -> bool:
            """Assign a value to a request with a choice; others may have to choose again."""
            for value in choices[number]:
                if value is None or value in tried:
                    continue
                tried.add(value)
                holders = [other for other, had in taken.items() if had == value]
                if len(holders) < rest[value] or any(give(other, tried) for other in holders):
                    taken[number] = value
                    return True
            return False

        for number, choice in enumerate(choices):
            if not give(number, set()) and None not in choice:
                taken[number] = min(choice, key=str)  # it was reported too rarely
        rest.subtract(taken.values())
        return Counter({value: count for value, count in rest.items() if count})

    def settle(self, reported: Counter[Any]) -> None:
        """Take the reported values as certain."""
        self.certain, self.open = Counter(reported), Counter()


def never_falling(of: Collection) -> dict[Series, float]:
    """All series that must not fall."""
    return {
        (name, frozenset((point.attributes or {}).items())): amount(point)
        for name in _NEVER_FALL & of.collect().keys()
        for point in of.collect()[name]
    }


def wrong_in_reading(reported: Collection) -> list[str]:
    """Violations in one collection, which must never occur."""
    wrong = {
        f"{name} is negative: {amount(point)} {dict(point.attributes or {})}": amount(point) < 0
        for name, points in reported.collect().items()
        for point in points
    }
    for point in reported.points(semconv.OCCUPANCY_RATIO):
        wrong[f"occupancy is {point.value}"] = not 0 <= point.value <= 1
    total = reported.total
    established, most = total(semconv.OPEN_CONNECTIONS), total(semconv.CONNECTION_MAX)
    connecting, peak = total(semconv.CONNECTION_CONNECTING), total(semconv.PEAK_ACTIVE)
    busy = total(semconv.OPEN_CONNECTIONS, state="active") + connecting
    active, phases = total(semconv.ACTIVE_REQUESTS), total(semconv.REQUEST_CURRENT)
    too_many = total(semconv.POOL_LIVE) and established + connecting > most
    wrong |= {
        f"{established} open and {connecting} connecting of {most} connections": bool(too_many),
        f"peak.active {peak} is below {busy} busy ones": peak < busy,
        f"{active} active requests, and {phases} over their phases": active != phases,
    }
    for metric in (semconv.INSTRUMENTATION_ERRORS, semconv.INSTRUMENTATION_DROPPED):
        wrong[f"{metric.name}: {reported.by(metric, 'failure')}"] = bool(total(metric))
    return [words for words, is_wrong in wrong.items() if is_wrong]


def fallen(before: Mapping[Any, float], now: Mapping[Any, float]) -> list[str]:
    """Values that are lower than before, over all installations that feed one Meter."""
    return [
        f"{key} fell from {before[key]} to {value}"
        for key, value in now.items()
        if value < before.get(key, 0)
    ]


def wrong_in_times(first: Collection, second: Collection) -> list[str]:
    """Check that a phase's time grows in proportion to its requests while no step is taken."""
    wrong = []
    least, most = second.since - first.until, second.until - first.since
    before, after = (each.by(semconv.REQUEST_CURRENT, "phase") for each in (first, second))
    for phase, count in after.items():
        grown = second.phases()[phase] - first.phases()[phase]
        if count == before[phase] and not count * least - 1e-6 <= grown <= count * most + 1e-6:
            wrong.append(
                f"request.time of {phase} grew by {grown:.6f} s, with {count:.0f} requests in it "
                f"for {least:.6f} to {most:.6f} s each"
            )
    return wrong


def wrong_in_snapshot(taken: Snapshot) -> list[str]:
    """Violations in one snapshot, which must never occur."""
    wrong: dict[str, bool] = {}
    for pool in taken.pools:
        established, ever = pool.active + pool.idle, pool.requests_entered
        counted, most = established + pool.connecting, pool.max_connections or 0
        number = len(pool.requests)
        held = sum(request.phase in HOLDING for request in pool.requests)
        wrong |= {
            f"{counted} of {most} connections in a snapshot": counted > most,
            f"{held} requests hold {established} connections": held > established,
            f"{number} requests of {ever} that entered": number > ever,
        }
        for one in pool.requests:
            too_old = one.phase_age > one.age or one.age < 0
            wrong[f"a request of age {one.age}: {one.phase_age} in a phase"] = too_old
    for total in taken.totals:
        peaks = total.peak_active, total.peak_queued
        wrong[f"peaks {peaks}"] = min(peaks) < 0
        for origin in total.origins:
            number = sum(outcome.count for outcome in origin.outcomes)
            number += sum(origin.requests_now.values())
            entered, times = origin.requests_entered, origin.phase_seconds
            wrong[f"{number} requests of {entered} that entered"] = number > entered
            wrong[f"negative time: {times}"] = min(times.values()) < 0
    return [words for words, is_wrong in wrong.items() if is_wrong]


def times_of(taken: Snapshot) -> dict[tuple[str, str, str], float]:
    """Seconds by pool name, origin and phase, which must not fall."""
    return {
        (total.label, origin.origin, phase): seconds
        for total in taken.totals
        for origin in total.origins
        for phase, seconds in origin.phase_seconds.items()
    }
