"""The overview board: do calls have problems, why, and in which pool?"""

from __future__ import annotations

from opentelemetry.instrumentation.gluellm import thresholds

from .. import config, links
from ..panels import Line, Panel, figure, lines
from ..signals import calls, connections, paging, pools, process, requests, waiting
from ..style import APPLICATION, GREEN, ORANGE, PHASE_COLORS, PLAIN, RED, STAGE_COLORS
from ..tables import COLORED, Column, rows
from ..variables import POOL, PROVIDER
from . import shared
from .board import Board, Row

_NO_CALL = "none ended"
_NO_CALLS = "No LLM calls ended in this range. Is a service exporting, and with calls=True?"
_NO_ASYNC = "No asyncio loop with a pool seen, or no data."
_STAGE = "{{gluellm_call_stage}}"
_IN_WORDS = {
    "mappings": [{"type": "regex", "options": {"pattern": "/_/g", "result": {"text": " "}}}]
}
_SEVERITY = {
    "mappings": [
        {"type": "value", "options": {"error": {"color": RED}, "warning": {"color": ORANGE}}}
    ],
    "custom.cellOptions": COLORED,
    "custom.width": 90,
}


def board() -> Board:
    """Return the board."""
    return Board(
        uid=links.OVERVIEW,
        opens_with_first=("job",),
        title="GlueLLM pools: overview",
        question="Are calls hurting, why, and which pool? Tables link to the other boards.",
        rows=[
            Row("", [*_status(), _found()]),
            Row("Where does calls' time go?", _time()),
            Row("Which pool?", [_pools()]),
            Row("Which calls fail?", _ends()),
            Row("Can these numbers be trusted?", _trust()),
        ],
    )


def _status() -> list[Panel]:
    """Return the eight tiles: calls of any LLM client, requests that wait, what is not seen."""
    share = thresholds.CALL_FAILURE_SHARE
    return [
        figure("Calls", calls.CALLS, PLAIN, no_value=_NO_CALL),
        figure(
            "Calls failing",
            paging.CALLS_FAILED,
            shared.limits(thresholds.REFUSED_WARNING, share),
            no_value=_NO_CALL,
            links=links.to_runbook("GlueLLMCallsFail"),
        ),
        figure(
            "Slower by",
            calls.SLOWER,
            shared.limits(thresholds.SLOWER - 1, thresholds.CALL_SLOWER - 1),
            no_value="no calls 1 h ago",
            links=links.to_runbook("GlueLLMCallsSlow"),
        ),
        figure(
            "Silent calls",
            calls.SILENT,
            shared.limits(1, thresholds.CALL_SILENT_COUNT),
            no_value=_NO_CALL,
            links=links.to_runbook("GlueLLMCallsSilent"),
        ),
        figure("Amplification", calls.RETRIES_PER_CALL, shared.RESENT, no_value="not known"),
        *shared.waiters(),
        figure("Blind", process.BLIND, shared.SOME, links=links.to_runbook("GlueLLMBlind")),
    ]


def _found() -> Panel:
    provider, pool = "${__data.fields.Provider}", "${__data.fields.Pool}"
    return rows(
        "What do the processes find now?",
        {
            "gluellm_finding_kind": "Finding",
            "gluellm_finding_severity": "Severity",
            PROVIDER: "Provider",
            POOL: "Pool",
        },
        [Column("Instances", process.FINDINGS, decimals=0), Column("For", process.FINDINGS_FOR)],
        description=f"{process.FINDINGS.tells} `For`: {process.FINDINGS_FOR.tells}",
        settings={"Finding": _IN_WORDS, "Severity": _SEVERITY},
        links={
            "Finding": links.to_guide(),
            "Instances": [links.to_board("Which instances?", links.FLEET, recorded=True)],
            "Provider": [links.to_board("Is it them or us?", links.PROVIDER, provider=provider)],
            "Pool": [links.to_board("Why is this pool slow?", links.POOL, pool=pool)],
        },
        sort="Severity",
        descending=False,
        height=6,
        no_value='Nothing found, or not judged: see "Do processes judge themselves?" below.',
    )


def _time() -> list[Panel]:
    return [
        lines(
            "Where does a call's time go?",
            Line(calls.TIME_BY_STAGE, _STAGE),
            stacked=True,
            colors=STAGE_COLORS,
            no_value=_NO_CALLS,
            calculations=("mean", "last"),
        ),
        lines(
            "Where does a request's time go?",
            Line(requests.SHARES_BY_PHASE, shared.PHASE),
            order=tuple(PHASE_COLORS),
            stacked=True,
            most=1,
            colors=PHASE_COLORS,
            calculations=("mean", "last"),
        ),
        lines(
            "How long do requests wait?",
            Line(waiting.WAIT_P50, "p50"),
            Line(waiting.WAIT_P95, "p95"),
            Line(waiting.WAIT_P99, "p99"),
            steps=shared.STUCK,
            note="Above the dashed line, a request counts as stuck.",
        ),
        lines(
            "How long does a call take?",
            Line(calls.TIME_PER_CALL, "mean"),
            Line(calls.TIME_PER_CALL_BEFORE, "mean 1 h before"),
            Line(calls.DURATION_P95, "p95"),
            no_value=_NO_CALLS,
            links=links.to_runbook("GlueLLMCallsSlow"),
        ),
        lines(
            "How long has a call made no progress?",
            Line(calls.OLDEST_BY_STAGE, _STAGE),
            Line(calls.SILENCE, "no item"),
            colors=STAGE_COLORS,
            no_value=_NO_CALLS,
            links=links.to_runbook("GlueLLMCallsSilent"),
        ),
        lines(
            "How long does a provider take for a request?",
            Line(requests.TIME_AT_PROVIDER, f"{{{{{PROVIDER}}}}}", (PROVIDER,)),
            links=[
                links.to_board(
                    "Is it them or us?", links.PROVIDER, provider=f"${{__field.labels.{PROVIDER}}}"
                )
            ],
        ),
    ]


