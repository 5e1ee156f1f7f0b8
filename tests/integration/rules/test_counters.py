"""Counters for alerts start at 0, and a closed or collected pool reports 0 for some time."""

import gc

import pytest

from opentelemetry.instrumentation.gluellm.telemetry import semconv
from opentelemetry.instrumentation.gluellm.telemetry.semconv import Instrument
from support.installation import installed


def test_dropped_records_are_reported_as_zero_at_the_start(telemetry):
    """An alert needs the 0 to see the first dropped record. No pool exists yet."""
    assert [p.value for p in telemetry.points(semconv.INSTRUMENTATION_DROPPED)] == [0]


class Ahead:
    """The installation's clock, which tests advance."""

    def __init__(self) -> None:
        self._registry = installed().registry
        self._clock = self._registry.clock
        self.seconds = 0.0
        self._registry.clock = lambda: self._clock() + int(self.seconds * 1e9)


@pytest.mark.parametrize("end", ["closed", "garbage_collected"])
def test_removed_pool_reports_zero_and_then_nothing(threads, library, server, telemetry, end):
    """Its gauges are 0 for ten minutes, so that no dashboard keeps showing the last value."""
    ahead = Ahead()
    pool = threads.pool(library, max_connections=2)
    pool.get(server.url())
    before = telemetry.collect()
    if end == "closed":
        pool.close()
    else:
        pool.forget()
        gc.collect()
    gauges = {
        metric.name
        for metric in semconv.METRICS
        if metric.instrument in (Instrument.OBSERVABLE_GAUGE, Instrument.OBSERVABLE_UP_DOWN_COUNTER)
        and metric not in (semconv.HOOK_MISSING, semconv.PEAK_ACTIVE, semconv.PEAK_QUEUED)
    }
    limits = {
        semconv.CONNECTION_MAX.name,
        semconv.CONNECTION_IDLE_MAX.name,
        semconv.ACQUIRE_TIMEOUT.name,
    }
    for seconds in (0.0, 590.0):
        ahead.seconds = seconds
        points = telemetry.collect()
        for name in (gauges & before.keys()) - limits:
            assert [p.value for p in points[name]] == [0] * len(before[name]), name
        assert telemetry.by(semconv.POOL_DISCARDED, "discard") == {end: 1}
    ahead.seconds = 610.0
    points = telemetry.collect()
    # Only histograms are left, which the SDK keeps.
    left = {
        metric.name
        for metric in semconv.METRICS
        if metric.instrument is not Instrument.HISTOGRAM
        and any(semconv.POOL_NAME in point.attributes for point in points.get(metric.name, ()))
    }
    assert left == set()


def test_peak_is_kept_when_its_pool_is_removed(threads, library, server, telemetry):
    """With a pool per call, pools are closed before a collection, but were busy."""
    ahead = Ahead()
    pool = threads.pool(library)
    pool.get(server.url())
    pool.close()
    assert telemetry.value(semconv.PEAK_ACTIVE) == 1
    ahead.seconds = 200.0
    assert telemetry.value(semconv.PEAK_ACTIVE) == 0
