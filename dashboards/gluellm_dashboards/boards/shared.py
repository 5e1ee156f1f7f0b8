"""Panels and limits that several boards share."""

from __future__ import annotations

from opentelemetry.instrumentation.gluellm import thresholds

from .. import links
from ..panels import Line, Panel, figure, lines
from ..signals import connections, process, waiting
from ..style import GREEN, ORANGE, RED, Steps

PHASE = "{{gluellm_request_phase}}"
NO_REQUEST = "no requests seen"
"""Text of figures."""


def limits(warning: float, much: float) -> Steps:
    """Return the colours of a number of which 0 is healthy."""
    return [(0, GREEN), (warning, ORANGE), (much, RED)]


SOME: Steps = [(0, GREEN), (1, ORANGE)]
"""Colours of a number that should be 0."""
WAIT = limits(thresholds.WAIT_NOTICED, thresholds.STUCK_AFTER)
STUCK: Steps = [(thresholds.STUCK_SEVERE_AFTER, RED)]
"""The limit of GlueLLMRequestsStuck."""
LATE = limits(thresholds.LATE_SHARE, thresholds.LATE_SHARE_SEVERE)
LATE_SEEN = 1.25 * thresholds.LATE_SHARE
"""Least upper end of an axis of late time, so that the threshold is visible."""
FAILED = limits(thresholds.FAILED_WARNING, thresholds.FAILED_MUCH)
RESENT = limits(thresholds.RESENT_WARNING, thresholds.RESENT_MUCH)
QUEUED = limits(thresholds.QUEUED_REQUESTS, thresholds.QUEUED_MANY)
CONNECT_FAILURES = limits(0.5, thresholds.CONNECT_FAILURES_MANY)
OCCUPANCY = limits(thresholds.OCCUPANCY_HIGH, thresholds.OCCUPANCY_FULL)


def waiters() -> list[Panel]:
    """Return the figures of queued requests and of the longest wait."""
    stuck = links.to_runbook("GlueLLMRequestsStuck")
    return [
        figure("Queued now", waiting.QUEUED_NOW, QUEUED, links=stuck),
        figure("Oldest waiter", waiting.OLDEST_WAITER, WAIT, links=stuck),
    ]


def event_loop_late() -> Panel:
    """Return the figure of late time, which decides whether other numbers can be trusted."""
    return figure(
        "Event loop late",
        process.EVENT_LOOP_LATE,
        LATE,
        no_value="none seen",
        links=links.to_guide("why-a-loop-is-late"),
    )


def why_connecting_fails(*, width: int, by: tuple[str, ...] = ()) -> Panel:
    """Return the panel of connect failures by kind and by ``by``, which begins the legend."""
    legend = " ".join(f"{{{{{label}}}}}" for label in (*by, "error_type"))
    return lines(
        "Why does connecting fail?",
        Line(connections.CONNECT_FAILURES_BY_KIND, legend, by),
        width=width,
        links=links.to_guide(),
    )


def which_timeouts(*, width: int) -> Panel:
    """Return the panel of timeouts by kind."""
    return lines(
        "Which timeouts end requests?",
        Line(waiting.TIMEOUTS, "{{gluellm_timeout_kind}}"),
        width=width,
        links=links.to_runbook("GlueLLMPoolTimeouts"),
    )
