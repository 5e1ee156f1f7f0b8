"""Phases of requests, steps of set-ups, stages and outcomes of calls, anomalies: their names."""

from __future__ import annotations

from collections.abc import Sequence

QUEUED, CONNECTING, STREAM_QUEUED, AWAITING_RESPONSE, READING, UNREAD = range(6)

PHASES = ("queued", "connecting", "stream_queued", "awaiting_response", "reading", "unread")
"""The phases' names in the telemetry contract, by number."""

RESOLVE, CONNECT, PROXY, TLS, OTHER_STEP, THREAD = ALL_STEPS = range(6)
"""``THREAD``: the wait for a thread that resolves the name. Metrics count it as ``RESOLVE``."""

STEPS = ("resolve", "connect", "proxy", "tls", "other")
"""The steps' names in the telemetry contract, by number."""


def by_name(times: Sequence[int]) -> tuple[int, ...]:
    """Return the times of all steps by the number of their name."""
    return (times[RESOLVE] + times[THREAD], *times[CONNECT:THREAD])


LIMITED, PREPARING, REQUESTING, BACKOFF, FINISHING = range(5)
STAGES = ("limited", "preparing", "requesting", "backoff", "finishing")
"""Stages of a call: their names in the telemetry contract, by number."""
SUCCEEDED, ABANDONED, CANCELLED, FAILED = range(4)
OUTCOMES = ("succeeded", "abandoned", "cancelled", "failed")
"""Outcomes of a call: their names in the telemetry contract, by number."""
GLUELLM, ANY_LLM = SOURCES = ("gluellm", "any_llm")
"""Libraries whose calls are counted, as named in the telemetry contract."""

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
