"""The size that boards ask for is the one that the diagnosis asks for."""

from __future__ import annotations

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


def asks_for(folder: Path, written: list[dict[str, str]], mean: float) -> None:
    check(folder, written, sizing.CONCURRENCY, "10m", {"{}": mean})
    check(folder, written, sizing.SIZE, "10m", {"{}": normal(mean)})


def test_a_healthy_pool_needs_what_is_in_use_and_some_more(tmp_path: Path) -> None:
    """Two a second for a second each: two at once in the mean."""
    asks_for(tmp_path, pool(holding=2, served=2), 2)


def test_callers_that_wait_for_their_answer_need_a_place_each(tmp_path: Path) -> None:
    """20 callers of a pool of 4: the queue stays, and without a limit all would be served."""
    asks_for(tmp_path, pool(holding=4, queued=16, served=4), 20)


def test_callers_that_come_whatever_happens_need_arrivals_times_lease(tmp_path: Path) -> None:
    """6 arrive a second, 4 are served, a second each: what has piled up says nothing."""
    asks_for(tmp_path, pool(holding=4, queued=100, growth=2, served=4), 6)


def test_a_leak_is_no_demand(tmp_path: Path) -> None:
    """Connections that nobody gives back don't make the pool too small."""
    asks_for(tmp_path, pool(holding=2, unread=8, served=2), 2)


def test_waits_that_were_given_up_are_demand(tmp_path: Path) -> None:
    """6 arrive, 3 are served a second each, 3 give up at once: six places would serve all."""
    asks_for(tmp_path, pool(holding=3, served=3, timed_out=3), 6)


def test_a_queue_that_gives_up_is_as_long_as_its_timeout_makes_it(tmp_path: Path) -> None:
    """12 arrive a second, 10 are served a second each, 2 give up: 130 queue, and 12 would do."""
    asks_for(tmp_path, pool(holding=10, queued=130, served=10, timed_out=2), 12)


def test_what_is_sent_again_is_the_same_demand(tmp_path: Path) -> None:
    """4 calls a second, each of which is sent 3 times in vain or served at last."""
    asks_for(tmp_path, pool(holding=4, queued=100, served=2, timed_out=2, sent_again=6), 8)


def test_without_a_request_that_is_served_nothing_is_known_of_a_queue_that_gives_up(
    tmp_path: Path,
) -> None:
    """Every connection leaks: what waits in vain asks for no place but for what holds them."""
    check(
        tmp_path,
        pool(unread=8, queued=50, served=0, timed_out=2),
        sizing.CONCURRENCY,
        "10m",
        {"{}": 0},
    )


def test_requests_that_run_for_longer_than_the_window_count(tmp_path: Path) -> None:
    """Nothing ends within the window: what is in the pool is what is known."""
    asks_for(tmp_path, pool(holding=5, queued=2, served=0), 7)


def test_pools_of_one_name_share_the_demand(tmp_path: Path) -> None:
    """The size is that of a single pool."""
    asks_for(tmp_path, pool(holding=8, served=8, pools=4), 2)


def test_the_busiest_process_counts(tmp_path: Path) -> None:
    """Processes don't lend each other connections."""
    other = {**POOL, "instance": "api-2"}
    asks_for(tmp_path, [*pool(holding=2, served=2), *pool(holding=9, served=9, labels=other)], 9)


@pytest.mark.parametrize("mean", [0.5, 1, 2, 5, 10, 20, 50, 100, 500, 1000])
def test_the_approximation_is_close_to_the_quantile(mean: float) -> None:
    """A connection or two beside what the diagnosis says."""
    assert abs(normal(mean) - poisson_quantile(mean)) <= 2
