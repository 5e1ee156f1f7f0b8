"""What pages somebody, asked as the alerts ask: `rules/conditions.py`.

So that a board shows what the page says, also where the first thing that a program does is the
incident: ``increase()`` alone would not see it.
"""

from __future__ import annotations

from ..rules import conditions
from .signal import Signal

CALLS_FAILED = Signal(
    conditions.CALLS_FAILED,
    "Share of the calls that failed, of those that failed or succeeded within 5 minutes. A request "
    "that failed and was sent again is no failure, if the call succeeded. Above 5 % somebody is "
    "paged.",
)
CALLS_CANCELLED = Signal(
    conditions.CALLS_CANCELLED,
    "Share of the calls that were cancelled, within 5 minutes: by a timeout of the application, by "
    "its shutdown, or by users who left.",
)
CALL_ERRORS = Signal(
    conditions.CALL_ERRORS,
    "Calls that failed within 5 minutes, by what their last request or their exception was. A "
    "status is the provider's answer, `timeout` a timeout around the whole call, the name of an "
    "exception is the application's or the SDK's.",
)
POOL_TIMEOUTS = Signal(
    conditions.POOL_TIMEOUTS,
    "Each of these is a call that failed because no connection came free in time. 0 is healthy. "
    "What to do stands in the time per phase: a pool that is too small, a provider that is slow, "
    "or connections that nobody gives back. Within 5 minutes, as the alert counts them.",
)
REUSE_FAILURES = Signal(
    conditions.REUSE_FAILURES,
    "Requests that failed on a reused connection before a byte of a response came, within 5 "
    "minutes: something between here and there drops idle connections. Set a keep-alive shorter "
    "than its time.",
)
CONNECT_FAILURES = Signal(
    conditions.CONNECT_FAILURES,
    "Requests whose connection could not be established, within 5 minutes. 0 is healthy. Why "
    "stands on the provider's board.",
)
