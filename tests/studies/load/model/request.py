"""One request as the model knows it: where it is, and what has to be told of it once it is over."""

from __future__ import annotations

import time
from concurrent.futures import Future
from enum import StrEnum

from studies.load.servers import Origin
from support.exchange import Exchange
from support.script import Gate

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
        self.head_gate: Gate | None = None
        self.end_gate: Gate | None = None
        self.exchange: Exchange | None = None
        self.body: Future[bytes] | None = None
        self.stage = Stage.SENT
        self.seen = False
        """Whether the installation that saw it enter saw it end, or is still there."""
        self.was_seen = False
        """Whether an installation saw it enter."""
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
        self.seen_until: tuple[float, float] | None = None
        """Between which two times its installation went, where it did so meanwhile."""

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

    def lost_sight_of(self, since: float, until: float) -> None:
        """The installation that saw it went, between these two times."""
        self.seen = False
        self.seen_until = (since, until)

    def surely(self, now: float) -> float:
        """Seconds that it was in its pool at least, seen; up to ``now`` while it is under way."""
        if self.known_from is None:
            return 0.0
        until = self.ends_at or now
        if self.seen_until is not None:
            until = min(until, self.seen_until[0])
        return max(until - self.known_from, 0.0)

    def at_most(self, now: float) -> float:
        """Seconds that it was in its pool at most."""
        until = self.over_at or now
        if self.seen_until is not None:
            until = min(until, self.seen_until[1])
        return until - self.sent_at