def _pools() -> Panel:
    """Return a table with a row per pool, whose cells link to the pool and provider boards."""
    job, provider, pool = (f"${{__data.fields.{name}}}" for name in ("Service", "Provider", "Pool"))
    churn = shared.limits(thresholds.CHURN_BOARD_WARNING, thresholds.CHURN_BOARD_MUCH)
    unreachable, dropped = paging.CONNECT_FAILURES, paging.REUSE_FAILURES
    much = thresholds.REUSE_FAILURES_MANY
    timed_out = shared.limits(0.5, thresholds.POOL_TIMEOUT_ALERT_COUNT)
    return rows(
        "Pools",
        {
            config.JOB: "Service",
            PROVIDER: "Provider",
            POOL: "Pool",
            "gluellm_pool_library": "Library",
        },
        [
            Column("Queued", waiting.QUEUED_NOW, shared.QUEUED),
            Column("Oldest", waiting.OLDEST_WAITER, shared.WAIT),
            Column("Full", connections.OCCUPANCY, shared.OCCUPANCY),
            Column("Peak", connections.HIGHEST_PEAK),
            Column("Limit", connections.LOWEST_LIMIT),
            Column("Wait p95", waiting.WAIT_P95, shared.WAIT),
            Column("Timeout", waiting.POOL_TIMEOUT),
            Column("Timed out", paging.POOL_TIMEOUTS, timed_out),
            Column("Leaks", pools.LEAKS_SUSPECTED, [(0, GREEN), (1, RED)]),
            Column("Unreachable", unreachable, shared.CONNECT_FAILURES),
            Column("Dropped", dropped, shared.limits(0.5, much)),
            Column("Failed", requests.FAILED_SHARE, shared.FAILED),
            Column("Requests", requests.REQUESTS, decimals=2),
            Column("Resent", requests.RESEND_SHARE, shared.RESENT),
            Column("Churn", pools.CHURN, churn),
        ],
        description="Each pool now, with the longest wait on top. Full: occupancy. Peak: largest "
        "number in use in one process. Limit: smallest limit of a single pool; an annotation marks "
        "its changes, and `gluellm-pools doctor` says what set it (`limits_from`). Failed: share "
        "of requests that ended in an error or in a status of at least 400. Timed out (pool "
        "timeouts), Unreachable (connect failures) and Dropped (reuse failures) count requests of "
        "the last 5 minutes. Churn: pools per request. A dash means no data: a pool without a "
        "limit has no occupancy, and a timeout can be unset. Click a pool or a provider.",
        links={
            "Pool": [
                links.to_board(
                    "Why is this pool slow?", links.POOL, job=job, provider=provider, pool=pool
                )
            ],
            "Provider": [
                links.to_board("Is it them or us?", links.PROVIDER, job=job, provider=provider)
            ],
        },
        sort="Oldest",
        height=7,
    )


def _ends() -> list[Panel]:
    colors = {"succeeded": GREEN, "failed": RED, "cancelled": "#ca95e5", "abandoned": APPLICATION}
    return [
        lines(
            "Why do calls fail?",
            Line(paging.CALL_ERRORS, "{{error_type}}"),
            no_value="No call failed in this range, or no data.",
            links=links.to_runbook("GlueLLMCallsFail"),
        ),
        lines(
            "How do calls end?",
            Line(calls.OUTCOMES, "{{gluellm_call_outcome}}"),
            stacked=True,
            colors=colors,
            no_value=_NO_CALLS,
        ),
        lines(
            "Which share of calls is cancelled?",
            Line(paging.CALLS_CANCELLED, "cancelled"),
            no_value=_NO_CALLS,
            links=links.to_runbook("GlueLLMCallsFail"),
        ),
    ]


def _trust() -> list[Panel]:
    hooks = Column("Missing hooks", process.HOOKS_MISSING, shared.SOME)
    late = Line(process.EVENT_LOOP_LATE, "{{job}}", (config.JOB,))
    return [
        lines(
            "How late are event loops?",
            late,
            width=5,
            steps=shared.LATE[1:],
            at_least_to=shared.LATE_SEEN,
            no_value=_NO_ASYNC,
            links=links.to_guide("why-a-loop-is-late"),
        ),
        lines(
            "How long do event loops pause?",
            Line(process.EVENT_LOOP_LAG, "{{job}}", (config.JOB,)),
            width=5,
            no_value=_NO_ASYNC,
        ),
        rows(
            "Which libraries lack hooks?",
            {"gluellm_hook_library": "Library"},
            [hooks],
            sort="Missing hooks",
            width=4,
        ),
        lines(
            "Do processes judge themselves?",
            Line(process.JUDGEMENTS, "judgements"),
            width=5,
            no_value="No data, or findings are turned off (findings=False).",
        ),
        lines(
            "Does the instrumentation itself fail?",
            Line(process.ERRORS, "error: {{gluellm_instrumentation_kind}}"),
            Line(process.RECORDS_DROPPED, "records dropped"),
            width=5,
            no_value="No failure of its own seen, or no data.",
        ),
    ]
