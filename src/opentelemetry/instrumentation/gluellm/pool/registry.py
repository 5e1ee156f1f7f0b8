"""The live pools, held weakly, under stable names."""

from __future__ import annotations

import asyncio
import re
import threading
import time
import weakref
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from ..concurrency import snapshot_of
from .books import Books
from .call_site import CallSite
from .counts import NameState, Tally
from .durations import nanoseconds
from .lease import QUEUED, Lease, LeaseState, read_states
from .ledger import GONE_REPORTED, OTHER, OriginLedger, PoolLedger
from .observer import Guard, PoolObserver
from .reader import PoolReader
from .tracker import PoolTracker

MAX_NAMES = 50
"""Bound on the pool names of a process. Pools with further names are reported as ``_OTHER``."""
MAX_ORIGIN_LEDGERS = 180
"""Bound on combinations of pool name, origin and provider. With an ``_OTHER`` for each name there
are at most 230, and with six phases each, 1 380 attribute sets."""
_DEFAULT_PORTS = {b"http": 80, b"ws": 80, b"https": 443, b"wss": 443}
# The encoded host of a URL: a name or an IPv4 address in parts of at most 63 characters (RFC 1035),
# or an IPv6 address. Anything else would be text of unknown source in a label. Most API keys, for
# example, are longer than 63 characters.
_HOST = re.compile(
    r"(?=.{1,253}\Z)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*\.?|(?=.{2,45}\Z)[0-9a-f]*:[0-9a-f]*:[0-9a-f:.]*"
)
_HIGHEST_PORT = 65535


def is_host(text: str) -> bool:
    """Return whether ``text`` can be the host of a URL, and so may be reported."""
    return _HOST.fullmatch(text) is not None


def _is_port(port: object) -> bool:
    # Libraries accept any number. One beyond 64 bits would keep data points from being exported.
    return port is None or (isinstance(port, int) and 0 < port <= _HIGHEST_PORT)


def _nothing() -> None:
    return None


def _no_provider(host: str) -> str | None:  # noqa: ARG001
    return None


class Nowhere:
    """Placeholder for the event loop of a pool whose loop is not watched."""

    def __call__(self) -> None:
        return None


NOWHERE = Nowhere()


def running_loop() -> Any:
    """Return a weak reference to asyncio's running event loop; ``NOWHERE`` if there is none."""
    try:
        return weakref.ref(asyncio.get_running_loop())
    except (RuntimeError, TypeError):
        return NOWHERE


@dataclass(frozen=True, slots=True)
class Owner:
    """The owner of a pool: a name, a provider, and the call site that built the pool."""

    name: str
    """Name that the pool is reported under; empty for a client passed in without a name."""
    provider: str | None
    """any-llm's key of the provider whose call built the pool; None if no call did."""
    built_at: CallSite | None = None
    """Line of the application that built the pool; None if unknown."""


