"""Client churn: pools that are built, serve a request or two, and are never used again."""

from __future__ import annotations

from ..thresholds import CHURN_GONE_SHARE, CHURN_MANY_POOLS, CHURN_WINDOW, churns
from .copies import copied
from .durations import nanoseconds
from .ledger import OriginLedger
from .registry import OTHER, PoolRegistry

_WINDOW = nanoseconds(CHURN_WINDOW)


class Churn:
    """Compares pools with requests, origin by origin. Called by the watch."""

    def __init__(self, registry: PoolRegistry) -> None:
        self._registry = registry
        self._before: dict[OriginLedger, tuple[int, int, int, int, int]] = {}
        """When the window began, with the pools, requests, calls and discarded pools until then."""
        self.clear()

    def clear(self) -> None:
        """Start anew: what was counted before, by an installation that is gone, is not judged."""
        self._before.clear()
        now = self._registry.clock()
        for ledger in copied(self._registry.ledgers.values):
            for origin in copied(ledger.origins.values):
                self._before[origin] = (now, *_counts(origin))

    def look(self) -> None:
        """Tell of each origin whose clients are built and thrown away, once a window."""
        registry = self._registry
        now = registry.clock()
        for ledger in copied(registry.ledgers.values):
            for origin in copied(ledger.origins.values):
                if origin.address == OTHER:
                    continue  # many origins share that name
                began, *before = self._before.setdefault(origin, (now, 0, 0, 0, 0))
                counts = _counts(origin)
                built, sent, called, gone = (
                    count - was for count, was in zip(counts, before, strict=True)
                )
                gone_or_many = gone >= built * CHURN_GONE_SHARE or built >= CHURN_MANY_POOLS
                churned = churns(built, sent) and gone_or_many
                if churned:
                    registry.observer.clients_churned(origin, built, sent, called)
                if churned or now - began >= _WINDOW:
                    self._before[origin] = (now, *counts)


def _counts(origin: OriginLedger) -> tuple[int, int, int, int]:
    """Pools, requests, calls and discarded pools so far."""
    gone = sum(origin.pool.discarded.values())
    return origin.pools, origin.entered, origin.entered - origin.resent, gone
