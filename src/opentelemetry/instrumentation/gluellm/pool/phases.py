"""Phases of a request and steps of a connection's set-up, by number and by name, and the protocol
name of WebSockets."""

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


WEBSOCKET = "websocket"
"""Protocol of a connection that switched from HTTP/1.1 to WebSocket (RFC 6455)."""
