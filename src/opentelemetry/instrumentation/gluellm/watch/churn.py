"""Client churn: pools that are built, serve a request or two and are not used again."""

from __future__ import annotations

from collections import Counter

from ..concurrency import snapshot_of
from ..pool.durations import nanoseconds
from ..pool.ledger import OTHER, OriginLedger, PoolLedger
from ..pool.registry import PoolRegistry
from ..thresholds import CHURN_GONE_SHARE, CHURN_MANY_POOLS, CHURN_WINDOW, is_churn

_WINDOW = nanoseconds(CHURN_WINDOW)

_Key = tuple[PoolLedger, tuple[str, int | None]]


class Churn:
    """Compares the numbers of new pools and requests of each origin. Called by the watch."""

    def __init__(self, registry: PoolRegistry) -> None:
        self._registry = registry
        self._before: dict[_Key, tuple[int, int, int, int, int]] = {}
        """Begin of the window, and numbers of pools, requests, calls and discarded pools then."""
        self._built: dict[_Key, Counter[tuple[str, int]]] = {}
        """Pools that each call site had built at the begin of the window."""
        self.clear()

    def clear(self) -> None:
        """Begin new windows now. The ledgers may contain counts of an earlier installation."""
        self._before.clear()
        self._built.clear()
        now = self._registry.clock()
        for key, origins in self._origins().items():
            self._before[key] = (now, *_counts(origins))
            self._built[key] = _built(origins)

    def check(self) -> None:
        """Report each origin whose clients churn, once per window."""
        registry = self._registry
        now = registry.clock()
        for key, origins in self._origins().items():
            if origins[0].address == OTHER:
                continue  # many origins share that address
            began, *before = self._before.setdefault(key, (now, 0, 0, 0, 0))
            counts = _counts(origins)
            built, sent, called, gone = (
                count - was for count, was in zip(counts, before, strict=True)
            )
            gone_or_many = gone >= built * CHURN_GONE_SHARE or built >= CHURN_MANY_POOLS
            churned = is_churn(built, sent) and gone_or_many
            if churned:
                new = (_built(origins) - self._built.get(key, Counter())).most_common()
                sites = {
                    site: its for each in origins for site, its in snapshot_of(each.built_at.items)
                }
                by_site = tuple((sites[site], pools) for site, pools in new)
                registry.observer.clients_churned(origins[0], built, sent, called, by_site)
            if churned or now - began >= _WINDOW:
                self._before[key] = (now, *counts)
                self._built[key] = _built(origins)

    def _origins(self) -> dict[_Key, list[OriginLedger]]:
        """Group origin ledgers by pool name and origin: there may be one for each provider."""
        found: dict[_Key, list[OriginLedger]] = {}
        for ledger in snapshot_of(self._registry.ledgers.pools.values):
            for origin in snapshot_of(ledger.origins.values):
                found.setdefault((ledger, origin.reported), []).append(origin)
        return found


def _built(origins: list[OriginLedger]) -> Counter[tuple[str, int]]:
    """Return how many pools each call site has built so far, by `CallSite.key`."""
    found: Counter[tuple[str, int]] = Counter()
    for origin in origins:
        found.update({key: site.pools for key, site in snapshot_of(origin.built_at.items)})
    return found


def _counts(origins: list[OriginLedger]) -> tuple[int, int, int, int]:
    """Return the numbers of pools, requests, calls and discarded pools so far."""
    gone = sum(origin.pools_gone for origin in origins)
    entered = sum(origin.entered for origin in origins)
    resent = sum(origin.resent for origin in origins)
    return sum(origin.pools for origin in origins), entered, entered - resent, gone
