"""Extreme numbers are rejected, or drawn within bounds."""

import io

import pytest
from rich.console import Console

from gluellm_pools.render import row_block, view_lines
from gluellm_pools.view import PoolKey, PoolView, View
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from support.otlp import CUMULATIVE, LATER, SECOND, gauge, histogram, metrics_request, number

from .watched import Watched

TIMES = {"queued": 1e15, "connecting": -1e15, "reading": 1e-300}
"""Their sum is almost 0, so each would be a huge share of it."""


def test_negative_count_of_a_monotonic_counter_is_rejected():
    """Either the point or the contract marks it as monotonic."""
    for metric in (
        number(semconv.REQUEST_TIME, -1.5),
        number(semconv.REQUEST_TIME, -1.5, monotonic=False),
        number(semconv.REQUEST_CURRENT, -1, temporality=CUMULATIVE),
        gauge(semconv.REQUEST_TIME, -1.5),
    ):
        (rejected,) = Watched().take(metrics_request(metric))
        assert "negative" in rejected


def test_an_export_of_wild_numbers_is_drawn():
    """Such an export raised OverflowError in the live view."""
    watched = Watched(terminal=True)
    points = [
        number(semconv.REQUEST_TIME, value, gluellm__request__phase=phase)
        for phase, value in TIMES.items()
    ]
    stages = [
        number(semconv.CALL_TIME, value, gluellm__call__stage=stage)
        for stage, value in zip(("limited", "backoff", "requesting"), TIMES.values(), strict=True)
    ]
    calls = [
        number(metric, 1e15, gluellm__call__stage="backoff", gluellm__call__outcome="failed")
        for metric in (semconv.CALL_CURRENT, semconv.CALLS, semconv.CALL_RETRIES)
    ]
    watched.take(metrics_request(number(semconv.REQUESTS, 5), *points, *stages, *calls))
    display = watched.live()
    display.start()
    display.finish()
    assert "openai/httpx2" in watched.out.getvalue()
    assert "1000000000000000 failed" in watched.out.getvalue()


def test_shares_and_bars_stay_within_the_whole():
    """No bar is too long and no share is above 100 %, whatever the numbers are."""
    key, pool = PoolKey("openai", "httpx2"), PoolView(requests=5, seconds_by_phase=TIMES)
    console = Console(file=io.StringIO(), width=80, color_system=None)
    console.print(row_block(key, pool, 80))
    assert "reading 100%  queued 100%" in console.file.getvalue()
    assert "inf" not in "".join(view_lines(View({key: pool})))


# Histograms without bounds, of one bucket or none. A view with `boundaries=[]` has one


@pytest.mark.parametrize("counts", [([], [5]), ([5], []), ([5], [7])], ids=str)
def test_series_may_change_its_kind_of_histogram(counts):
    """This raised ValueError in the receiver, or in each later view."""
    watched = Watched()
    for place, values in enumerate(counts):
        time = LATER + place * 10 * SECOND
        waits = histogram(semconv.ACQUIRE_DURATION, values, [], time)
        served = number(semconv.REQUESTS, 5, time)
        assert watched.take(metrics_request(served, waits)) == []
        watched.now += 10
    watched.lines().show()
    assert any("openai/httpx2: connections: 0 active" in line for line in watched.tail())
