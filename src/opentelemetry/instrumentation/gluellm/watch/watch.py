"""Looks once a second at what goes on without anybody saying so: leaks, queues that don't move.

The thread is there while requests are under way, and leaves when there have been none for a while;
the next request starts it again. It only reads plain numbers, and what it finds it tells the
observers, in its own thread.
"""

from __future__ import annotations

import threading

from .. import thresholds
from ..concurrency import acquire, daemon_thread, snapshot_of
from ..pool.durations import nanoseconds
from ..pool.lease import QUEUED, STREAM_QUEUED, UNREAD, Lease
from ..pool.registry import PoolRegistry
from ..pool.tracker import LOOKS_AFTERWARDS, PoolTracker
from .anomalies import Anomalies
from .churn import Churn
from .loop_lag import LoopLag

INTERVAL = 1.0
"""Seconds between two looks: a leak is found that much after its threshold at most."""
STUCK_AFTER = nanoseconds(thresholds.STUCK_AFTER)
LOGGED_EVERY = nanoseconds(thresholds.LOG_AGAIN_AFTER)
_LOCK_TIMEOUT = 0.05
_REST_AFTER = 10
"""Looks without any request after which the thread leaves."""


class Watch:
    """One installation's watch. ``leak_threshold`` is in seconds; 0 looks for no leaks."""

    def __init__(
        self,
        registry: PoolRegistry,
        *,
        leak_threshold: float,
        loop_lag: LoopLag | None,
        interval: float | None = None,
    ) -> None:
        self._registry = registry
        self._leak_threshold = nanoseconds(leak_threshold)
        self._loop_lag = loop_lag
        self._interval = INTERVAL if interval is None else interval
        # Reentrant: a signal handler may send a request while its thread is in here.
        self._lock = threading.RLock()
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None
        self._asked = False
        """Whether it wants to leave and no request has come since."""
        self._suspects: dict[Lease, tuple[int, int]] = {}
        """With what would have changed if they had been read since."""
        self._anomalies = Anomalies(registry, loop_lag)
        self._churn = Churn(registry)

    def start(self) -> None:
        """Be there from the next request on."""
        self._registry.wake = self.wake
        self._registry.outbox.attention = True

    def wake(self) -> None:
        """A request enters while the watch rests. Raises nothing but an interrupt of the caller."""
        self._asked = False
        # Not without end: starting a thread allocates, so that the garbage collector may run a
        # finalizer in there, which logs, while who holds the log's lock waits here.
        # The one that was acquired: a signal handler may fork in here, and the child renews it.
        lock = self._lock
        held: list[bool] = []
        try:
            if not acquire(lock, held, _LOCK_TIMEOUT):
                self._registry.outbox.attention = True  # the next request tries again
                return
            if self._thread is not None or self._stopped.is_set():
                return
            try:
                thread = daemon_thread(self._run, name="gluellm-pool-watch")
            except RuntimeError as error:
                # Not in this interpreter, and no later request would get one. Counts and times
                # are told without it.
                self._registry.failures.caught("watch.start", error)
                return
            self._thread = thread
            try:
                thread.start()
            except BaseException as error:
                # No more threads to be had, or the interpreter is about to end; or an interrupt.
                if not thread.is_alive():
                    self._thread = None
                    self._registry.outbox.attention = True  # the next request tries again
                if not isinstance(error, Exception):
                    raise
                self._registry.failures.caught("watch.start", error)
        finally:
            if held and held[0]:
                lock.release()

    def stop(self) -> None:
        """End the thread and wait for it, a second at most."""
        self._registry.wake = _rest
        with self._lock:
            self._stopped.set()
            thread, self._thread = self._thread, None
        if self._loop_lag is not None:
            self._loop_lag.stop()
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout=1.0)
        self._suspects.clear()

    def after_fork_in_child(self) -> None:
        """The thread is the parent's; the next request starts one here."""
        self._lock = threading.RLock()
        self._thread = None
        self._suspects.clear()
        self._anomalies.clear()
        self._churn.clear()
        if self._loop_lag is not None:
            self._loop_lag.forget()
        if self._stopped.is_set():
            return
        # Its lock may be held by the thread that is not there.
        self._stopped = threading.Event()
        self._registry.outbox.attention = True

    def _run(self) -> None:
        try:
            quiet = 0
            stopped = self._stopped
            while not stopped.wait(self._interval):
                quiet = 0 if self.look() or self._suspects else quiet + 1
                if quiet >= _REST_AFTER and self._rests():
                    return
        finally:
            # However it ends: the next request can start another.
            if self._thread is threading.current_thread():
                self._thread = None
                self._registry.outbox.attention = True

    def _rests(self) -> bool:
        """Ask the next request to wake it, and leave if none has come by the next look.

        A request that entered just before it was asked is seen by that look.
        """
        with self._lock:
            if not self._asked:
                self._asked = self._registry.outbox.attention = True
                return False
            if self._thread is threading.current_thread():
                self._thread = None
            return True

    def look(self) -> bool:
        """Look at everything once; whether any request is under way."""
        registry = self._registry
        busy = False
        try:
            self._look_after_suspects()
            for tracker in snapshot_of(registry.trackers.keys):
                if tracker.leases or tracker.entered != tracker.entered_before:
                    tracker.entered_before = tracker.entered
                    tracker.looks_left = LOOKS_AFTERWARDS
                if tracker.leases:
                    busy = True
                    self._look_at(tracker)
                elif tracker.looks_left and self._anomalies.look(tracker, [], registry.clock()):
                    # A connection that nobody refers to is left behind when the last request goes.
                    tracker.looks_left -= 1
            if self._loop_lag is not None:
                self._loop_lag.look(registry.clock())
            self._anomalies.passed()
            self._churn.look()
            registry.observer.watch_passed()
        except BaseException as error:
            # This is no thread of the application's: what a log handler of its raises, an exit or a
            # failure of a test, must not end the watch.
            registry.failures.caught("watch", error)
        return busy

    def _look_at(self, tracker: PoolTracker) -> None:
        now = self._registry.clock()
        if self._loop_lag is not None:
            self._loop_lag.watch(tracker, now)
        waiting = []
        stuck = []
        for lease in snapshot_of(tracker.leases.keys):
            phase = lease.phase
            if phase == UNREAD:
                self._look_for_leak(lease, now)
            elif phase == QUEUED:
                if lease.in_queue:
                    if lease.connection is None:  # else one is assigned, and may still refuse it
                        waiting.append(lease)
                    if now - lease.entered_at >= STUCK_AFTER:
                        stuck.append(lease)
            elif phase == STREAM_QUEUED and now - lease.phase_since >= STUCK_AFTER:
                stuck.append(lease)
        self._anomalies.look(tracker, waiting, now)
        recorded = tracker.stuck_logged_at
        if stuck and (not recorded or now - recorded >= LOGGED_EVERY):
            tracker.stuck_logged_at = now
            self._registry.observer.requests_stuck(tracker, tuple(stuck))

    # Leaks

    def _look_for_leak(self, lease: Lease, now: int) -> None:
        call = lease.call
        if call is not None and call.steps != lease.steps:
            lease.steps = call.steps
            lease.stepped_at = now
        # Either tells whether reads are noted: without that a silent provider would look like a
        # reader that has left.
        holder = lease.connection or lease.channel
        if (
            not self._leak_threshold
            # Switched to another protocol, whose bytes don't pass through a response.
            or lease.status == 101
            or now - lease.left_since < self._leak_threshold
            or lease.suspected
            or lease.ended
            or holder is None
            or not holder.reports_reads
        ):
            return
        lease.suspected = True
        if not lease.leaked:
            lease.leaked = True
            lease.tracker.ledger.leaks += 1
        self._suspects[lease] = (lease.phase_since, lease.steps)
        self._registry.observer.leak_suspected(lease)

    def _look_after_suspects(self) -> None:
        for lease, (since, steps) in tuple(self._suspects.items()):
            call = lease.call
            stepped = call is not None and call.steps != steps
            if lease.ended:
                how = "released"
            elif lease.phase != UNREAD or lease.phase_since != since or stepped:
                how = "read"
            elif not lease.tracker.open:
                how = "closed"
            else:
                continue
            del self._suspects[lease]
            lease.suspected = False
            self._registry.observer.leak_over(lease, how)


def _rest() -> None:
    pass
