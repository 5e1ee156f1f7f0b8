"""Conditions of the alerts that page, shown on boards: `rules/conditions.py`.

They count events like the alerts, so that a board shows what paged, even if the incident is the
first thing that a program does. ``increase()`` alone would not show that.
"""

from __future__ import annotations

from ..rules import conditions
from .signal import Signal

CALLS_FAILED = Signal(
    conditions.CALLS_FAILED,
    "Share of failed calls among those that failed or succeeded within 5 minutes. A "
    "request that failed and was retried does not count if the call succeeded. An alert "
    "pages above 5 %.",
)
CALLS_CANCELLED = Signal(
    conditions.CALLS_CANCELLED,
    "Share of cancelled calls among those that ended within 5 minutes. Causes: a timeout of the "
    "application, its shutdown, or users who left.",
)
CALL_ERRORS = Signal(
    conditions.CALL_ERRORS,
    "Calls that failed within 5 minutes, by the error of their last request, or by their "
    "exception. A status is the provider's answer, `timeout` is a timeout around the whole "
    "call, and a class name is an exception of the application or the SDK.",
)
POOL_TIMEOUTS = Signal(
    conditions.POOL_TIMEOUTS,
    "Requests that failed within 5 minutes because no connection became free in time. 0 is "
    "healthy. The time per phase shows the cause: a pool that is too small, a slow "
    "provider, or connections that are never released.",
)
REUSE_FAILURES = Signal(
    conditions.REUSE_FAILURES,
    "Requests that failed on a reused connection before the first byte of a response, "
    "within 5 minutes. Something on the path drops idle connections. Let the pool close them "
    "earlier, or send TCP keep-alive probes.",
)
CONNECT_FAILURES = Signal(
    conditions.CONNECT_FAILURES,
    "Requests whose connection could not be established, within 5 minutes. 0 is healthy. "
    "The provider's board shows the reason.",
)
