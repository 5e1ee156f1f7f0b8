"""Is any pool hurting, and which?"""

from __future__ import annotations

from .. import config, links
from ..panels import Column, Line, Panel, bars, figure, lines, rows, words
from ..signals import connections, paging, pools, process, requests, waiting
from ..style import GREEN, ORANGE, PHASE_COLORS, RED
from ..variables import POOL, PROVIDER
from .board import Board, Row

BY_PART = (requests.SHARES_OF_PROVIDER, requests.SHARES_OF_POOL, requests.SHARES_OF_APPLICATION)
"""From the bottom to the top of a stack."""
NO_REQUESTS = "No requests in this range. Is a service exporting? Run `gluellm-pools verify`."
_LABELS = (PROVIDER, POOL)
_LEGEND = f"{{{{{PROVIDER}}}}} / {{{{{POOL}}}}}"
_CHURN_WINDOW = "15m"
"""Long enough that the start of a process does not look like churn for long."""

_READING = f"""\
1. **Event loop lag above {config.LAG_WARNING:g} s?** Find what blocks the loop first: no other \
verdict holds while it does.
2. **Somebody waits?** See *Where does the time go*: warm over a steady blue is a pool that is too \
small; more blue per request is a slow provider; purple that never drains is responses that \
nobody reads.
3. **Which pool?** The worst is on top of the table. Its name leads to *why is this pool slow*, \
its provider to *is it them or us*.
"""


def board() -> Board:
    """It."""
    return Board(
        uid=links.OVERVIEW,
        title="GlueLLM pools: overview",
        question="Is any pool hurting, and which?",
        rows=[
            Row("", [words("How to read this board", _READING, height=4), *_status()]),
            Row("Whose fault is the waiting?", _time()),
            Row("How full, and how long is the wait?", _waiting()),
            Row("Which pool?", [_table()]),
            Row("Can these numbers be trusted?", _trust()),
        ],
    )


def _status() -> list[Panel]:
    return [
        figure(
            "Queued now",
            waiting.QUEUED_NOW,
            [(0, GREEN), (1, ORANGE)],
        ),
        figure(
            "Oldest waiter",
            waiting.OLDEST_WAITER,
            [(0, GREEN), (config.WAIT_WARNING, ORANGE), (config.STUCK_AFTER, RED)],
            links=[links.to_runbook("GlueLLMRequestsStuck")],
        ),
        figure(
            "Pool timeouts",
            paging.POOL_TIMEOUTS,
            [(0, GREEN), (0.5, ORANGE), (config.TIMEOUT_COUNT, RED)],
            window=config.RATE_WINDOW,
            links=[links.to_runbook("GlueLLMPoolTimeouts")],
        ),
        figure(
            "Suspected leaks",
            pools.LEAKS_SUSPECTED,
            [(0, GREEN), (1, RED)],
            links=[links.to_runbook("GlueLLMConnectionLeakSuspected")],
        ),
        figure(
            "Pools per request",
            pools.CHURN,
            [(0, GREEN), (1 / config.CHURN_REQUESTS_PER_POOL, RED)],
            window=_CHURN_WINDOW,
            no_value="no requests",
            links=[links.to_runbook("GlueLLMClientChurn")],
        ),
        figure(
            "Connect failures",
            paging.CONNECT_FAILURES,
            [(0, GREEN), (0.5, ORANGE), (config.CONNECT_FAILURE_COUNT, RED)],
            window=config.RATE_WINDOW,
            links=[links.to_runbook("GlueLLMConnectFailures")],
        ),
        figure(
            "Event loop lag",
            process.EVENT_LOOP_LAG,
            [(0, GREEN), (config.LAG_WARNING, ORANGE), (config.LAG_CRITICAL, RED)],
            no_value="none seen",
            links=[links.to_runbook("GlueLLMEventLoopBlocked")],
        ),
        figure(
            "Blind seams",
            process.BLIND_SEAMS,
            [(0, GREEN), (1, ORANGE)],
            links=[links.to_runbook("GlueLLMBlind")],
        ),
    ]


def _time() -> list[Panel]:
    return [
        lines(
            "Where does the time go?",
            [Line(signal=share, legend="{{gluellm_request_phase}}") for share in BY_PART],
            width=16,
            height=9,
            stacked=True,
            most=1,
            colors=PHASE_COLORS,
            no_value=NO_REQUESTS,
            calculations=("mean", "lastNotNull"),
        ),
        lines(
            "Time lost to waiting, per minute",
            [Line(signal=waiting.TIME_LOST, legend=_LEGEND, by=_LABELS)],
            width=8,
            height=9,
            links=_to_both(),
        ),
    ]


