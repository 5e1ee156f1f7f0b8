"""Client churn: pools that are built, serve a request or two, and are never used again."""

from __future__ import annotations

from ..concurrency import snapshot_of
from ..pool.call_site import CallSite
from ..pool.durations import nanoseconds
from ..pool.ledger import OTHER, OriginLedger, PoolLedger
from ..pool.registry import PoolRegistry
from ..thresholds import CHURN_GONE_SHARE, CHURN_MANY_POOLS, CHURN_WINDOW, churns

_WINDOW = nanoseconds(CHURN_WINDOW)

_Key = tuple[PoolLedger, tuple[str, int | None]]


class Churn:
    """Compares pools with requests, origin by origin. Called by the watch."""

    def __init__(self, registry: PoolRegistry) -> None:
        self._registry = registry
        self._before: dict[_Key, tuple[int, int, int, int, int]] = {}
        """When the window began, with the pools, requests, calls and discarded pools until then."""
        self._built: dict[_Key, dict[CallSite, int]] = {}
        """Pools that each call site had built when the window began."""
        self.clear()

    def clear(self) -> None:
        """Start anew: what was counted before, by an installation that is gone, is not judged."""
        self._before.clear()
        self._built.clear()
        now = self._registry.clock()
        for key, origins in self._origins().items():
            self._before[key] = (now, *_counts(origins))
            self._built[key] = _built(origins)

    def look(self) -> None:
        """Tell of each origin whose clients are built and thrown away, once a window."""
        registry = self._registry
        now = registry.clock()
        for key, origins in self._origins().items():
            if origins[0].address == OTHER:
                continue  # many origins share that name
            began, *before = self._before.setdefault(key, (now, 0, 0, 0, 0))
            counts = _counts(origins)
            built, sent, called, gone = (
                count - was for count, was in zip(counts, before, strict=True)
            )
            gone_or_many = gone >= built * CHURN_GONE_SHARE or built >= CHURN_MANY_POOLS
            churned = churns(built, sent) and gone_or_many
            if churned:
                sites = _built_since(origins, self._built.get(key, {}))
                registry.observer.clients_churned(origins[0], built, sent, called, sites)
            if churned or now - began >= _WINDOW:
                self._before[key] = (now, *counts)
                self._built[key] = _built(origins)

    def _origins(self) -> dict[_Key, list[OriginLedger]]:
        """The ledgers by pool name and origin: several providers can share a pool."""
        found: dict[_Key, list[OriginLedger]] = {}
        for ledger in snapshot_of(self._registry.ledgers.values):
            for origin in snapshot_of(ledger.origins.values):
                found.setdefault((ledger, origin.reported), []).append(origin)
        return found


def _built(origins: list[OriginLedger]) -> dict[CallSite, int]:
    """How many pools each call site has built so far."""
    found: dict[tuple[str, int], tuple[CallSite, int]] = {}
    for origin in origins:
        for key, site in snapshot_of(origin.built_at.items):
            call_site, pools = found.get(key, (site.call_site, 0))
            found[key] = (call_site, pools + site.pools)
    return dict(found.values())


def _built_since(
    origins: list[OriginLedger], before: dict[CallSite, int]
) -> tuple[tuple[CallSite, int], ...]:
    """Call sites that built pools since ``before``, each with how many, the most first."""
    since = [
        (call_site, pools - before.get(call_site, 0))
        for call_site, pools in _built(origins).items()
    ]
    return tuple(sorted((site for site in since if site[1] > 0), key=lambda site: -site[1]))


def _counts(origins: list[OriginLedger]) -> tuple[int, int, int, int]:
    """Pools, requests, calls and discarded pools so far."""
    gone = sum(origin.pools_gone for origin in origins)
    entered = sum(origin.entered for origin in origins)
    resent = sum(origin.resent for origin in origins)
    return sum(origin.pools for origin in origins), entered, entered - resent, gone
