"""Series of deltas and of sums together, and requests that are taken in steps."""

import pytest

from opentelemetry.instrumentation.gluellm.cli.watch.bounds import SERIES_PER_PROCESS
from opentelemetry.instrumentation.gluellm.cli.watch.intake import Rejected
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from support.otlp import CUMULATIVE, DELTA, LATER, metrics_request, number, pairs

from .watched import Watched

SERIES = SERIES_PER_PROCESS - 10


def many_series(temporality, number_of_series=SERIES):
    """As many as are kept of one process, less a few, unless told otherwise."""
    metric = number(semconv.REQUESTS, 1, temporality=temporality)
    del metric.sum.data_points[:]
    for place in range(number_of_series):
        point = metric.sum.data_points.add(start_time_unix_nano=1, time_unix_nano=LATER, as_int=1)
        point.attributes.extend(pairs({semconv.POOL_NAME: str(place)}))
    return metric


def test_a_restart_forgets_delta_series_too():
    """They are kept apart, and are of the same predecessor."""
    watched = Watched()
    delta = number(semconv.POOL_OPENED, 1, temporality=DELTA)
    watched.intake.take(metrics_request(number(semconv.REQUESTS, 5), delta))
    assert len(watched.process) == 2
    watched.now += 10
    watched.intake.take(metrics_request(number(semconv.REQUESTS, 1, LATER + 10, start=LATER)))
    assert len(watched.process) == 1


@pytest.mark.parametrize("temporalities", [(DELTA, CUMULATIVE), (CUMULATIVE, DELTA)])
def test_a_series_that_changes_its_temporality_is_one_series(temporalities):
    """The last point counts, and what came before is not added."""
    watched = Watched()
    for place, temporality in enumerate(temporalities):
        one = number(semconv.REQUESTS, 5 + place, LATER + place, temporality=temporality)
        watched.intake.take(metrics_request(one))
        watched.now += 10
    assert len(watched.process) == 1
    (pool,) = watched.process.view().pools.values()
    assert pool.requests == 6


def test_a_request_is_taken_in_steps():
    """So that the loop can serve others meanwhile."""
    watched = Watched()
    steps = watched.intake.steps(metrics_request(many_series(CUMULATIVE)), Rejected())
    assert sum(1 for _ in steps) >= 2 * SERIES // 500
    assert len(watched.process) == SERIES
