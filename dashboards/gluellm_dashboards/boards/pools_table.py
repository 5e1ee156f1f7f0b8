"""Table of all pools, with the most important numbers of each."""

from __future__ import annotations

from opentelemetry.instrumentation.gluellm import thresholds

from .. import config, links
from ..panels import Panel
from ..signals import connections, paging, pools, requests, waiting
from ..style import GREEN, ORANGE, RED, Steps
from ..tables import Column, rows
from ..variables import POOL, PROVIDER
from . import shared

CHURN: Steps = [
    (0, GREEN),
    (thresholds.CHURN_BOARD_WARNING, ORANGE),
    (thresholds.CHURN_BOARD_MUCH, RED),
]
"""Colours by the number of pools per request."""


def pools_table() -> Panel:
    """Return a table with a row per pool, whose cells link to the pool and provider boards."""
    return rows(
        "Pools",
        {
            config.JOB: "Service",
            PROVIDER: "Provider",
            POOL: "Pool",
            "gluellm_pool_library": "Library",
        },
        [
            Column(title="Queued", signal=waiting.QUEUED_NOW, steps=[(0, GREEN), (1, ORANGE)]),
            Column(
                title="Oldest",
                signal=waiting.OLDEST_WAITER,
                steps=shared.WAIT,
            ),
            Column(
                title="Full",
                signal=connections.OCCUPANCY,
                steps=[
                    (0, GREEN),
                    (thresholds.OCCUPANCY_HIGH, ORANGE),
                    (thresholds.OCCUPANCY_FULL, RED),
                ],
            ),
            Column(title="Peak", signal=connections.HIGHEST_PEAK),
            Column(title="Limit", signal=connections.LOWEST_LIMIT),
            Column(
                title="Wait p95",
                signal=waiting.WAIT_P95,
                steps=shared.WAIT,
            ),
            Column(title="Timeout", signal=waiting.POOL_TIMEOUT),
            Column(
                title="Timed out",
                signal=paging.POOL_TIMEOUTS,
                window=config.RATE_WINDOW,
                steps=[(0, GREEN), (0.5, ORANGE), (thresholds.POOL_TIMEOUT_ALERT_COUNT, RED)],
            ),
            Column(title="Leaks", signal=pools.LEAKS_SUSPECTED, steps=[(0, GREEN), (1, RED)]),
            Column(
                title="Unreachable",
                signal=paging.CONNECT_FAILURES,
                window=config.RATE_WINDOW,
                steps=[(0, GREEN), (0.5, ORANGE), (thresholds.CONNECT_FAILURE_ALERT_COUNT, RED)],
            ),
            Column(
                title="Dropped",
                signal=paging.REUSE_FAILURES,
                window=config.RATE_WINDOW,
                steps=[(0, GREEN), (0.5, ORANGE), (thresholds.REUSE_FAILURE_ALERT_COUNT, RED)],
            ),
            Column(
                title="Failed",
                signal=requests.FAILED_SHARE,
                steps=shared.FAILED,
            ),
            Column(title="Requests", signal=requests.REQUESTS, decimals=2),
            Column(
                title="Resent",
                signal=requests.RESEND_SHARE,
                steps=shared.RESENT,
            ),
            Column(
                title="Churn",
                signal=pools.CHURN,
                window=config.RATE_WINDOW,
                steps=CHURN,
            ),
        ],
        description="Each pool now, with the longest wait on top. Full: occupancy. Peak: largest "
        "number in use in one process. Limit: smallest limit of a single pool; if instances "
        "differ, see the fleet. Failed: share of requests that ended in an error or in a status of "
        "at least 400. Timed out (pool timeouts), Unreachable (connect failures) and Dropped "
        "(reuse failures) count requests of the last 5 minutes. Churn: pools per request. A dash "
        "means no data: a pool without a limit has no occupancy, and a timeout can be unset. "
        "Click a pool or a provider for details.",
        links={
            "Pool": [
                links.to_board(
                    "Why is this pool slow?",
                    links.POOL,
                    job="${__data.fields.Service}",
                    provider="${__data.fields.Provider}",
                    pool="${__data.fields.Pool}",
                )
            ],
            "Provider": [
                links.to_board(
                    "Is it them or us?",
                    links.PROVIDER,
                    job="${__data.fields.Service}",
                    provider="${__data.fields.Provider}",
                )
            ],
        },
        sort="Oldest",
        height=7,
    )
