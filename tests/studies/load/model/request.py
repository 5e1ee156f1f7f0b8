"""One request as the model knows it: where it is, and what has to be reported once it is over."""

from __future__ import annotations

import time
from enum import StrEnum
from typing import Any

from studies.load.servers import Origin

from .world import LivePool

Outcome = tuple[int | None, str | None]
"""Status and error type, as ``gluellm.pool.requests`` has them."""


class Stage(StrEnum):
    """How far the test has driven a request."""

    SENT = "sent"
    """No head yet: it is queued, connecting, or at the server."""
    OPEN = "open"
    """Its head has come and nobody reads."""
    READING = "reading"
    """A read of its body is in flight."""
    ABANDONED = "abandoned"
    """Its response was dropped and not closed: the library decides when that is over."""
    OVER = "over"


class ModelRequest:
    """A request from its sending on."""

    def __init__(self, pool: LivePool, origin: Origin, path: str, status: int) -> None:
        self.pool = pool
        self.origin = origin
        self.path = path
        self.status = status
        self.head_gate: Any = None
        self.end_gate: Any = None
        self.exchange: Any = None
        self.body: Any = None
        self.stage = Stage.SENT
        self.has_read = False
        self.is_doomed = False
        """Whether the server has broken off its connection, which the next read finds."""
        self.outcomes: frozenset[Outcome] = frozenset()
        """How it may have ended, for one that is over."""
        self.acquired = False
        """Whether it ever had a connection, as far as the model knows."""
        self.reuse_failures = (False, False)
        """Whether it is one for sure, and whether it may be one."""
        self.sent_at = time.monotonic()
        self.known_from: float | None = None
        """When the model first agreed with the package about it: from then it surely was there."""
        self.phase: str | None = None
        self.phase_known_from = 0.0
        self.ends_at: float | None = None
        """Just before it was made to end."""
        self.over_at: float | None = None
        """Just after that."""

    @property
    def is_under_way(self) -> bool:
        """Whether it is in its pool, by the model."""
        return self.stage is not Stage.OVER

    @property
    def is_at_server(self) -> bool:
        """Whether the server has it."""
        return self.origin.request(self.path) is not None

    @property
    def connection(self) -> int:
        """The number of the connection that its server got it on."""
        request = self.origin.request(self.path)
        assert request is not None
        return request.connection

    @property
    def is_on_reused(self) -> bool:
        """Whether its connection has carried another request."""
        seen = self.origin.seen
        return (
            self.is_at_server
            and seen is not None
            and seen.connections[self.connection].requests > 1
        )

    def where(self, waiting: dict[str, bool | None]) -> str | None:
        """Its phase, by the library's queue and what the server saw; None while it moves on."""
        if self.stage in (Stage.OPEN, Stage.ABANDONED):
            return "unread"
        if self.stage is Stage.READING:
            return "reading"
        if self.is_at_server:
            return "awaiting_response"
        queued = waiting.get(self.path)
        if queued:
            return "queued"
        if queued is False and self.origin.handshakes:
            return "connecting"
        return None

    def ending(self) -> None:
        """It is about to be made to end."""
        if self.ends_at is None:
            self.ends_at = time.monotonic()

    def over(self, *outcomes: Outcome) -> None:
        """It has ended, in one of these ways."""
        self.stage = Stage.OVER
        self.over_at = time.monotonic()
        self.outcomes = frozenset(outcomes)
        self.exchange = self.body = None

    def surely(self, now: float) -> float:
        """Seconds that it was in its pool at least; up to ``now`` while it is under way."""
        return max((self.ends_at or now) - self.known_from, 0.0) if self.known_from else 0.0

    def at_most(self, now: float) -> float:
        """Seconds that it was in its pool at most."""
        return (self.over_at or now) - self.sent_at
