"""States that a pool should never be in, caused by faults in the pool itself.

A pool may be in some of them for a moment. A state therefore counts if two passes of the watch find
it unchanged, and no state counts while an event loop is late.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..concurrency import snapshot_of
from ..pool.durations import nanoseconds
from ..pool.lease import ConnectionView, Lease, TrackedConnection
from ..pool.ledger import OTHER
from ..pool.registry import NOWHERE, PoolRegistry
from ..pool.tracker import PoolTracker
from ..thresholds import OVERRUN_GRACE, OVERRUN_GRACE_UNKNOWN, STALE_FOR

if TYPE_CHECKING:
    from .loop_lag import LoopLag

_SINCE_BLOCKED = nanoseconds(STALE_FOR)
_GRACE = nanoseconds(OVERRUN_GRACE)
_GRACE_UNKNOWN = nanoseconds(OVERRUN_GRACE_UNKNOWN)


class Anomalies:
    """Counts anomalies in the ledgers, each connection and each request once."""

    def __init__(self, registry: PoolRegistry, loop_lag: LoopLag | None) -> None:
        self._registry = registry
        self._loop_lag = loop_lag
        self._seen: set[tuple[object, ...]] = set()
        """States that the previous pass found."""
        self._found: set[tuple[object, ...]] = set()
        """States that the current pass has found."""
        self._orphaned: weakref.WeakSet[TrackedConnection] = weakref.WeakSet()
        """Connections that were counted as an ``orphaned_connection``."""
        self._counted: dict[tuple[str, Lease], None] = {}
        """Anomalies of requests that were counted, until the request ends."""

    def clear(self) -> None:
        """Forget all states and anomalies, in a forked child or after uninstallation."""
        self._seen.clear()
        self._found.clear()
        self._orphaned.clear()
        self._counted.clear()

    def passed(self) -> None:
        """End the current pass. The next one compares with the states that it found."""
        self._seen, self._found = self._found, set()
        for anomaly in snapshot_of(self._counted.keys):
            lease = anomaly[1]
            if lease.ended_at or not lease.tracker.open:
                self._counted.pop(anomaly, None)

    def check(self, tracker: PoolTracker, waiting: list[Lease], now: int) -> bool:
        """Check one pool and its ``waiting`` leases; return False if it cannot be checked now."""
        view = tracker.view()
        lag = self._loop_lag
        if view is None or (lag is not None and lag.blocked_within(_SINCE_BLOCKED, now)):
            return False
        grace = _GRACE_UNKNOWN if tracker.loop is NOWHERE else _GRACE
        for connection in view.connections:
            record = connection.record
            odd = connection.state != "idle" and not connection.wanted and not record.leases
            if odd and record not in self._orphaned and self._again(record, record.served):
                self._orphaned.add(record)
                tracker.ledger.anomalies["orphaned_connection"] += 1
        free = _free(view.connections) if waiting else {}
        for lease in waiting:
            wait = lease.wait
            if wait is None:
                continue
            timeout = wait.timeout
            overrun = now - wait.since - grace
            over = timeout is not None and overrun > nanoseconds(timeout)
            # In two passes, since the threads of a stopped process resume in any order.
            if over and self._again(lease, wait.since):
                self._count("pool_timeout_overrun", lease)
            idle = free.get(lease.origin.reported)
            if idle is not None and self._again(lease, idle, idle.served, wait.since):
                self._count("waiter_with_idle_connection", lease)
        return True

    def _count(self, anomaly: str, lease: Lease) -> None:
        if (anomaly, lease) not in self._counted:
            self._counted[anomaly, lease] = None
            lease.tracker.ledger.anomalies[anomaly] += 1

    def _again(self, *state: object) -> bool:
        """Note a state of this pass, and return whether the previous pass found it as well."""
        self._found.add(state)
        return state in self._seen


def _free(
    connections: Sequence[ConnectionView],
) -> dict[tuple[str, int | None], TrackedConnection]:
    """Return the first free connection of each origin that has one."""
    found: dict[tuple[str, int | None], TrackedConnection] = {}
    for connection in connections:
        record = connection.record
        idle = connection.state == "idle" and not connection.wanted and not record.leases
        if idle and record.origin.address != OTHER:  # many origins share that address
            found.setdefault(record.origin.reported, record)
    return found
