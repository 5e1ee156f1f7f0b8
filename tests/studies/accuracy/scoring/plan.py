"""What one run does: who calls, and how the provider answers. Times are seconds."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .causes import Cause
    from .stage import Stage

Range = tuple[float, float]
"""Evenly distributed between the two."""

OPENAI, ANTHROPIC = "openai", "anthropic"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answering:
    """How the provider answers while it is well."""

    head_delay: float
    jitter: float
    tokens: tuple[int, int]
    token_rate: float
    error_share: float
    """Of the requests: 429, 500 or 529."""
    reasoning: Range
    """Until the head of an answer that needs thought."""

    @property
    def usual(self) -> float:
        """How long an ordinary answer takes in the mean."""
        return self.head_delay + self.jitter / 2 + sum(self.tokens) / 2 / self.token_rate


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """Callers of one kind."""

    shape: str
    """``steady``: each calls, pauses, and calls again. ``arrivals``: calls come at a rate, whatever
    becomes of the others. ``bursts``: all call at once, again and again. ``cancelling``: each gives
    up on some of its calls."""
    callers: int = 1
    pause: Range = (0.05, 0.2)
    rate: float = 0.0
    """Calls a second of ``arrivals``."""
    model: str = "usual"
    """``reasoning`` is silent for long before its head."""
    streams: float = 0.5
    """Share of the calls that ask for a stream."""
    prompt: tuple[int, int] = (20, 400)
    """Characters."""
    client: int = 0
    work: Range = (0.0, 0.0)
    """What the caller does between two chunks of a stream."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What holds for the whole run."""

    provider: str
    sync: bool = False
    """any-llm's synchronous API, called from threads."""
    http2: bool = False
    max_streams: int = 100
    clients: int = 1
    connections: int | None = None
    """The pool's limit; None leaves the SDK its own client."""
    keepalive_expiry: float = 5.0
    pool_timeout: float = 600.0
    connect_timeout: float = 5.0
    read_timeout: float = 600.0
    retries: int = 0
    answering: Answering
    traffic: tuple[Traffic, ...]


class Fault:
    """What is wrong, from the end of the warm-up on. Frozen dataclasses, drawn beforehand."""

    period = 4.5
    """How long it takes at least until it can be seen."""

    async def start(self, stage: Stage) -> None:
        """Begin it. What has to go on meanwhile is left to ``stage.spawn``."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One run."""

    seed: int
    index: int
    cause: Cause
    setting: Setting
    fault: Fault
    warm_up: float
    period: float

    @property
    def name(self) -> str:
        """As ``--replay`` takes it."""
        return f"{self.seed}/{self.index}"

    def source(self, purpose: Any) -> random.Random:
        """A source of its own for each purpose, so that tasks don't depend on their order."""
        return random.Random(f"{self.name}/{purpose}")
