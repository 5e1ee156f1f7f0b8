"""What the fake provider does with a request, and what it counts."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """How one request is answered. Durations are seconds.

    A streamed answer sends its head after ``head_delay`` and then one token every
    ``1 / token_rate``. An answer that is not streamed is sent whole once its last token is due, as
    real providers do: its head comes after ``head_delay + tokens / token_rate``.

    Over HTTP/2 all of this concerns one stream: what ends the connection over HTTP/1.1 resets the
    stream (RST_STREAM) there.
    """

    head_delay: float = 0.0
    """Seconds until the response's head; ``math.inf`` never answers."""
    jitter: float = 0.0
    """Up to this much more, evenly distributed, is added to ``head_delay``."""
    tokens: int = 8
    token_rate: float = 0.0
    """Tokens a second; 0 sends all of them at once."""
    status: int = 200
    """400 and above answer with the API's own error body."""
    retry_after: float | None = None
    """Sent as ``retry-after`` with an error status."""
    reset_before_head: bool = False
    """Reset the connection (TCP RST) where the head is due."""
    reset_after: int | None = None
    """Reset the connection (TCP RST) after that many tokens; not streamed: after half the body."""
    hang_up_after: int | None = None
    """End the connection in order (TCP FIN) although the body is incomplete."""
    stall_after: int | None = None
    """Fall silent after that many tokens, until the client leaves.

    Over HTTP/2 until it resets the stream or leaves; the stream stays open until then.
    """
    ping_every: float = 0.0
    """Send a comment this often while a streamed answer is stalled, which brings the application
    no item; 0 sends nothing."""
    close: bool = False
    """Answer with ``connection: close`` and close; HTTP/1.1 only."""
    drop_reused: bool = False
    """Reset the connection (TCP RST) instead of answering if it carried a request before, like a
    load balancer that has forgotten an idle connection. A connection's first request is answered.
    """


@dataclass(frozen=True, slots=True)
class ReceivedRequest:
    """One request as it reached the provider."""

    method: str
    path: str
    api: str
    """``openai`` or ``anthropic``, by the headers that the SDKs send."""
    model: str | None
    stream: bool
    connection: int
    """Number of the connection that carried it, from 1 on."""


@dataclass(slots=True)
class RateLimit:
    """A behaviour by request: answers so many in each second, and refuses the others with 429.

    ``retry-after`` is the whole second, as of providers that round up.
    """

    requests: int
    answer: Behaviour
    clock: Callable[[], float] = time.monotonic
    _since: float = -math.inf
    _answered: int = 0

    def __call__(self, _request: ReceivedRequest) -> Behaviour:
        now = self.clock()
        if now >= self._since + 1:
            self._since, self._answered = now, 0
        if self._answered >= self.requests:
            return Behaviour(status=429, retry_after=1)
        self._answered += 1
        return self.answer


@dataclass(slots=True)
class Counts:
    """What the provider saw, to compare other numbers with."""

    connections: int = 0
    """Accepted connections (after the TLS handshake, with TLS)."""
    open_connections: int = 0
    requests: int = 0
    """Requests that arrived whole."""
    by_status: Counter[int] = field(default_factory=Counter)
    """Answers by status, counted when their head is sent."""
    completed: int = 0
    """Answers that were sent to their end."""
    resets: int = 0
    """Requests to which the provider sent no answer, or not the whole one."""
    abandoned: int = 0
    """Requests whose client left before the answer was complete."""
