"""Phases of a request and states of a gRPC channel, by number and by name; a protocol."""

from __future__ import annotations

QUEUED, CONNECTING, STREAM_QUEUED, AWAITING_RESPONSE, READING, UNREAD = range(6)

PHASES = ("queued", "connecting", "stream_queued", "awaiting_response", "reading", "unread")
"""The phases' names in the telemetry contract, by number."""

WEBSOCKET = "websocket"
"""Protocol of a connection that switched from HTTP/1.1 to WebSocket (RFC 6455)."""
