"""The overview board: do calls have problems, why, and in which pool?"""

from __future__ import annotations

from opentelemetry.instrumentation.gluellm import thresholds

from .. import config, links
from ..panels import Line, Panel, bars, figure, lines, words
from ..signals import calls, connections, paging, pools, process, requests, streams, waiting
from ..signals.signal import Signal
from ..style import GREEN, ORANGE, PHASE_COLORS, RED, STAGE_COLORS, Steps
from ..tables import Column, rows
from ..variables import POOL, PROVIDER, WINDOW
from . import shared
from .board import Board, Row
from .pools_table import CHURN, pools_table

_LABELS = (PROVIDER, POOL)
_LEGEND = f"{{{{{PROVIDER}}}}} / {{{{{POOL}}}}}"

_READING = f"""\
1. **Do calls fail, hang or take longer?** See the first row of figures. *Why do calls fail* names \
the errors, *Where does a call's time go* the stage. `limited` and `backoff` are rate limits and \
retries, `preparing` and `finishing` are the application. If it is `requesting`, read on.
2. **Event loop late for more than {thresholds.LATE_SHARE:.0%} of the time?** Find what blocks the \
loop first. Until then, no other figure can be trusted.
3. **Do requests fail, or are they retried?** The third row of figures shows it. Check it before \
you enlarge a pool.
4. **Do requests wait?** See *Where does the time go*. Purple that never shrinks is unread \
responses. If warm colours grow, see *How long does a provider take for a request*: if that is \
unchanged, the pool is too small or there is a burst; if it is longer, the provider is slow and \
the queue is the result.
5. **Which pool?** The table has the worst one on top. Its name links to *why is this pool slow*, \
its provider to *is it them or us*. If only some instances wait, or limits differ, see the fleet.
6. **All green?** The cause is not in the LLM calls.
"""


def board() -> Board:
    """Return the board."""
    return Board(
        uid=links.OVERVIEW,
        opens_with_first=("job",),
        title="GlueLLM pools: overview",
        question="Are calls hurting, why, and which pool?",
        rows=[
            Row("", [words("How to read this board", _READING, height=6), *_calls(), *_status()]),
            Row("What do the processes find?", _found()),
            Row("Why do calls hurt?", _why()),
            Row("Whose fault is the waiting?", _time()),
            Row("How full, how long is the wait, and for how many?", _waiting()),
            Row("Which pool?", [pools_table()]),
            Row("Can these numbers be trusted?", _trust()),
        ],
    )


def _calls() -> list[Panel]:
    """Return the figures on calls, which is what the application and its users notice."""
    return [
        _figure("Calls", calls.CALLS, [(0, "blue")], no_value=shared.NO_CALL),
        _figure(
            "Calls failing",
            paging.CALLS_FAILED,
            shared.CALLS_FAILING,
            "GlueLLMCallsFail",
            no_value=shared.NO_CALL,
        ),
        _figure(
            "Duration vs. 1 h ago",
            calls.SLOWER,
            [(0, GREEN), (thresholds.SLOWER, ORANGE), (thresholds.CALL_SLOWER, RED)],
            "GlueLLMCallsSlow",
            window=config.SLOW_WINDOW,
            no_value="no calls 1 h ago",
        ),
        _figure(
            "Silent calls",
            calls.SILENT,
            [(0, GREEN), (1, ORANGE), (thresholds.CALL_SILENT_ALERT_COUNT, RED)],
            "GlueLLMCallsSilent",
        ),
        _figure(
            "Amplified by retries",
            calls.RETRIES_PER_CALL,
            shared.RESENT,
            window=config.RATE_WINDOW,
            no_value=shared.NO_CALL,
        ),
        _figure(
            "Calls cancelled",
            paging.CALLS_CANCELLED,
            [(0, GREEN), (thresholds.CALL_CANCELLED_SHARE, ORANGE)],
            "GlueLLMCallsFail",
            no_value=shared.NO_CALL,
        ),
    ]


def _found() -> list[Panel]:
    return [
        rows(
            "What do the processes find now?",
            {
                "gluellm_finding_kind": "Finding",
                "gluellm_finding_severity": "Severity",
                PROVIDER: "Provider",
                POOL: "Pool",
            },
            [Column(title="Instances", signal=process.FINDINGS, decimals=0)],
            description=process.FINDINGS.tells,
            sort="Instances",
            width=16,
            no_value=shared.NOTHING_FOUND,
        ),
        lines(
            "Do processes judge themselves?",
            [Line(signal=process.JUDGEMENTS, legend="judgements")],
            width=8,
            no_value="No data, or findings are turned off.",
        ),
    ]


