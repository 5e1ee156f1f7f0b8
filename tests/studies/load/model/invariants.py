"""What holds of any collection of metrics and of any snapshot, whatever happened."""

from __future__ import annotations

from typing import Any

from opentelemetry.instrumentation.gluellm import Snapshot
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from opentelemetry.instrumentation.gluellm.telemetry.semconv import Instrument
from studies.load.collection import Collection, amount

_NEVER_FALL = {
    metric.name
    for metric in semconv.METRICS
    if metric.instrument in (Instrument.OBSERVABLE_COUNTER, Instrument.HISTOGRAM)
}
_HOLDING = ("awaiting_response", "reading", "unread")
"""Phases of a request that has a connection of HTTP/1.1 for itself."""
Series = tuple[str, frozenset[tuple[str, Any]]]


def never_falling(of: Collection) -> dict[Series, float]:
    """Every series that must not fall."""
    return {
        (name, frozenset((point.attributes or {}).items())): amount(point)
        for name in _NEVER_FALL & of.points.keys()
        for point in of.points[name]
    }


def wrong_in_reading(reading: Collection) -> list[str]:
    """What holds of each collection by itself, at any moment."""
    wrong = [
        f"{name} is negative: {amount(point)} {dict(point.attributes or {})}"
        for name, points in reading.points.items()
        for point in points
        if amount(point) < 0
    ]
    for point in reading.points.get(semconv.OCCUPANCY_RATIO.name, ()):
        if not 0 <= point.value <= 1:
            wrong.append(f"occupancy is {point.value}")
    open_now = reading.total(semconv.OPEN_CONNECTIONS)
    connecting = reading.total(semconv.CONNECTION_CONNECTING)
    most = reading.total(semconv.CONNECTION_MAX)
    if reading.total(semconv.POOL_LIVE) and open_now + connecting > most:
        wrong.append(f"{open_now} open and {connecting} connecting of {most} connections")
    busy = reading.total(semconv.OPEN_CONNECTIONS, state="active") + connecting
    if reading.total(semconv.PEAK_ACTIVE) < busy:
        wrong.append(f"peak.active {reading.total(semconv.PEAK_ACTIVE)} is below {busy} busy ones")
    active = reading.total(semconv.ACTIVE_REQUESTS)
    phases = reading.total(semconv.REQUEST_CURRENT)
    if active != phases:
        wrong.append(f"{active} active requests, and {phases} over their phases")
    for metric in (semconv.INSTRUMENTATION_ERRORS, semconv.INSTRUMENTATION_DROPPED):
        if reading.total(metric):
            wrong.append(f"{metric.name}: {reading.by(metric, 'kind')}")
    return wrong


def wrong_between(before: dict[Series, float], reading: Collection) -> list[str]:
    """What must not have fallen since, over all installations that feed one Meter."""
    return [
        f"{series[0]} fell from {before[series]} to {value}: {dict(series[1])}"
        for series, value in never_falling(reading).items()
        if value < before.get(series, 0)
    ]


def wrong_in_times(first: Collection, second: Collection) -> list[str]:
    """Between two readings without a step, time grows by as much as there are requests."""
    wrong = []
    for phase in semconv.PHASES:
        count = second.total(semconv.REQUEST_CURRENT, phase=phase)
        if count != first.total(semconv.REQUEST_CURRENT, phase=phase):
            continue
        grown = second.total(semconv.REQUEST_TIME, phase=phase) - first.total(
            semconv.REQUEST_TIME, phase=phase
        )
        least = count * (second.since - first.until)
        most = count * (second.until - first.since)
        if not least - 1e-6 <= grown <= most + 1e-6:
            wrong.append(
                f"request.time of {phase} grew by {grown:.6f} s, with {count:.0f} requests in it "
                f"for {least:.6f} to {most:.6f} s together"
            )
    return wrong


def wrong_in_snapshot(taken: Snapshot) -> list[str]:
    """What holds of each snapshot by itself, at any moment."""
    wrong = []
    for pool in taken.pools:
        counted = pool.active + pool.idle + pool.connecting
        assert pool.max_connections is not None
        if counted > pool.max_connections:
            wrong.append(f"{counted} of {pool.max_connections} connections in a snapshot")
        held = sum(request.phase in _HOLDING for request in pool.requests)
        if held > pool.active + pool.idle:
            wrong.append(f"{held} requests hold {pool.active + pool.idle} connections")
        if len(pool.requests) > pool.requests_entered:
            wrong.append(f"{len(pool.requests)} requests, {pool.requests_entered} ever entered")
        for request in pool.requests:
            if request.phase_age > request.age or request.age < 0:
                wrong.append(f"a request of age {request.age}: {request.phase_age} in its phase")
    for total in taken.totals:
        if min(total.peak_active, total.peak_queued) < 0:
            wrong.append(f"peaks {total.peak_active} and {total.peak_queued}")
        for origin in total.origins:
            ended = sum(outcome.count for outcome in origin.outcomes)
            now = sum(origin.requests_now.values())
            if ended + now > origin.requests_entered:
                wrong.append(f"{ended} ended and {now} now of {origin.requests_entered} entered")
            if min(origin.phase_seconds.values()) < 0:
                wrong.append(f"negative time: {origin.phase_seconds}")
    return wrong


def times_of(taken: Snapshot) -> dict[tuple[str, str, str], float]:
    """Seconds by pool name, origin and phase, which must not fall."""
    return {
        (total.label, origin.origin, phase): seconds
        for total in taken.totals
        for origin in total.origins
        for phase, seconds in origin.phase_seconds.items()
    }
