"""Panels that are on several boards."""

from __future__ import annotations

from opentelemetry.instrumentation.gluellm import thresholds

from .. import config, links
from ..panels import Line, Panel, figure, lines
from ..signals import calls, connections, paging, pools, process, requests, waiting
from ..style import GREEN, ORANGE, RED, STAGE_COLORS, Steps

ALL: tuple[str, ...] = ()
"""Group by nothing: aggregate everything that is selected."""
BY_PART = (requests.SHARES_OF_PROVIDER, requests.SHARES_OF_POOL, requests.SHARES_OF_APPLICATION)
"""Parts from the bottom to the top of a stack."""
PHASE = "{{gluellm_request_phase}}"
NO_REQUESTS = "No requests seen in this range. Is a service exporting? Run gluellm-pools verify."
NO_REQUEST = "no requests seen"
"""Short form for figures."""
NOT_GRPC = "No data, or the pool does not show it (gRPC)."
ONLY_FULL = 'No data: this is recorded with metrics="full" only.'
WAIT: Steps = [(0, GREEN), (thresholds.WAIT_NOTICED, ORANGE), (thresholds.STUCK_ALERT_AFTER, RED)]
LATE: Steps = [(0, GREEN), (thresholds.LATE_SHARE, ORANGE), (thresholds.LATE_SHARE_SEVERE, RED)]
LATE_SEEN = 1.25 * thresholds.LATE_SHARE
"""Least upper end of an axis of late time, so that the threshold is visible."""
ERROR_STATUSES: Steps = [
    (0, GREEN),
    (thresholds.REFUSED_WARNING, ORANGE),
    (thresholds.REFUSED_MUCH, RED),
]
CALLS_FAILING: Steps = [
    (0, GREEN),
    (thresholds.REFUSED_WARNING, ORANGE),
    (thresholds.CALL_FAILURE_ALERT_SHARE, RED),
]
STAGE = "{{gluellm_call_stage}}"
NO_CALL = "no calls seen"
NO_CALLS = "No LLM calls ended in this range. Is a service exporting, and with calls=True?"
NO_FAILED_CALL = "No call failed in this range, or no data."
FAILED: Steps = [(0, GREEN), (thresholds.FAILED_WARNING, ORANGE), (thresholds.FAILED_MUCH, RED)]
RESENT: Steps = [(0, GREEN), (thresholds.RESENT_WARNING, ORANGE), (thresholds.RESENT_MUCH, RED)]
NOTHING_FOUND = "Nothing found, or not judged: see the overview's panel on judgements."


def why_calls_fail() -> Panel:
    """Return the panel of failed calls by error."""
    return lines(
        "Why do calls fail?",
        [Line(signal=paging.CALL_ERRORS, legend="{{error_type}}", by=ALL)],
        width=8,
        no_value=NO_FAILED_CALL,
        links=links.to_runbook("GlueLLMCallsFail"),
    )


def where_calls_spend_time() -> Panel:
    """Return the panel of calls' time by stage."""
    return lines(
        "Where does a call's time go?",
        [Line(signal=calls.TIME_BY_STAGE, legend=STAGE)],
        width=8,
        stacked=True,
        colors=STAGE_COLORS,
        no_value=NO_CALLS,
        calculations=("mean", "last"),
    )


def queued_now(*, width: int = 3, height: int = 4) -> Panel:
    """Return the figure of queued requests."""
    steps = [(0, GREEN), (1, ORANGE)]
    return figure("Queued now", waiting.QUEUED_NOW, steps, width=width, height=height)


def oldest_waiter(*, width: int = 3, height: int = 4) -> Panel:
    """Return the figure of the longest wait."""
    return figure(
        "Oldest waiter",
        waiting.OLDEST_WAITER,
        WAIT,
        width=width,
        height=height,
        links=links.to_runbook("GlueLLMRequestsStuck"),
    )


def error_statuses(*, width: int = 3, height: int = 4) -> Panel:
    """Return the figure of responses with an error status."""
    return figure(
        "Error statuses",
        requests.ERROR_STATUS_SHARE,
        ERROR_STATUSES,
        width=width,
        height=height,
        no_value=NO_REQUEST,
    )


def suspected_leaks(*, width: int = 3, height: int = 4) -> Panel:
    """Return the figure of suspected leaks."""
    return figure(
        "Suspected leaks",
        pools.LEAKS_SUSPECTED,
        [(0, GREEN), (1, RED)],
        width=width,
        height=height,
        links=links.to_runbook("GlueLLMFindingWarning"),
    )


def event_loop_late(*, width: int = 3, height: int = 4) -> Panel:
    """Return the figure of late time, which decides whether other numbers can be trusted."""
    return figure(
        "Event loop late",
        process.EVENT_LOOP_LATE,
        LATE,
        width=width,
        height=height,
        window=config.RATE_WINDOW,
        no_value="none seen",
        links=links.to_runbook("GlueLLMFindingWarning"),
    )


def why_connecting_fails(*, width: int, legend: str = "", by: tuple[str, ...] = ALL) -> Panel:
    """Return the panel of connect failures by kind and by ``by``, which begins the legend."""
    signal = connections.CONNECT_FAILURES_BY_KIND
    return lines(
        "Why does connecting fail?",
        [Line(signal=signal, legend=f"{legend} {{{{error_type}}}}".strip(), by=by)],
        width=width,
        links=links.to_runbook("GlueLLMFindingWarning"),
    )


def how_long_connecting_takes(*, width: int) -> Panel:
    """Return the panel of the set-up time: median and p95."""
    return lines(
        "How long does connecting take?",
        [
            Line(signal=connections.CREATE_P50, legend="p50", by=ALL),
            Line(signal=connections.CREATE_P95, legend="p95", by=ALL),
        ],
        width=width,
        no_value="No connection was established in this range, or no data.",
    )


def do_reused_connections_fail(*, width: int) -> Panel:
    """Return the panel of failures on reused connections."""
    return lines(
        "Do reused connections fail?",
        [Line(signal=connections.REUSE_FAILURES, legend="failures", by=ALL)],
        width=width,
        no_value=NOT_GRPC,
        links=links.to_runbook("GlueLLMFindingWarning"),
    )


def which_timeouts(*, width: int) -> Panel:
    """Return the panel of timeouts by kind."""
    return lines(
        "Which timeouts end requests?",
        [Line(signal=waiting.TIMEOUTS, legend="{{gluellm_timeout_kind}}", by=ALL)],
        width=width,
        links=links.to_runbook("GlueLLMPoolTimeouts"),
    )
