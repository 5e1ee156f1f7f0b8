"""One request of a run: what is planned for it, what became of it, and where it is now."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from studies.load.sent import Sent
from studies.load.servers import Origin
from support.libraries import Timeouts
from support.script import Failure, Gate, Reply

if TYPE_CHECKING:
    from .pools import Pool

UNSEEN = "unseen"
"""Its server has not got it: it is queued, connecting or waits for a stream."""


@dataclass(slots=True, kw_only=True)
class Request(Sent):
    """A request, and what is done to it on purpose."""

    number: int
    pool: Pool
    origin: Origin
    reply: Reply = field(default_factory=Reply)
    gate: Gate | None = None
    """Where its server holds it: before the head or in the body."""
    reads: bool = True
    """Whether its body is read as soon as its head has come."""
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    timeouts: Timeouts = field(default_factory=dict)

    cancelled_in: str | None = None
    """The phase that it was in when it was cancelled; ``anything`` where nobody knows."""
    abandoned: bool = False
    is_held_for_ever: bool = False
    """Whether it was abandoned, and its library holds it for as long as its pool is there."""
    read_from: float | None = None
    """When its reader began, where that was not at once."""
    has_chunk: bool = False
    """Whether a chunk of its body was read by itself."""
    has_place: bool = True
    """Whether it takes a place in its pool while it is held."""
    ended: float | None = None
    """When its lease ended, where that is not when its exchange did."""
    pool_was_closed: bool = False
    """Whether its pool was closed under it: each library lets it end in a way of its own."""

    @property
    def path(self) -> str:
        """Its own path, by which its server knows it."""
        return f"/{self.number}"

    def send(self) -> None:
        """Let it go."""
        url = self.origin.url(self.path, self.reply)
        raw = self.pool.under_test
        self.exchange = raw.send(url, body=self.body, headers=self.headers, **self.timeouts)
        if self.reads:
            self.reading = self.exchange.begin_read()

    @property
    def is_transient(self) -> bool:
        """Whether it ends by itself once it is served."""
        return self.gate is None

    def seen_at(self, kind: str) -> float | None:
        """When its server saw or did something of it."""
        request = self.origin.request(self.path)
        return None if request is None else request.at.get(kind)

    @property
    def phase(self) -> str:
        """Where it is by its server's and its own reader's word. Meant for one that is held."""
        if self.seen_at("request") is None:
            return UNSEEN
        if not self.exchange.answered:
            return "awaiting_response"
        return "reading" if self.reading is not None and not self.abandoned else "unread"

    @property
    def end(self) -> float:
        """When it left the pool."""
        return self.exchange.left if self.ended is None else self.ended

    def times(self) -> dict[str, float]:
        """Seconds that it was before its server, in its server's hands, read, and left unread."""
        entered, answered, end = self.exchange.entered, self.exchange.answered, self.end
        seen = self.seen_at("request") or end
        times = {"before it is sent": min(seen, end) - entered}
        times["awaiting_response"] = max((answered or end) - seen, 0.0)
        if answered:
            begun = end
            if self.reading is not None:
                begun = min(max(self.read_from or answered, answered), end)
            times |= {"unread": begun - answered, "reading": end - begun}
        return times

    def __str__(self) -> str:
        """For a person who looks for what went wrong."""
        seen = self.origin.request(self.path)
        over = f"over with {self.error!r}" if self.is_over else f"in {self.phase}"
        marks = {
            f"connection {seen.connection}: {', '.join(seen.at)}" if seen else "unseen": True,
            "gated at the head": self.gate is not None and self.reply.head_after is self.gate,
            "gated in the body": self.gate is not None and self.reply.end_after is self.gate,
            str(self.reply.failure): self.reply.failure is not Failure.NONE,
            f"timeouts {self.timeouts}": self.timeouts,
            f"cancelled in {self.cancelled_in}": self.cancelled_in,
            "abandoned": self.abandoned,
        }
        reported = "; ".join(mark for mark, is_so in marks.items() if is_so)
        return f"{self.number} to {self.origin.kind} {over}, status {self.status}; {reported}"
