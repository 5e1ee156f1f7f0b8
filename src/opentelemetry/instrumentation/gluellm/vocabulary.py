"""Words and bounds that observing and judging share. Imports nothing of the package.

Phases of requests, steps of set-ups, stages and outcomes of calls, items of the account, and the
number of requests and answers that are kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

QUEUED, CONNECTING, STREAM_QUEUED, AWAITING_RESPONSE, READING, UNREAD = range(6)

PHASES = ("queued", "connecting", "stream_queued", "awaiting_response", "reading", "unread")
"""The phases' names in the telemetry contract, by number."""

RESOLVE, CONNECT, PROXY, TLS, OTHER_STEP, THREAD = ALL_STEPS = range(6)
"""``THREAD``: the wait for a thread that resolves the name. Metrics count it as ``RESOLVE``."""

STEPS = ("resolve", "connect", "proxy", "tls", "other")
"""The steps' names in the telemetry contract, by number."""


def by_name(times: Sequence[int]) -> tuple[int, ...]:
    """Return the time of each reported step. `RESOLVE` includes `THREAD`."""
    return (times[RESOLVE] + times[THREAD], *times[CONNECT:THREAD])


LIMITED, PREPARING, REQUESTING, BACKOFF, FINISHING = range(5)
STAGES = ("limited", "preparing", "requesting", "backoff", "finishing")
"""Stages of a call: their names in the telemetry contract, by number."""
SUCCEEDED, ABANDONED, CANCELLED, FAILED = range(4)
OUTCOMES = ("succeeded", "abandoned", "cancelled", "failed")
"""Outcomes of a call: their names in the telemetry contract, by number."""
GLUELLM, ANY_LLM, SDK, HTTP = SOURCES = ("gluellm", "any_llm", "sdk", "http")
"""Where calls are counted, as named in the telemetry contract."""

ANOMALIES = (
    "waiter_with_idle_connection",
    "orphaned_connection",
    "pool_timeout_overrun",
    "wrong_event_loop",
)
"""States that a pool should never be in, and a client on a second event loop, by their names in
the telemetry contract."""
OTHER = "_OTHER"
"""Replacement for values beyond a bound on their number."""

WEBSOCKET = "websocket"
"""Protocol of a connection that switched from HTTP/1.1 to WebSocket (RFC 6455)."""

CALLS = "calls"
Subject = tuple[str, str | None, str | None]
"""Whose numbers the account has: ``calls``, source and provider; or a pool's name and library, the
origin and the provider of its requests; or only a pool's name and library."""
Item = tuple[str | float | bool | None, ...]
"""What the account counts, such as ``("stage", "backoff")``. Times are in nanoseconds there, and in
seconds in a snapshot."""
TIMES = frozenset({"stage", "phase", "step", "left_time", "paused"})
"""First words of the items that are times."""

RETRIED = frozenset(
    {408, 409, 425, 429, *range(500, 600), "UNAVAILABLE", "RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED"}
)
"""HTTP and gRPC statuses after which libraries pause and send the request again."""
NOT_RETRIED = (None, "cancelled")
"""Errors after which libraries do not send a request again. None is a request without an error."""
_REFUSED = 400

MOST_FAILED = 100
"""Failed requests that a pool name keeps."""
MOST_ANSWERED = 200
"""Answers that a pool name keeps."""
TICKS = 10_000
"""Ticks per second in the kept times of ended requests. 32 bits hold two days of them."""
SENDING = "sending"
"""State of a silent connection on which a part of the request is not sent yet."""


def is_retried(last: Any) -> bool:
    """Return whether libraries pause after a request with this result, and send it again."""
    return last.status in RETRIED or last.error not in NOT_RETRIED


def served(status: int | str | None, error: str | None) -> bool:
    """Return whether the provider fulfilled a request that left with this status and error."""
    if error is not None:
        return False
    return status == "OK" if isinstance(status, str) else (status or 0) < _REFUSED
