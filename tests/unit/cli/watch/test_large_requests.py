"""A request within the bounds costs no more than what is in it, whatever is kept already."""

import time

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from opentelemetry.instrumentation.gluellm.cli.watch.bounds import SERIES_PER_PROCESS
from opentelemetry.instrumentation.gluellm.cli.watch.intake import Rejected
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from support.otlp import CUMULATIVE, DELTA, LATER, metrics_request, number, pairs

from .watched import Watched

SERIES = SERIES_PER_PROCESS - 10
REPEATED = 2_000
MOST_TIMES, SLACK = 3, 0.2
"""As much as without what is kept: it is the same, and was 8 to 15 times as much."""


def many_series(temporality, number_of_series=SERIES):
    """As many as are kept of one process, less a few, unless told otherwise."""
    metric = number(semconv.REQUESTS, 1, temporality=temporality)
    del metric.sum.data_points[:]
    for place in range(number_of_series):
        point = metric.sum.data_points.add(start_time_unix_nano=1, time_unix_nano=LATER, as_int=1)
        point.attributes.extend(pairs({semconv.POOL_NAME: str(place)}))
    return metric


def spent(watched, request):
    """Seconds of the processor, of this thread alone."""
    began = time.thread_time()
    watched.intake.take(request)
    return time.thread_time() - began


def test_collections_of_one_request_do_not_look_at_every_delta_series():
    """Of a body of 5 MB the watch stood still for 25 s."""
    request = ExportMetricsServiceRequest()
    for place in range(REPEATED):
        one = metrics_request(number(semconv.REQUESTS, 1, LATER + 1 + place, temporality=DELTA))
        request.resource_metrics.extend(one.resource_metrics)
    seconds = []
    for kept in (1, SERIES):
        watched = Watched()
        watched.intake.take(metrics_request(many_series(DELTA, kept)))
        seconds.append(spent(watched, request))
        assert len(watched.process) == kept + 1
    assert seconds[1] < MOST_TIMES * seconds[0] + SLACK


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
