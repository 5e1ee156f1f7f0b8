"""What is counted for as long as a Meter lives, over the installations that feed it one by one."""

from __future__ import annotations

from ..failures import Failures
from .ledger import Bound, PoolLedger
from .outbox import Outbox

MAX_OUTCOMES = 1_200
"""Distinct pairs of origin and way of leaving the pool, each a series."""


class Books:
    """Ledgers, failures and the outbox.

    The SDK's series go on when the instrumentation is taken off and put on again: a counter that
    began at 0 then would have fallen, and a delta would be negative.
    """

    def __init__(self, outbox: Outbox | None = None) -> None:
        self.ledgers: dict[tuple[str, str], PoolLedger] = {}
        """By name and library."""
        self.origins: set[tuple[str, int | None]] = set()
        """The origins that are told apart."""
        self.origin_ledgers = 0
        self.outcomes = Bound(MAX_OUTCOMES)
        self.failures = Failures()
        self.outbox = outbox or Outbox()
        self.late_time = 0
        """Nanoseconds by which event loops were late, see `LoopLag`."""
        self.late_reported = 0
        """The highest value that was reported of it: a counter must never fall."""

    def clear(self) -> None:
        """Start anew, as a forked child has to: what the parent counted is the parent's."""
        self.ledgers.clear()
        self.origins.clear()
        self.origin_ledgers = 0
        self.outcomes.left = MAX_OUTCOMES
        self.failures.counts.clear()
        self.outbox.items.clear()
        self.outbox.dropped = 0
        self.late_time = self.late_reported = 0
