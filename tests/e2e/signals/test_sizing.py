"""Boards recommend the same pool size as the diagnosis."""

import math
from collections.abc import Mapping
from pathlib import Path

import pytest

from gluellm_dashboards.signals import sizing
from gluellm_diagnosis.littles_law import poisson_quantile

from .asking import POOL, check, series

_MINUTES = 12


def pool(
    *,
    holding: float = 0,
    queued: float = 0,
    unread: float = 0,
    growth: float = 0,
    served: float,
    timed_out: float = 0,
    sent_again: float = 0,
    pools: int = 1,
    labels: Mapping[str, str] = POOL,
) -> list[dict[str, str]]:
    """Return series of a steady pool: mean numbers of requests per phase, and rates per second.

    The queue begins with ``queued`` and grows by ``growth`` per second. ``sent_again`` is the rate
    of resent requests that timed out, in addition to ``timed_out``.
    """
    phases = {"awaiting_response": holding, "queued": queued, "unread": unread}
    time = "gluellm_pool_request_time_seconds_total"
    steady = [
        series(time, {**labels, "gluellm_request_phase": phase}, _line(0, number * 60))
        for phase, number in phases.items()
    ]
    ended = (
        {"http_response_status_code": "200"},
        {"error_type": "pool_timeout"},
        {"error_type": "pool_timeout", "gluellm_request_resend": "true"},
    )
    requests = [
        series("gluellm_pool_requests_total", {**labels, **how}, _line(0, rate * 60))
        for how, rate in zip(ended, (served, timed_out, sent_again), strict=True)
        if rate or not how.get("gluellm_request_resend")
    ]
    current = {**labels, "gluellm_request_phase": "queued"}
    return [
        *steady,
        *requests,
        series("gluellm_pool_request_current", current, _line(queued, growth * 60)),
        series("gluellm_pool_live", labels, _line(pools, 0)),
    ]


def _line(start: float, step: float) -> str:
    return f"{start:g}+{step:g}x{_MINUTES}"


def normal(mean: float) -> int:
    """Approximate the quantile as the boards do in PromQL."""
    return math.ceil(mean + 2.33 * math.sqrt(mean))


# By Little's law, 2 requests per second that take 1 s each need 2 connections, plus a margin.
SIZES = {
    "a healthy pool: the connections in use": (pool(holding=2, served=2), 2),
    # 20 callers share a pool of 4: the queue stays, and without a limit all would be served.
    "callers that wait for their answer: one each": (pool(holding=4, queued=16, served=4), 20),
    # 6 arrive per second, 4 are served, in 1 s each: the length of the queue does not matter.
    "callers that do not wait: arrivals times lease": (
        pool(holding=4, queued=100, growth=2, served=4),
        6,
    ),
    # Leaked connections are not demand.
    "a leak: no demand": (pool(holding=2, unread=8, served=2), 2),
    # 6 arrive per second, 3 are served in 1 s each, 3 time out at once: 6 would serve all.
    "pool timeouts: demand": (pool(holding=3, served=3, timed_out=3), 6),
    # 12 arrive per second, 10 are served in 1 s each, 2 time out: 130 queue, but 12 are enough.
    "a queue with timeouts: arrivals times lease": (
        pool(holding=10, queued=130, served=10, timed_out=2),
        12,
    ),
    # 4 calls per second. Half of them time out, and their requests are resent 3 times in vain.
    "resent requests: the same demand": (
        pool(holding=4, queued=100, served=2, timed_out=2, sent_again=6),
        8,
    ),
    # No request ends within the window: only the current requests are known.
    "requests longer than the window: they count": (pool(holding=5, queued=2, served=0), 7),
    "pools of one name: they share it": (pool(holding=8, served=8, pools=4), 2),
    # Processes don't share connections.
    "several processes: the busiest": (
        [
            *pool(holding=2, served=2),
            *pool(holding=9, served=9, labels={**POOL, "instance": "api-2"}),
        ],
        9,
    ),
}


@pytest.mark.parametrize("what", SIZES)
def test_boards_recommend_the_size_that_the_load_needs(what: str, tmp_path: Path) -> None:
    written, mean = SIZES[what]
    check(
        tmp_path,
        written,
        (sizing.CONCURRENCY, "10m", {"{}": mean}),
        (sizing.SIZE, "10m", {"{}": normal(mean)}),
    )


def test_pool_timeouts_are_no_demand_if_no_request_is_served(
    tmp_path: Path,
) -> None:
    """If every connection leaks, requests time out because of the leak, not of the size."""
    written = pool(unread=8, queued=50, served=0, timed_out=2)
    check(tmp_path, written, (sizing.CONCURRENCY, "10m", {"{}": 0}))


@pytest.mark.parametrize("mean", [0.5, 1, 2, 5, 10, 20, 50, 100, 500, 1000])
def test_the_approximation_is_close_to_the_quantile(mean: float) -> None:
    """The two sizes differ by at most two connections."""
    assert abs(normal(mean) - poisson_quantile(mean)) <= 2


def test_no_size_is_shown_while_no_request_is_released(tmp_path: Path) -> None:
    """Pool timeouts release nothing."""
    stuck = pool(holding=5, queued=2, served=0, timed_out=2)
    check(tmp_path, stuck, (sizing.SIZE_NOW, "10m", {}))
    check(tmp_path, pool(holding=2, served=2), (sizing.SIZE_NOW, "10m", {"{}": normal(2)}))
