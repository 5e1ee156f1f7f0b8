"""Histograms without bounds, of one bucket or none. A view with `boundaries=[]` has one."""

import pytest

from opentelemetry.instrumentation.gluellm.cli.histogram import Histogram
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from support.otlp import CUMULATIVE, DELTA, LATER, SECOND, histogram, metrics_request, number

from .watched import Watched

BARE, SINGLE = Histogram(), Histogram((), (5,), 1.0)


@pytest.mark.parametrize("counts", [([], [5]), ([5], []), ([5], [7])], ids=str)
@pytest.mark.parametrize("temporality", [DELTA, CUMULATIVE])
def test_a_series_may_turn_from_one_into_the_other(counts, temporality):
    """The receiver failed, or the view from then on, with ValueError."""
    watched = Watched()
    for place, values in enumerate(counts):
        time = LATER + place * 10 * SECOND
        waits = histogram(semconv.ACQUIRE_DURATION, values, [], time, temporality=temporality)
        served = number(semconv.REQUESTS, 5, time, temporality=temporality)
        assert watched.intake.take(metrics_request(served, waits)).number == 0
        watched.now += 10
    with watched.plain() as screen:
        screen.show()
    assert any("openai/httpx2: active 0" in line for line in watched.said())


def test_neither_is_added_to_or_taken_from_the_other():
    """The first one wins, as with different bounds."""
    assert SINGLE.plus(BARE) == SINGLE
    assert BARE.plus(SINGLE) == SINGLE
    assert SINGLE.since(BARE) == SINGLE
    assert BARE.since(SINGLE) == BARE
    assert SINGLE.plus(SINGLE).counts == (10,)
    assert SINGLE.since(SINGLE).counts == (0,)
