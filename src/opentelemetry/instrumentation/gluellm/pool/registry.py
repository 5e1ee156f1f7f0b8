"""The live pools, held weakly, and how all of them are read at once."""

from __future__ import annotations

import asyncio
import time
import weakref
from collections.abc import Callable, Iterable
from typing import Any

from .. import thresholds
from ..concurrency import snapshot_of
from ..vocabulary import QUEUED
from .call import LiveCalls
from .call_site import CallSite
from .counts import NameState, PoolSums
from .lease import Lease, LeaseState, read_states
from .ledger import Ledgers, Owner, PoolLedger, is_host
from .observer import Guard, PoolObserver
from .reader import PoolReader
from .tracker import PoolTracker, Registry


def _nothing() -> None:
    return None


NOWHERE = _nothing
"""Placeholder for the event loop of a pool whose loop is not watched: a reference to none."""


def running_loop() -> Any:
    """Return a weak reference to asyncio's running event loop; ``NOWHERE`` if there is none."""
    try:
        return weakref.ref(asyncio.get_running_loop())
    except (RuntimeError, TypeError):
        return NOWHERE


class PoolRegistry(Registry):
    """Registry of the live pools, which also reads the state of all of them at once.

    For ``max_origins`` and ``peak_window`` see `Ledgers.configure`; ``clock`` returns monotonic
    nanoseconds. ``silence_threshold`` is in seconds.
    """

    def __init__(
        self,
        observers: Iterable[PoolObserver] = (),
        *,
        max_origins: int = 20,
        peak_window: float = 75.0,
        clock: Callable[[], int] = time.monotonic_ns,
        ledgers: Ledgers | None = None,
        entry_context: Callable[[], object] = _nothing,
        find_call_site: Callable[..., CallSite | None] = lambda *_: None,
        provider_for_host: Callable[[str, int | None], str | None] = lambda *_: None,
        loop_lag: bool = False,
        silence_threshold: float = thresholds.CALL_SILENT_AFTER,
    ) -> None:
        self.open = True
        """False once its installation is undone. Wrappers that are left only call the original."""
        self.clock = clock
        self.ledgers = ledgers or Ledgers()
        self.ledgers.configure(max_origins, peak_window, clock())
        self.failures = self.ledgers.failures
        self.outside = 0
        """Requests of pools out of scope, while `counts_outside`. Approximate, since several
        threads may count at once."""
        self.counts_outside = False
        """Whether requests of pools out of scope are counted."""
        self.outbox = self.ledgers.outbox
        self.entry_context = entry_context
        """Returns the context of a request that enters. Unless that is empty, observers are
        notified with `PoolObserver.lease_queued`."""
        self.find_call_site = find_call_site
        """Returns the application's call site of the running code."""
        self.provider_for_host = provider_for_host
        self.no_loop = None if loop_lag else NOWHERE
        """Initial value of `PoolTracker.loop`."""
        self.attention = False
        """Whether the next request that enters has to call `attend`. The reasons are `wake` and
        `Outbox.filling`; every request reads only this."""
        self.wake: Callable[[], None] | None = None
        """Starts the watch's thread; None unless the watch waits for a request."""
        self.observer: PoolObserver = Guard(observers, self.failures)
        self.calls = LiveCalls(
            self.ledgers.calls, self.outbox, self.observer, entry_context, clock, silence_threshold
        )
        self.trackers: dict[int, PoolTracker] = {}
        """Trackers of the pools, by ``id()`` of the pool."""
        self.ending: dict[PoolTracker, None] = {}
        """Pools that were closed with requests in flight, until these and their connections have
        ended. Kept here, since the garbage collector does not notify trackers that it collects."""

    def wake_watch(self, wake: Callable[[], None]) -> None:
        """Have the next request that enters call ``wake``."""
        self.wake = wake
        self.attention = True

    def attend(self) -> None:
        """Answer `attention` when a request enters: wake the watch or help to drain the outbox."""
        self.attention = False
        wake, self.wake = self.wake, None
        if wake is not None:
            try:
                wake()
            except BaseException:  # a signal handler raised: the next request tries again
                self.wake, self.attention = wake, True
                raise
        if self.outbox.filling:
            self.attention = True
            self.observer.outbox_filling()

    def fill_outbox(self, lease: Lease) -> None:
        """Put a lease into an outbox that is half full or more. The finalizer rule applies."""
        self.outbox.put_lease(lease)
        if self.outbox.filling:
            self.attention = True

    def track(
        self,
        pool: Any,
        reader: PoolReader[PoolTracker],
        *,
        owner: Owner,
        library: str,
        host: str = "",
        provider: str | None = None,
        kind: type[PoolTracker] = PoolTracker,
        adopt: Callable[[Any, PoolTracker], None] = lambda *_: None,
    ) -> PoolTracker:
        """Begin to track a pool, by a tracker of the ``kind`` of its library.

        ``host`` and ``provider`` belong to its first request. ``adopt`` is called with the pool
        and the new tracker. Several threads can send the first request of a pool at once: all of
        them get the same tracker, and only one calls ``adopt``.
        """
        provider = provider or owner.provider or self.provider_for_host(host, None)
        now = self.clock()
        ledger = self.ledgers.pool(owner.name, provider, library, now, kind.ledger_type)
        made = kind(self, ledger, pool, reader, owner.provider)
        # A malformed host may be a key or a URL: do not store it.
        made.first = (host if is_host(host.lower()) else "", provider)
        try:
            tracker = self.trackers.setdefault(made.pool_id, made)
            if tracker is made and self.open:  # else `close` would not end it
                # atomic
                made.open = True
                ledger.live += 1
                ledger.pools_opened += 1
                ledger.empty_since = None
                # end of atomic
                adopt(pool, made)
        except BaseException:
            # The pool gets a new tracker at its next request.
            made.discard("closed")
            raise
        return tracker

    # State

    def still_queued_in(self, pool: Any) -> PoolTracker | None:
        """Return the tracker whose requests were in flight in a pool when it was closed, if any.

        It may not be the pool's current tracker: a pool that is closed and used again gets a new
        one.
        """
        for tracker in snapshot_of(self.ending.keys):
            if tracker.leases and tracker.live_pool() is pool:
                return tracker
        return None

    def state(self, now: int) -> tuple[dict[PoolLedger, NameState], PoolSums]:
        """Return the state of all pools, summed by name and origin in one pass."""
        states = {ledger: NameState(ledger) for ledger in self.ledgers.reported(now)}
        counts = PoolSums()
        # Before the leases in flight: a phase that ends meanwhile is then missing from the sum.
        # Otherwise it would count twice.
        for ledger in states:
            for origin in snapshot_of(ledger.origins.values):
                counts.spent[origin] = tuple(origin.spent)
                counts.steps[origin] = list(origin.set_up_time)
        for tracker in snapshot_of(self.trackers.values):
            state = states.get(tracker.ledger)
            if state is not None:
                self._add(tracker, state, counts)
                _add_steps(tracker, counts, now)
        for tracker in snapshot_of(self.ending.keys):
            state = states.get(tracker.ledger)
            if not tracker.leases and not tracker.connections:
                self.ending.pop(tracker, None)
            elif state is not None:
                _add_leases(read_states(tracker.leases), state, counts)
                _add_steps(tracker, counts, now)
        for state in states.values():
            if not state.ledger.live:
                state.maximum = state.idle_maximum = None
        return states, counts

    def _add(self, tracker: PoolTracker, state: NameState, counts: PoolSums) -> None:
        pool = tracker.live_pool()
        if pool is None:
            return
        # Before the connections. A connection that is established in between is counted for a lease
        # that does not count as holding it yet. The other order could count a lease as holding a
        # connection that is not counted.
        leases = read_states(tracker.leases)
        try:
            busy, maximum, idle_maximum = tracker.reader.count(pool, tracker, counts)
        except Exception as error:
            self.failures.caught("read", error)
            return
        tracker.maximum = maximum
        state.busy += busy
        state.maximum = _sum_of_bounds(state.maximum, maximum)
        state.idle_maximum = _sum_of_bounds(state.idle_maximum, idle_maximum)
        if maximum is not None:
            state.occupancy = max(state.occupancy or 0.0, busy / maximum if maximum else 0.0)
        _add_leases(leases, state, counts)

    # End

    def close(self) -> None:
        """Stop tracking all pools. What happens in them from now on is not recorded."""
        self.open = False
        self._detach()
        self.calls.end_all()
        # Ended calls may live on: an event loop that was made in a call keeps its context.
        self.calls.observer = PoolObserver()

    def _detach(self) -> None:
        for tracker in (*snapshot_of(self.trackers.values), *snapshot_of(self.ending.keys)):
            tracker.open = False
            tracker.reference = None
            for lease in snapshot_of(tracker.leases.keys):
                # The time so far stays counted; the remaining time and the outcome are not.
                tracker.discard_lease(lease)
            tracker.leases.clear()
            tracker.connections.clear()
        self.trackers.clear()
        self.ending.clear()
        now = self.clock()
        for ledger in snapshot_of(self.ledgers.pools.values):
            ledger.abandon(now)

    def forget(self) -> None:
        """Reset everything in a forked child: the parent reports what it has counted."""
        self.outside = 0
        self.calls.discard()
        self._detach()
        self.ledgers.clear()


def _sum_of_bounds(one: int | None, other: int | None) -> int | None:
    return None if one is None or other is None else one + other


def _add_leases(leases: list[tuple[Lease, LeaseState]], state: NameState, counts: PoolSums) -> None:
    oldest = state.oldest_since
    for lease, (_, phase, since, acquired_at) in leases:
        of_origin = counts.requests[lease.origin]
        of_origin.count[phase] += 1
        of_origin.since[phase] += since
        if phase == QUEUED:
            # A lease that was requeued has waited since it entered.
            since = lease.entered_at
        elif acquired_at and not 0 < state.held_since <= acquired_at:
            state.held_since = acquired_at
        if not oldest[phase] or since < oldest[phase]:
            oldest[phase] = since


def _add_steps(tracker: PoolTracker, counts: PoolSums, now: int) -> None:
    for connection in snapshot_of(tracker.connections.keys):
        since = connection.step_since
        if since and connection.origin in counts.steps:
            counts.steps[connection.origin][connection.step] += max(now - since, 0)
