"""State that lives as long as a Meter, across the installations that report to it in turn."""

from __future__ import annotations

from ..failures import Failures
from .ledger import Bound, PoolLedger
from .outbox import Outbox

MAX_OUTCOMES = 1_200
"""Bound on the series of requests: distinct pairs of origin ledger and outcome."""


class Books:
    """Ledgers, failures and the outbox.

    The SDK's series continue when the instrumentation is uninstalled and installed again. A counter
    that restarted at 0 would fall, and a delta would be negative.
    """

    def __init__(self, outbox: Outbox | None = None) -> None:
        self.ledgers: dict[tuple[str, str], PoolLedger] = {}
        """Ledgers by pool name and library."""
        self.origins: set[tuple[str, int | None]] = set()
        """The origins that are reported under their own address, as address and port."""
        self.origin_ledgers = 0
        self.outcomes = Bound(MAX_OUTCOMES)
        self.failures = Failures()
        self.outbox = outbox or Outbox()
        self.late_time = 0
        """Nanoseconds by which event loops were late, see `LoopLag`."""
        self.late_reported = 0
        """Highest value of the late time that was reported: a counter must never fall."""

    def clear(self) -> None:
        """Reset everything in a forked child: the parent reports what it has counted."""
        self.ledgers.clear()
        self.origins.clear()
        self.origin_ledgers = 0
        self.outcomes.left = MAX_OUTCOMES
        self.failures.counts.clear()
        self.outbox.items.clear()
        self.outbox.dropped = 0
        self.late_time = self.late_reported = 0
