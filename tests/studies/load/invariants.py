"""What holds of any collection of metrics and of any snapshot, whatever happened."""

from __future__ import annotations

from collections.abc import Mapping
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


def wrong_in_reading(reported: Collection) -> list[str]:
    """What holds of each collection by itself, at any moment."""
    found = [
        (amount(point) < 0, f"{name} is negative: {amount(point)} {dict(point.attributes or {})}")
        for name, points in reported.points.items()
        for point in points
    ]
    for point in reported.points.get(semconv.OCCUPANCY_RATIO.name, ()):
        found.append((not 0 <= point.value <= 1, f"occupancy is {point.value}"))
    established = reported.total(semconv.OPEN_CONNECTIONS)
    connecting = reported.total(semconv.CONNECTION_CONNECTING)
    most, peak = reported.total(semconv.CONNECTION_MAX), reported.total(semconv.PEAK_ACTIVE)
    busy = reported.total(semconv.OPEN_CONNECTIONS, state="active") + connecting
    active = reported.total(semconv.ACTIVE_REQUESTS)
    phases = reported.total(semconv.REQUEST_CURRENT)
    live = reported.total(semconv.POOL_LIVE)
    found += [
        (
            live and established + connecting > most,
            f"{established} open and {connecting} connecting of {most} connections",
        ),
        (peak < busy, f"peak.active {peak} is below {busy} busy ones"),
        (active != phases, f"{active} active requests, and {phases} over their phases"),
    ]
    for metric in (semconv.INSTRUMENTATION_ERRORS, semconv.INSTRUMENTATION_DROPPED):
        found.append((reported.total(metric), f"{metric.name}: {reported.by(metric, 'kind')}"))
    return [words for wrong, words in found if wrong]


def fallen(before: Mapping[Any, float], now: Mapping[Any, float]) -> list[str]:
    """Values that are lower than before, over all installations that feed one Meter."""
    return [
        f"{key} fell from {before[key]} to {value}"
        for key, value in now.items()
        if value < before.get(key, 0)
    ]


def wrong_in_times(first: Collection, second: Collection) -> list[str]:
    """Between two readings without a step, time grows by as much as there are requests."""
    wrong = []
    least, most = second.since - first.until, second.until - first.since
    before, after = (each.by(semconv.REQUEST_CURRENT, "phase") for each in (first, second))
    for phase, count in after.items():
        grown = second.phases[phase] - first.phases[phase]
        if count == before[phase] and not count * least - 1e-6 <= grown <= count * most + 1e-6:
            wrong.append(
                f"request.time of {phase} grew by {grown:.6f} s, with {count:.0f} requests in it "
                f"for {least:.6f} to {most:.6f} s each"
            )
    return wrong


def wrong_in_snapshot(taken: Snapshot) -> list[str]:
    """What holds of each snapshot by itself, at any moment."""
    found: list[tuple[Any, str]] = []
    for pool in taken.pools:
        counted, number = pool.active + pool.idle + pool.connecting, len(pool.requests)
        held = sum(request.phase in _HOLDING for request in pool.requests)
        most = pool.max_connections or 0
        established = pool.active + pool.idle
        found += [
            (counted > most, f"{counted} of {most} connections in a snapshot"),
            (held > established, f"{held} requests hold {established} connections"),
            (number > pool.requests_entered, f"{number} requests, fewer ever entered"),
        ]
        for request in pool.requests:
            young = request.phase_age > request.age or request.age < 0
            found.append((young, f"a request of age {request.age}: {request.phase_age} in a phase"))
    for total in taken.totals:
        peaks = total.peak_active, total.peak_queued
        found.append((min(peaks) < 0, f"peaks {peaks}"))
        for origin in total.origins:
            number = sum(outcome.count for outcome in origin.outcomes)
            number += sum(origin.requests_now.values())
            entered, times = origin.requests_entered, origin.phase_seconds
            found.append((number > entered, f"{number} requests of {entered} that entered"))
            found.append((min(times.values()) < 0, f"negative time: {times}"))
    return [words for wrong, words in found if wrong]


def times_of(taken: Snapshot) -> dict[tuple[str, str, str], float]:
    """Seconds by pool name, origin and phase, which must not fall."""
    return {
        (total.label, origin.origin, phase): seconds
        for total in taken.totals
        for origin in total.origins
        for phase, seconds in origin.phase_seconds.items()
    }