def _why() -> list[Panel]:
    return [
        shared.why_calls_fail(),
        lines(
            "How long does a call take?",
            [
                Line(signal=calls.TIME_PER_CALL, legend="now", by=shared.ALL),
                Line(signal=calls.TIME_PER_CALL_BEFORE, legend="1 h before", by=shared.ALL),
            ],
            width=8,
            no_value=shared.NO_CALLS,
            links=links.to_runbook("GlueLLMCallsSlow"),
        ),
        shared.where_calls_spend_time(),
        lines(
            "How do calls end?",
            [Line(signal=calls.OUTCOMES, legend="{{gluellm_call_outcome}}")],
            width=8,
            stacked=True,
            colors={
                "succeeded": GREEN,
                "failed": "#c4162a",
                "cancelled": ORANGE,
                "abandoned": "#a352cc",
            },
            no_value=shared.NO_CALLS,
        ),
        lines(
            "How many calls are in which stage?",
            [Line(signal=calls.CURRENT_BY_STAGE, legend=shared.STAGE)],
            width=8,
            stacked=True,
            colors=STAGE_COLORS,
            no_value="No LLM call was made, or no data.",
        ),
        lines(
            "How long has a call made no progress?",
            [
                Line(signal=calls.OLDEST_BY_STAGE, legend=shared.STAGE),
                Line(signal=calls.SILENCE, legend="no item"),
            ],
            width=8,
            colors=STAGE_COLORS,
            no_value="No LLM call was made, or no data.",
            links=links.to_runbook("GlueLLMCallsSilent"),
        ),
    ]


def _status() -> list[Panel]:
    """Return two rows of figures: who waits, and why requests fail."""
    return [
        _figure("Requests", requests.REQUESTS, [(0, "blue")], width=3),
        _figure(
            "Requests failing",
            requests.FAILED_SHARE,
            shared.FAILED,
            width=3,
            no_value=shared.NO_REQUEST,
        ),
        shared.queued_now(height=3),
        shared.oldest_waiter(height=3),
        _counted(
            "Pool timeouts",
            paging.POOL_TIMEOUTS,
            thresholds.POOL_TIMEOUT_ALERT_COUNT,
            "GlueLLMPoolTimeouts",
            width=3,
        ),
        shared.suspected_leaks(height=3),
        _figure(
            "Orphaned streams",
            streams.ORPHANED,
            [(0, GREEN), (1, ORANGE), (thresholds.ORPHANED_ALERT_COUNT, RED)],
            "GlueLLMFindingWarning",
            width=3,
            no_value="no HTTP/2 seen",
        ),
        shared.event_loop_late(height=3),
        _counted(
            "Connect failures",
            paging.CONNECT_FAILURES,
            thresholds.CONNECT_FAILURE_ALERT_COUNT,
            "GlueLLMFindingWarning",
        ),
        _counted(
            "Reuse failures",
            paging.REUSE_FAILURES,
            thresholds.REUSE_FAILURE_ALERT_COUNT,
            "GlueLLMFindingWarning",
        ),
        shared.error_statuses(width=4, height=3),
        _figure(
            "Sent again",
            requests.RESEND_SHARE,
            shared.RESENT,
            no_value=shared.NO_REQUEST,
        ),
        _figure(
            "Pools per request",
            pools.WORST_CHURN,
            CHURN,
            "GlueLLMFindingWarning",
            window=config.RATE_WINDOW,
            no_value=shared.NO_REQUEST,
        ),
        _figure("Missing hooks", process.MISSING_HOOKS, [(0, GREEN), (1, ORANGE)], "GlueLLMBlind"),
    ]


def _counted(title: str, signal: Signal, much: int, alert: str, *, width: int = 4) -> Panel:
    steps = [(0, GREEN), (0.5, ORANGE), (much, RED)]
    return _figure(title, signal, steps, alert, width=width, window=config.RATE_WINDOW)


