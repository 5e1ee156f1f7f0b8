"""Client churn: pools that are built, serve a request or two, and are never used again."""

from __future__ import annotations

from .copies import copied
from .ledger import OriginLedger
from .place import Place
from .registry import OTHER, PoolRegistry

POOLS = 10
"""So many pools for one origin within the window are looked at. Fewer can be what a program needs:
one for each event loop or worker."""
REQUESTS_PER_POOL = 3
"""Below this a pool hardly ever reused a connection."""
GONE_SHARE = 0.5
"""Of the pools, that have gone again. A client for each tenant, say, stays."""
MANY_POOLS = 50
"""So many count though they are all alive: the garbage collector may not have come yet."""
WINDOW = 60 * 10**9
"""Nanoseconds in which they are counted."""


class Churn:
    """Compares pools with requests, origin by origin. Called by the watch."""

    def __init__(self, registry: PoolRegistry) -> None:
        self._registry = registry
        self._before: dict[OriginLedger, tuple[int, int, int, int, int]] = {}
        """When the window began, with the pools, requests, calls and discarded pools until then."""
        self._built: dict[OriginLedger, dict[Place, int]] = {}
        """Pools that each call site had built when the window began."""
        self.clear()

    def clear(self) -> None:
        """Start anew: what was counted before, by an installation that is gone, is not judged."""
        self._before.clear()
        self._built.clear()
        now = self._registry.clock()
        for ledger in copied(self._registry.ledgers.values):
            for origin in copied(ledger.origins.values):
                self._before[origin] = (now, *_counts(origin))
                self._built[origin] = _built(origin)

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
                churns = (
                    built >= POOLS
                    and sent < REQUESTS_PER_POOL * built
                    and (gone >= built * GONE_SHARE or built >= MANY_POOLS)
                )
                if churns:
                    sites = _built_since(origin, self._built.get(origin, {}))
                    registry.observer.clients_churned(origin, built, sent, called, sites)
                if churns or now - began >= WINDOW:
                    self._before[origin] = (now, *counts)
                    self._built[origin] = _built(origin)


def _built(origin: OriginLedger) -> dict[Place, int]:
    return {site.place: site.pools for site in copied(origin.built_at.values)}


def _built_since(origin: OriginLedger, before: dict[Place, int]) -> tuple[tuple[Place, int], ...]:
    """Call sites that built pools since ``before``, each with how many, the most first."""
    since = [(place, pools - before.get(place, 0)) for place, pools in _built(origin).items()]
    return tuple(sorted((site for site in since if site[1] > 0), key=lambda site: -site[1]))


def _counts(origin: OriginLedger) -> tuple[int, int, int, int]:
    """Pools, requests, calls and discarded pools so far."""
    gone = sum(origin.pool.discarded.values())
    return origin.pools, origin.entered, origin.entered - origin.resent, gone
