"""The size that boards ask for is the one that the diagnosis asks for."""

import math
from collections.abc import Mapping
from pathlib import Path

import pytest

from gluellm_dashboards.signals import sizing
from opentelemetry.instrumentation.gluellm.diagnosis.littles_law import poisson_quantile

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
    """A pool in a steady state: mean numbers of requests per phase, and rates per second.

    ``growth`` is by how much the queue grows a second, from ``queued`` on; ``sent_again`` are
    further ones that timed out, as calls that had before.
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
    """The approximation that PromQL can make of the quantile."""
    return math.ceil(mean + 2.33 * math.sqrt(mean))


# Two at once where two a second come for a second each, and some more for chance.
SIZES = {
    "a healthy pool: what is in use": (pool(holding=2, served=2), 2),
    # 20 callers of a pool of 4: the queue stays, and without a limit all would be served.
    "callers that wait for their answer: a place each": (pool(holding=4, queued=16, served=4), 20),
    # 6 arrive a second, 4 are served, a second each: what has piled up says nothing.
    "callers that come whatever happens: arrivals times lease": (
        pool(holding=4, queued=100, growth=2, served=4),
        6,
    ),
    # Connections that nobody gives back don't make the pool too small.
    "a leak: no demand": (pool(holding=2, unread=8, served=2), 2),
    # 6 arrive, 3 are served a second each, 3 give up at once: six places would serve all.
    "waits that were given up: demand": (pool(holding=3, served=3, timed_out=3), 6),
    # 12 arrive a second, 10 are served a second each, 2 give up: 130 queue, and 12 would do.
    "a queue that gives up: as its timeout makes it": (
        pool(holding=10, queued=130, served=10, timed_out=2),
        12,
    ),
    # 4 calls a second, each of which is sent 3 times in vain or served at last.
    "what is sent again: the same demand": (
        pool(holding=4, queued=100, served=2, timed_out=2, sent_again=6),
        8,
    ),
    # Nothing ends within the window: what is in the pool is what is known.
    "requests longer than the window: they count": (pool(holding=5, queued=2, served=0), 7),
    "pools of one name: they share it": (pool(holding=8, served=8, pools=4), 2),
    # Processes don't lend each other connections.
    "several processes: the busiest": (
        [
            *pool(holding=2, served=2),
            *pool(holding=9, served=9, labels={**POOL, "instance": "api-2"}),
        ],
        9,
    ),
}


@pytest.mark.parametrize("what", SIZES)
def test_boards_ask_for_the_size_that_the_load_needs(what: str, tmp_path: Path) -> None:
    written, mean = SIZES[what]
    check(
        tmp_path,
        written,
        (sizing.CONCURRENCY, "10m", {"{}": mean}),
        (sizing.SIZE, "10m", {"{}": normal(mean)}),
    )


def test_without_a_request_that_is_served_a_queue_that_gives_up_tells_nothing(
    tmp_path: Path,
) -> None:
    """Every connection leaks: what waits in vain asks for no place but for what holds them."""
    written = pool(unread=8, queued=50, served=0, timed_out=2)
    check(tmp_path, written, (sizing.CONCURRENCY, "10m", {"{}": 0}))


@pytest.mark.parametrize("mean", [0.5, 1, 2, 5, 10, 20, 50, 100, 500, 1000])
def test_the_approximation_is_close_to_the_quantile(mean: float) -> None:
    """A connection or two beside what the diagnosis says."""
    assert abs(normal(mean) - poisson_quantile(mean)) <= 2