def _figure(
    title: str,
    signal: Signal,
    steps: Steps,
    alert: str = "",
    *,
    width: int = 4,
    window: str = WINDOW,
    no_value: str = "no data",
) -> Panel:
    return figure(
        title,
        signal,
        steps,
        width=width,
        height=3,
        window=window,
        no_value=no_value,
        links=links.to_runbook(alert) if alert else [],
    )


def _time() -> list[Panel]:
    return [
        lines(
            "Where does the time go?",
            [Line(signal=share, legend=shared.PHASE) for share in shared.BY_PART],
            width=12,
            height=9,
            stacked=True,
            most=1,
            colors=PHASE_COLORS,
            no_value=shared.NO_REQUESTS,
            calculations=("mean", "last"),
        ),
        lines(
            "How long does a provider take for a request?",
            [
                Line(
                    signal=requests.TIME_AT_PROVIDER,
                    legend=f"{{{{{PROVIDER}}}}}",
                    by=(PROVIDER,),
                )
            ],
            width=6,
            height=9,
            no_value=shared.NO_REQUESTS,
            links=[_to_provider()],
        ),
        lines(
            "Time lost to waiting, per minute",
            [Line(signal=waiting.TIME_LOST, legend=_LEGEND, by=_LABELS)],
            width=6,
            height=9,
            links=_to_both(),
        ),
    ]


def _waiting() -> list[Panel]:
    return [
        bars(
            "Occupancy of each provider",
            [Line(signal=connections.OCCUPANCY, legend=f"{{{{{PROVIDER}}}}}", by=(PROVIDER,))],
            [(0, GREEN), (thresholds.OCCUPANCY_HIGH, ORANGE), (thresholds.OCCUPANCY_FULL, RED)],
            width=6,
            height=9,
            most=1,
            no_value="No pool with a limit has reported. Run gluellm-pools verify.",
            links=[_to_provider()],
        ),
        lines(
            "How long do requests wait?",
            [
                Line(signal=waiting.WAIT_P50, legend="p50", by=()),
                Line(signal=waiting.WAIT_P95, legend="p95", by=()),
                Line(signal=waiting.WAIT_P99, legend="p99", by=()),
            ],
            width=6,
            height=9,
            steps=[(thresholds.STUCK_ALERT_AFTER, RED)],
            no_value=shared.NO_REQUESTS,
            note="Above the dashed line, a request counts as stuck.",
        ),
        lines(
            "How long has the oldest waited?",
            [Line(signal=waiting.OLDEST_WAITER, legend=_LEGEND)],
            width=6,
            height=9,
            steps=[(thresholds.STUCK_ALERT_AFTER, RED)],
            links=_to_both(),
        ),
        lines(
            "How many requests are there?",
            [Line(signal=requests.REQUESTS, legend=f"{{{{{PROVIDER}}}}}", by=(PROVIDER,))],
            width=6,
            height=9,
            no_value=shared.NO_REQUESTS,
            note="A rise is more load, or retries. A fall while requests wait means that no "
            "connection is released.",
            links=[_to_provider()],
        ),
    ]


def _trust() -> list[Panel]:
    return [
        lines(
            "How late are event loops?",
            [Line(signal=process.EVENT_LOOP_LATE, legend="{{job}}", by=(config.JOB,))],
            width=6,
            steps=shared.LATE[1:],
            at_least_to=shared.LATE_SEEN,
            no_value="No async pool seen, or no data.",
            links=links.to_runbook("GlueLLMFindingWarning"),
        ),
        lines(
            "How long do event loops pause?",
            [Line(signal=process.EVENT_LOOP_LAG, legend="{{job}}", by=(config.JOB,))],
            width=6,
            no_value="No async pool seen, or no data.",
        ),
        rows(
            "Which libraries lack hooks?",
            {"gluellm_hook_library": "Library"},
            [
                Column(
                    title="Missing hooks",
                    signal=process.HOOKS_MISSING,
                    steps=[(0, GREEN), (1, ORANGE)],
                )
            ],
            description=process.HOOKS_MISSING.tells,
            sort="Missing hooks",
            width=6,
            height=9,
        ),
        lines(
            "Does the instrumentation itself fail?",
            [
                Line(signal=process.ERRORS, legend="error: {{gluellm_instrumentation_kind}}"),
                Line(signal=process.RECORDS_DROPPED, legend="records dropped"),
            ],
            width=6,
            no_value="No failure of its own seen, or no data.",
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