class PoolRegistry:
    """Names pools and origins within bounds, and reads the state of all pools at once.

    ``max_origins`` bounds the origins that are reported under their own address, ``peak_window`` is
    the window of the peaks in seconds, and ``clock`` returns monotonic nanoseconds.
    """

    def __init__(
        self,
        observers: Iterable[PoolObserver] = (),
        *,
        max_origins: int = 20,
        peak_window: float = 75.0,
        clock: Callable[[], int] = time.monotonic_ns,
        books: Books | None = None,
        entry_context: Callable[[], object] = _nothing,
        find_call_site: Callable[[], CallSite | None] = _nothing,
        provider_for_host: Callable[[str], str | None] = _no_provider,
        loop_lag: bool = False,
    ) -> None:
        self.open = True
        """False once its installation is undone. Wrappers that are left only call the original."""
        self.clock = clock
        self.max_origins = max_origins
        self._books = books or Books()
        self.failures = self._books.failures
        self.lock = threading.RLock()
        """Held only while the tracking of a pool begins: two threads can send the first request of
        a pool at once."""
        self.entering: Any = None
        """The pool whose tracking is beginning, in the thread that holds the lock; or None."""
        self.outside = 0
        """Requests of pools out of scope, while `counts_outside`. Approximate, since several
        threads may count at once."""
        self.counts_outside = False
        """Whether requests of pools out of scope are counted."""
        self.outbox = self._books.outbox
        self.entry_context = entry_context
        """Returns the context of a request that enters. Unless that is empty, observers are
        notified with `PoolObserver.lease_queued`."""
        self.find_call_site = find_call_site
        """Returns the application's call site of the running code."""
        self.provider_for_host = provider_for_host
        self.no_loop = None if loop_lag else NOWHERE
        """Initial value of `PoolTracker.loop`."""
        self.wake: Callable[[], None] = _nothing
        """Starts the watch's thread if it has ended."""
        self.observer: PoolObserver = Guard(observers, self.failures)
        self.trackers: dict[PoolTracker, None] = {}
        self.ending: dict[PoolTracker, None] = {}
        """Closed pools with requests in flight."""
        self.ledgers = self._books.ledgers
        self._window = nanoseconds(peak_window)
        for ledger in self.ledgers.values():
            ledger.watch(self._window, clock())

    @property
    def books(self) -> Books:
        """State that outlives this installation."""
        return self._books

    def attend(self) -> None:
        """Answer `Outbox.attention` when a request enters: wake the watch, help to drain."""
        outbox = self.outbox
        outbox.attention = False
        self.wake()
        if outbox.filling:
            outbox.attention = True
            self.observer.outbox_filling()

    # Names

    def track(
        self,
        pool: Any,
        reader: PoolReader,
        *,
        owner: Owner,
        library: str,
        host: str = "",
        provider: str | None = None,
    ) -> PoolTracker:
        """Begin to track a pool. ``host`` and ``provider`` are those of its first request."""
        provider = provider or owner.provider or self.provider_for_host(host)
        ledger = self._ledger(owner.name, provider, library)
        ledger.asked_for(provider, self.clock())
        tracker = PoolTracker(self, ledger, pool, reader, owner.provider)
        # A malformed host may be a key or a URL: do not store it.
        tracker.first = (host if is_host(host.lower()) else "", provider)
        tracker.built_at = owner.built_at
        self.observer.pool_opened(tracker)
        # atomic
        ledger.live += 1
        ledger.pools_opened += 1
        ledger.empty_since = None
        self.trackers[tracker] = None
        return tracker

    def _ledger(self, name: str, provider: str | None, library: str) -> PoolLedger:
        key = (name, library)
        if key not in self.ledgers and len(self.ledgers) >= MAX_NAMES:
            key = (OTHER, library)
            provider = None
        ledger = self.ledgers.get(key)
        if ledger is None:
            ledger = self.ledgers.setdefault(
                key,
                PoolLedger(
                    key[0],
                    provider,
                    library,
                    window=self._window,
                    now=self.clock(),
                    outcomes=self._books.outcomes,
                ),
            )
        return ledger

    def origin(
        self,
        ledger: PoolLedger,
        host: bytes,
        port: int | None,
        scheme: bytes,
        provider: str | None = None,
    ) -> OriginLedger:
        """Return the ledger of an origin for a provider; that of ``_OTHER`` beyond the bound."""
        origin = self.reported_origin(host, port, scheme)
        found = ledger.origins.get((*origin, provider))
        if found is None and self._books.origin_ledgers >= MAX_ORIGIN_LEDGERS:
            origin, provider = (OTHER, None), None
            found = ledger.origins.get((*origin, provider))
        if found is None:
            self._books.origin_ledgers += 1
            made = OriginLedger(ledger, *origin, provider)
            found = ledger.origins.setdefault((*origin, provider), made)
        return found

    def reported_origin(
        self, host: bytes, port: int | None, scheme: bytes
    ) -> tuple[str, int | None]:
        """Return the address and port that an origin is reported under."""
        origin = (host.decode("ascii", "replace").lower(), port or _DEFAULT_PORTS.get(scheme))
        if origin in self._books.origins:
            return origin
        full = len(self._books.origins) >= self.max_origins
        if full or not is_host(origin[0]) or not _is_port(origin[1]):
            return OTHER, None
        self._books.origins.add(origin)
        return origin

    # State

    def reported(self, now: int) -> list[PoolLedger]:
        """Return the ledgers to report. A name stays for ten minutes after its last pool."""
        return [
            ledger
            for ledger in snapshot_of(self.ledgers.values)
            if ledger.live or ledger.empty_since is None or now - ledger.empty_since < GONE_REPORTED
        ]

    def still_queued_in(self, pool: Any) -> PoolTracker | None:
        """Return the tracker whose requests were in flight in a pool when it was closed, if any.

        It may not be the pool's current tracker: a pool that is closed and used again gets a new
        one.
        """
        for tracker in snapshot_of(self.ending.keys):
            if tracker.leases and tracker.reference is not None and tracker.reference() is pool:
                return tracker
        return None

    def state(self, now: int) -> tuple[dict[PoolLedger, NameState], Tally]:
        """Return the state of all pools, summed by name and origin in one pass."""
        states = {ledger: NameState(ledger) for ledger in self.reported(now)}
        counts = Tally()
        # Before the leases in flight: a phase that ends meanwhile is then missing from the sum.
        # Otherwise it would count twice.
        for ledger in states:
            for origin in snapshot_of(ledger.origins.values):
                counts.spent[origin] = tuple(origin.spent)
        for tracker in snapshot_of(self.trackers.keys):
            state = states.get(tracker.ledger)
            if state is not None:
                self._add(tracker, state, counts)
        for tracker in snapshot_of(self.ending.keys):
            state = states.get(tracker.ledger)
            if not tracker.leases:
                self.ending.pop(tracker, None)
            elif state is not None:
                _add_leases(read_states(tracker.leases), state, counts)
        for state in states.values():
            if not state.ledger.live:
                state.maximum = state.idle_maximum = None
        return states, counts

    def _add(self, tracker: PoolTracker, state: NameState, counts: Tally) -> None:
        reference = tracker.reference
        pool = reference() if reference is not None else None
        if pool is None:
            return
        # Before the connections. A connection that is established in between is counted for a lease
        # that does not count as holding it yet. The other order could count a lease as holding a
        # connection that is not counted.
        leases = read_states(tracker.leases)
        try:
            tracker.reader.count(pool, tracker, counts)
        except Exception as error:
            self.failures.caught("read", error)
            return
        maximum = counts.maximum
        state.busy += counts.busy
        if maximum is None:
            state.maximum = None
        else:
            if state.maximum is not None:
                state.maximum += maximum
            occupancy = counts.busy / maximum if maximum else 0.0
            if state.occupancy is None or occupancy > state.occupancy:
                state.occupancy = occupancy
        if counts.idle_maximum is None:
            state.idle_maximum = None
        elif state.idle_maximum is not None:
            state.idle_maximum += counts.idle_maximum
        _add_leases(leases, state, counts)

    # End

    def close(self) -> None:
        """Stop tracking all pools. What happens in them from now on is not recorded."""
        self.open = False
        self._detach()

    def _detach(self) -> None:
        for tracker in (*snapshot_of(self.trackers.keys), *snapshot_of(self.ending.keys)):
            tracker.open = False
            tracker.reference = None
            for lease in snapshot_of(tracker.leases.keys):
                # The time so far stays counted; the remaining time and the outcome are not.
                lease.counted = False
                lease.accounted = True
                lease.recorded = 2
                tracker.released(lease)
            tracker.leases.clear()
            tracker.connections.clear()
        self.trackers.clear()
        self.ending.clear()
        now = self.clock()
        for ledger in snapshot_of(self.ledgers.values):
            ledger.abandon(now)

    def forget(self) -> None:
        """Reset everything in a forked child: the parent reports what it has counted."""
        self.lock = threading.RLock()
        self.entering = None
        self.outside = 0
        self._detach()
        self._books.clear()


def _add_leases(leases: list[tuple[Lease, LeaseState]], state: NameState, counts: Tally) -> None:
    oldest = state.oldest_since
    for lease, (_, phase, since, _) in leases:
        of_origin = counts.running(lease.origin)
        of_origin.count[phase] += 1
        of_origin.since[phase] += since
        if phase == QUEUED:
            # A lease that was requeued has waited since it entered.
            since = lease.entered_at
        if not oldest[phase] or since < oldest[phase]:
            oldest[phase] = since
