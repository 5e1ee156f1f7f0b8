"""Client churn: pools that are built, serve a request or two, and are never used again."""

from __future__ import annotations

from .copies import copied
from .ledger import OriginLedger
from .registry import OTHER, PoolRegistry

POOLS = 10
"""So many pools for one origin within the window are looked at. Fewer can be what a program needs:
one for each event loop or worker."""
REQUESTS_PER_POOL = 3
"""Below this a pool hardly ever reused a connection."""
WINDOW = 60 * 10**9
"""Nanoseconds in which they are counted."""


class Churn:
    """Compares pools with requests, origin by origin. Called by the watch."""

    def __init__(self, registry: PoolRegistry) -> None:
        self._registry = registry
        self._before: dict[OriginLedger, tuple[int, int, int]] = {}
        """When the window began, with the pools and requests until then."""

    def clear(self) -> None:
        """Start anew."""
        self._before.clear()

    def look(self) -> None:
        """Tell of each origin whose clients are built and thrown away, once a window."""
        registry = self._registry
        now = registry.clock()
        for ledger in copied(registry.ledgers.values):
            for origin in copied(ledger.origins.values):
                if origin.address == OTHER:
                    continue  # many origins share that name
                began, pools, requests = self._before.setdefault(origin, (now, 0, 0))
                built, sent = origin.pools - pools, origin.entered - requests
                churns = built >= POOLS and sent < REQUESTS_PER_POOL * built
                if churns:
                    registry.observer.clients_churned(origin, built, sent)
                if churns or now - began >= WINDOW:
                    self._before[origin] = (now, origin.pools, origin.entered)
