"""A thread that detects once a second what no event reports, such as leaks, and judges.

The thread runs while requests are in flight, and ends when there have been none for a while. The
next request starts it again. It only reads plain numbers, and notifies observers in its own thread.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import MutableMapping
from dataclasses import dataclass
from functools import partial
from random import Random

from ..concurrency import DaemonThread, snapshot_of
from ..pool.durations import nanoseconds
from ..pool.lease import Lease
from ..pool.registry import PoolRegistry
from ..pool.tracker import PoolTracker
from ..vocabulary import QUEUED, UNREAD
from .account import Account
from .anomalies import Anomalies
from .judgement import Judgement
from .loop_lag import LoopLag
from .silent_peers import SilentPeers

INTERVAL = 1.0
"""Mean seconds between two passes. A leak is detected at most a quarter more after its threshold.
"""
_REST_AFTER = 10
"""Passes without any request after which the thread ends."""
PASSES_AFTERWARDS = 4
"""Passes in which the watch still checks a pool after its last request. Checking ten thousand idle
pools in each pass would take longer than it is worth."""


@dataclass(slots=True, eq=False)
class _PoolNotes:
    """Notes on a pool from pass to pass."""

    entered: int = 0
    """Value of `PoolTracker.entered` at the previous pass."""
    passes_left: int = PASSES_AFTERWARDS
    """Passes in which the pool is still checked although it has no request."""


@dataclass(slots=True, eq=False)
class _LeaseNotes:
    """Notes on an unread lease from pass to pass, until it ends."""

    steps: int = 0
    """Value of `Call.steps` at the previous check."""
    stepped_at: int = 0
    """When a check last found that `Call.steps` had changed."""
    leaked: bool = False
    """Whether the lease was ever suspected as a leak."""


class Watch:
    """The watch of one installation. ``leak_threshold`` is in seconds; 0 detects no leaks.

    For ``peer_check_after`` see `SilentPeers`.
    """

    def __init__(
        self,
        registry: PoolRegistry,
        *,
        leak_threshold: float,
        loop_lag: LoopLag | None,
        peer_check_after: float = 0.0,
        judgement: Judgement | None = None,
    ) -> None:
        self._registry = registry
        self._leak_threshold = nanoseconds(leak_threshold)
        self._loop_lag = loop_lag
        self._thread = DaemonThread(
            self._run, "gluellm-pool-watch", registry.failures, "watch.start"
        )
        self._asked = False
        """Whether the thread has announced its end and no request has entered since."""
        self._suspects: dict[Lease, tuple[int, int]] = {}
        """Suspected leases, with ``phase_since`` and ``steps``, which change if they are read."""
        self._leases: dict[Lease, _LeaseNotes] = {}
        self._pools: MutableMapping[PoolTracker, _PoolNotes] = {}
        """Notes on the pools of the previous pass. Weak while there is no thread; a weak dict would
        make passes over ten thousand idle pools several times as long."""
        self._anomalies = Anomalies(registry, loop_lag)
        self.account = Account(registry)
        self.silent_peers = SilentPeers(registry, peer_check_after)
        self.judgement = judgement
        """None if the process does not judge itself."""

    def suspects(self) -> tuple[Lease, ...]:
        """Return the leases that are suspected as leaks now: unread beyond the threshold."""
        return tuple(lease for lease in snapshot_of(self._suspects.keys) if not lease.ended_at)

    def start(self) -> None:
        """Let the next request start the thread."""
        self._registry.wake_watch(self.wake)

    def wake(self) -> None:
        """Start the thread if there is none, when a request enters.

        Raises only exceptions from signal handlers, and exceptions that are not an ``Exception``.
        """
        self._asked = False
        self._thread.start()
        if self._thread.current is None and not self._thread.stopped.is_set():
            self._registry.wake_watch(self.wake)  # the next request tries again

    def stop(self) -> None:
        """End the thread, and wait for it for at most a second."""
        self._registry.wake = None
        if self._loop_lag is not None:
            self._loop_lag.stop()
        self._thread.stop()
        if self.judgement is not None:
            self.judgement.clear()
        self.account.hold(False)
        self._forget()

    def after_fork_in_child(self) -> None:
        """Reset everything in a forked child. The next request starts a thread there."""
        self._thread.after_fork_in_child()
        self._forget()
        self.account.restart()
        if self.judgement is not None:
            self.judgement.clear()
        if self._loop_lag is not None:
            self._loop_lag.forget()
        if not self._thread.stopped.is_set():
            self._registry.wake_watch(self.wake)

    def _forget(self) -> None:
        self._suspects.clear()
        self._leases.clear()
        self._pools = {}
        self._anomalies.clear()

    def _run(self) -> None:
        try:
            quiet = 0
            stopped = self._thread.stopped
            # A loop that is blocked once a second in step with the passes would never be seen busy.
            jitter = Random()
            wait = (
                stopped.wait if self._loop_lag is None else partial(self._loop_lag.sleep, stopped)
            )
            while not wait(INTERVAL * jitter.uniform(0.75, 1.25)):
                busy = self.run_pass() or bool(self._suspects)
                if self.judgement is not None and self.judgement.now:
                    busy = True
                quiet = 0 if busy else quiet + 1
                if quiet >= _REST_AFTER and self._rests():
                    return
        finally:
            # Even after an exception: the next request can then start another thread.
            if self._thread.current is threading.current_thread():
                self._thread.current = None
                self._registry.wake_watch(self.wake)

    def _rests(self) -> bool:
        """Announce the end of the thread; return True if no request has entered since.

        The first call sets the flag by which the next request calls `wake`. A request that entered
        just before that is detected by the pass in between.
        """
        if not self._asked:
            self._asked = True
            self._registry.wake_watch(self.wake)
            return False
        if self._thread.current is threading.current_thread():
            self.account.rest()
            self._pools = weakref.WeakKeyDictionary(self._pools)
        return self._thread.rests(lambda: not self._asked)

    def run_pass(self) -> bool:
        """Check everything once; return whether any request is in flight."""
        registry = self._registry
        busy = entered = False
        try:
            self._check_suspects()
            pools: dict[PoolTracker, _PoolNotes] = {}
            for tracker in snapshot_of(registry.trackers.values):
                notes = self._pools.get(tracker)
                if notes is None:
                    notes = self._pools[tracker] = _PoolNotes()
                pools[tracker] = notes
                if tracker.leases or tracker.entered != notes.entered:
                    entered = entered or tracker.entered != notes.entered
                    notes.entered = tracker.entered
                    notes.passes_left = PASSES_AFTERWARDS
                if tracker.leases:
                    busy = True
                    self._check_pool(tracker)
                elif notes.passes_left and self._anomalies.check(tracker, [], registry.clock()):
                    # The last request of a pool may leave an orphaned connection behind.
                    notes.passes_left -= 1
            self._pools = pools
            if self._loop_lag is not None:
                self._loop_lag.count(registry.clock())
            self._anomalies.passed()
            self.silent_peers.passed()
            registry.calls.look()
            self.account.look()
            if self.judgement is not None:
                self.judgement.passed(entered=entered, busy=busy)
                self.account.hold(bool(self.judgement.now))
            registry.observer.watch_passed()
        except BaseException as error:
            # Log handlers of the application may raise a BaseException here, such as an exit or the
            # failure of a test. It must not end the watch, whose thread is not the application's.
            registry.failures.caught("watch", error)
        return busy

    def _check_pool(self, tracker: PoolTracker) -> None:
        now = self._registry.clock()
        if self._loop_lag is not None:
            self._loop_lag.watch(tracker, now)
        waiting = []
        for lease in snapshot_of(tracker.leases.keys):
            phase, wait = lease.phase, lease.wait
            if phase == UNREAD:
                self._check_for_leak(lease, now)
            # A connection that is assigned may still refuse the request.
            elif phase == QUEUED and lease.connection is None and wait and wait.in_queue:
                waiting.append(lease)
        self._anomalies.check(tracker, waiting, now)
        self.silent_peers.check(tracker, now)

    # Leaks

    def _check_for_leak(self, lease: Lease, now: int) -> None:
        if not self._leak_threshold:
            return
        now = lease.ended_at or now
        call = lease.call
        notes = self._leases.get(lease)
        if notes is None:
            notes = self._leases[lease] = _LeaseNotes()
        if call is not None and call.steps != notes.steps:
            notes.steps = call.steps
            notes.stepped_at = now
        # An SDK reads ahead, and the application then takes items without a read.
        since = max(lease.phase_since, notes.stepped_at)
        if (
            # Switched to another protocol, whose bytes are not read from a response.
            lease.status == 101
            or now - since < self._leak_threshold
            or lease in self._suspects
            # A silent provider would look like an application that no longer reads.
            or not lease.reports_reads
        ):
            return
        if not notes.leaked:
            notes.leaked = True
            lease.tracker.ledger.leaks += 1
            lease.tracker.ledger.leaked_at = lease.call_site
        self._suspects[lease] = (lease.phase_since, notes.steps)
        self._registry.observer.leak_suspected(lease, since)

    def _check_suspects(self) -> None:
        for lease in snapshot_of(self._leases.keys):
            if lease.ended_at or not lease.tracker.open:
                if lease.ended_at and lease.phase == UNREAD:
                    # The lease may have passed the threshold after the previous pass.
                    self._check_for_leak(lease, lease.ended_at)
                self._leases.pop(lease, None)
        for lease, (since, steps) in tuple(self._suspects.items()):
            call = lease.call
            stepped = call is not None and call.steps != steps
            if lease.ended_at:
                how = "released"
            elif lease.phase != UNREAD or lease.phase_since != since or stepped:
                how = "read"
            elif not lease.tracker.open:
                how = "closed"
            else:
                continue
            self._suspects.pop(lease, None)
            self._registry.observer.leak_over(lease, how)
