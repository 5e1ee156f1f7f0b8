"""Evidence of an act: bounds that values of its metrics have to reach."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from opentelemetry.instrumentation.gluellm.text import percent

from ..view import CallsView, PoolView

WARNINGS = "leak warnings"
"""Measure of the process, which belongs to no pool."""


Observed = Mapping[tuple[str, str], float]
"""What an act has shown so far, by target and measure."""


MEASURES: dict[str, Callable[[PoolView, CallsView], float]] = {
    "calls": lambda pool, _: pool.requests,
    "failed": lambda pool, _: pool.failed,
    "queued": lambda pool, _: pool.share("queued"),
    "pool timeouts": lambda pool, _: pool.timeouts.get("pool", 0),
    "read timeouts": lambda pool, _: pool.timeouts.get("read", 0),
    "time at the provider": lambda pool, _: pool.share("awaiting_response", "reading"),
    "pools per call": lambda pool, _: pool.pools_opened / max(pool.requests, 1),
    "new connections": lambda pool, _: pool.opened,
    "reuse": lambda pool, _: pool.reused / max(pool.requests, 1),
    "leaks suspected": lambda pool, _: pool.leaks_suspected,
    "unread now": lambda pool, _: pool.by_phase.get("unread", 0),
    "streams orphaned": lambda pool, _: pool.streams_orphaned,
    "stream_queued": lambda pool, _: pool.share("stream_queued"),
    "protocol errors": lambda pool, _: pool.errors.get("protocol_error", 0),
    "connection errors": lambda pool, _: pool.errors.get("connection_error", 0),
    "retries": lambda _, calls: calls.retries,
    "back-off": lambda _, calls: calls.share("backoff"),
    "silent calls": lambda _, calls: calls.silent,
}
"""Of a target's pool and calls: their counts in the act, and their state at its end."""
_SHARES = ("queued", "time at the provider", "reuse", "stream_queued", "back-off")


@dataclass(frozen=True, slots=True)
class Criterion:
    """Bounds of one value: of a target's calls or pool, or of the process without a target."""

    target: str
    measure: str
    at_least: float = -math.inf
    at_most: float = math.inf

    def value(self, observed: Observed) -> float:
        return observed.get((self.target, self.measure), 0.0)

    def text(self, observed: Observed) -> str:
        value = self.value(observed)
        text = percent(value) if self.measure in _SHARES else f"{value:.4g}"
        return f"{self.measure} {text}"


def holds(checks: Sequence[Criterion], observed: Observed) -> bool:
    return all(check.at_least <= check.value(observed) <= check.at_most for check in checks)


def evidence_text(checks: Sequence[Criterion], observed: Observed) -> str:
    """Return the values by target: ``openai: queued 76%, pool timeouts 83; anthropic: ...``."""
    parts = []
    for target in dict.fromkeys(check.target for check in checks):
        values = ", ".join(check.text(observed) for check in checks if check.target == target)
        parts.append(f"{target}: {values}" if target else values)
    return "; ".join(parts)