def _waiting() -> list[Panel]:
    return [
        bars(
            "Occupancy of each provider",
            [Line(signal=connections.OCCUPANCY, legend=f"{{{{{PROVIDER}}}}}", by=(PROVIDER,))],
            [(0, GREEN), (config.OCCUPANCY_WARNING, ORANGE), (config.OCCUPANCY_FULL, RED)],
            most=1,
            no_value="No pool with a limit has reported. Run `gluellm-pools verify`.",
            links=[_to_provider()],
        ),
        lines(
            "How long do requests wait?",
            [
                Line(signal=waiting.WAIT_P50, legend="p50", by=()),
                Line(signal=waiting.WAIT_P95, legend="p95", by=()),
                Line(signal=waiting.WAIT_P99, legend="p99", by=()),
            ],
            width=8,
            steps=[(config.STUCK_AFTER, RED)],
            no_value=NO_REQUESTS,
            description=f"{waiting.WAIT_P95.tells} {waiting.WAIT_P99.tells} The dashed line is "
            "where waiting counts as stuck.",
        ),
        lines(
            "How long has the oldest waited?",
            [Line(signal=waiting.OLDEST_WAITER, legend=_LEGEND)],
            width=8,
            steps=[(config.STUCK_AFTER, RED)],
            links=_to_both(),
        ),
    ]


def _table() -> Panel:
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
                steps=[(0, GREEN), (config.WAIT_WARNING, ORANGE), (config.STUCK_AFTER, RED)],
            ),
            Column(
                title="Occupancy",
                signal=connections.OCCUPANCY,
                steps=[
                    (0, GREEN),
                    (config.OCCUPANCY_WARNING, ORANGE),
                    (config.OCCUPANCY_FULL, RED),
                ],
                decimals=0,
            ),
            Column(title="Peak in use", signal=connections.PEAK_ACTIVE),
            Column(title="Limit", signal=connections.LIMIT),
            Column(
                title="Wait p95",
                signal=waiting.WAIT_P95,
                steps=[(0, GREEN), (config.WAIT_WARNING, ORANGE), (config.STUCK_AFTER, RED)],
            ),
            Column(title="Pool timeout", signal=waiting.POOL_TIMEOUT),
            Column(
                title="Timeouts",
                signal=paging.POOL_TIMEOUTS,
                window=config.RATE_WINDOW,
                steps=[(0, GREEN), (0.5, ORANGE), (config.TIMEOUT_COUNT, RED)],
                decimals=0,
            ),
            Column(title="Leaks", signal=pools.LEAKS_SUSPECTED, steps=[(0, GREEN), (1, RED)]),
            Column(title="Reused", signal=connections.REUSE_SHARE, decimals=0),
            Column(title="Requests", signal=requests.REQUESTS, decimals=2),
            Column(
                title="Churn",
                signal=pools.CHURN,
                window=_CHURN_WINDOW,
                steps=[(0, GREEN), (1 / config.CHURN_REQUESTS_PER_POOL, RED)],
                decimals=0,
            ),
        ],
        description="Everything that matters of each pool, now; the longest wait on top. The limit "
        "is that of a single pool; timeouts are pool timeouts within 5 minutes; churn is pools for "
        "a request. A dash is no data: a pool without a limit has no occupancy, and a pool timeout "
        "can be unset. Click a pool or a provider to see more of it.",
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
                    "Is it them or us?", links.PROVIDER, provider="${__data.fields.Provider}"
                )
            ],
        },
        sort="Oldest",
    )


def _trust() -> list[Panel]:
    return [
        lines(
            "How late are event loops?",
            [Line(signal=process.EVENT_LOOP_LAG, legend="{{job}}", by=(config.JOB,))],
            width=8,
            steps=[(config.LAG_WARNING, ORANGE), (config.LAG_CRITICAL, RED)],
            no_value="No async pool seen.",
            links=[links.to_runbook("GlueLLMEventLoopBlocked")],
        ),
        rows(
            "Which signals work?",
            {"gluellm_pool_library": "Library", "gluellm_seam": "Seam"},
            [
                Column(
                    title="Signal",
                    signal=process.SEAMS,
                    steps=[(0, ORANGE), (1, GREEN)],
                    names={0: "missing", 1: "works"},
                )
            ],
            description=f"{process.SEAMS.tells} What is missing is on top.",
            sort="Signal",
            lowest_first=True,
            width=8,
            height=8,
        ),
        lines(
            "Does the instrumentation itself fail?",
            [
                Line(signal=process.ERRORS, legend="error: {{gluellm_instrumentation_kind}}"),
                Line(signal=process.RECORDS_DROPPED, legend="records dropped"),
            ],
            width=8,
            no_value="No failure of its own seen.",
        ),
    ]


def _to_both() -> list[links.Link]:
    return [
        links.to_board(
            "Why is this pool slow?",
            links.POOL,
            provider=f"${{__field.labels.{PROVIDER}}}",
            pool=f"${{__field.labels.{POOL}}}",
        ),
        _to_provider(),
    ]


def _to_provider() -> links.Link:
    return links.to_board(
        "Is it them or us?", links.PROVIDER, provider=f"${{__field.labels.{PROVIDER}}}"
    )
