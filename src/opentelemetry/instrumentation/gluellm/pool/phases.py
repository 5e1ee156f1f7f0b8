"""Phases of requests, stages and outcomes of calls by number and name, and two further values."""

from __future__ import annotations

QUEUED, CONNECTING, STREAM_QUEUED, AWAITING_RESPONSE, READING, UNREAD = range(6)

PHASES = ("queued", "connecting", "stream_queued", "awaiting_response", "reading", "unread")
"""The phases' names in the telemetry contract, by number."""

LIMITED, PREPARING, REQUESTING, BACKOFF, FINISHING = range(5)
STAGES = ("limited", "preparing", "requesting", "backoff", "finishing")
"""Stages of a call: their names in the telemetry contract, by number."""
SUCCEEDED, ABANDONED, CANCELLED, FAILED = range(4)
OUTCOMES = ("succeeded", "abandoned", "cancelled", "failed")
"""Outcomes of a call: their names in the telemetry contract, by number."""
GLUELLM, ANY_LLM = SOURCES = ("gluellm", "any_llm")
"""Libraries whose calls are counted, as named in the telemetry contract."""

OTHER = "_OTHER"
"""Replacement for values beyond a bound on their number."""

WEBSOCKET = "websocket"
"""Protocol of a connection that switched from HTTP/1.1 to WebSocket (RFC 6455)."""
