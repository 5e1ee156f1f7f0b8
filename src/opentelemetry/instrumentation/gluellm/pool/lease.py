"""One request's way through a pool."""

from __future__ import annotations

QUEUED, CONNECTING, STREAM_QUEUED, AWAITING_RESPONSE, READING, UNREAD = range(6)

PHASES = ("queued", "connecting", "stream_queued", "awaiting_response", "reading", "unread")
"""The phases' names in the telemetry contract, by number."""


class Call:
    """One any-llm call: what its requests and the pools built inside it are attributed to."""

    __slots__ = ("ended", "model", "operation", "provider", "requests")

    def __init__(
        self, provider: str, model: str | None = None, operation: str | None = None
    ) -> None:
        self.provider = provider
        self.model = model
        self.operation = operation
        self.ended = False
        self.requests = 0
