"""Lateness of timers on the event loops of pools with leases.

A blocked loop makes every pool and every provider look slow at once; late timers show that the loop
is the cause. A loop has a timer only while it has requests in flight. The watch starts the timer
from its own thread, and the timer re-arms itself in the loop. Loops are held weakly, and a
scheduled timer keeps no loop running.

Of loops, only asyncio's are supported, including uvloop's. Trio offers nothing that can be called
from another thread without its token. Under gevent and eventlet the watch is a greenlet. It is
as late as the hub that runs all greenlets.
"""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping
from operator import add, sub
from typing import Any

from ..concurrency import newest_of_queue, snapshot_of, snapshot_of_queue, threads_are_greenlets
from ..pool.durations import in_seconds, nanoseconds
from ..pool.lease import Lease, Tracker
from ..pool.peak import Peak
from ..pool.registry import NOWHERE, PoolRegistry
from ..pool.tracker import PoolTracker
from ..thresholds import LATE_FROM, LATE_WINDOW, STALE_LATE
from ..vocabulary import READING, UNREAD
from .busy_loops import busy_loops
from .late_causes import PERIOD, LateCauses, Split, Usage, split, usage_of

_WANTED_FOR = nanoseconds(2.5)
"""Nanoseconds for which a timer continues after the watch last requested it."""
_HARMLESS = nanoseconds(LATE_FROM)
_RECENT = 64
_WINDOW = nanoseconds(LATE_WINDOW)
_STALE = nanoseconds(STALE_LATE)


class _Timer:
    """The timer of one loop. Its steps run in the loop; other threads read its attributes."""

    def __init__(self, loop: asyncio.AbstractEventLoop | None, lag: LoopLag) -> None:
        self.loop = NOWHERE if loop is None else weakref.ref(loop)
        self.lag = lag
        self.due = 0
        self.wanted_until = 0
        self.armed = False
        self.late = 0
        """Nanoseconds by which it has fired late so far. Only changed in its loop."""
        self.counted = 0
        """Nanoseconds that the watch has counted, of `late` and of a firing that is overdue."""
        self.thread = 0
        """Native ID of the thread that runs the loop."""
        self.before: Usage | None = None
        self.usage: Usage | None = None
        """Usage of that thread at the last two firings; None if it is unknown."""
        self.usual_turns = 0
        """Turns on the CPU between two firings that were not late and meanwhile no other thread
        computed, which makes a thread wait for the interpreter lock."""
        self.split = Split()
        """The known part of `late`, by what the thread did. Only changed in its loop."""
        self.split_counted = Split()
        """Part of `split` and of a firing that is overdue that the watch has counted."""

    def fire(self) -> None:
        """Record the lateness, and arm the timer again while the watch wants it."""
        try:
            self._fire()
        except Exception as error:
            # Uncaught, it would go to the loop's exception handler, which the application may set.
            self.armed = False
            self.lag.failures.caught("loop_lag", error)

    def _fire(self) -> None:
        lag = self.lag
        now = lag.clock()
        # In this order: a reader in between gets too little lateness for a moment, never too much.
        due, self.due = self.due, now
        thread = threading.get_native_id()
        self.before = self.usage if thread == self.thread else None
        self.thread, self.usage = thread, usage_of(thread)
        lag.fired(self, due, now)
        loop = self.loop()
        if loop is None or now > self.wanted_until or not lag.on:
            self.armed = False
            return
        self.due = now + PERIOD
        loop.call_later(in_seconds(PERIOD), self.fire)


class LoopLag:
    """Lateness of timers in nanoseconds: the worst within a window, and the total late time.

    The late time is counted in each pass of the watch, once a second. With several loops, each pass
    counts only the most delayed one, so that the rate of the late time is a share of the time.
    """

    def __init__(self, registry: PoolRegistry, window: float) -> None:
        self.on = True
        self.clock = registry.clock
        self.failures = registry.failures
        self._registry = registry
        self._window = nanoseconds(window)
        self._begin()

    def _begin(self) -> None:
        self._timers = weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Timer]()
        self._began = self.clock()
        self._peak = Peak(self._window, self._began)
        self._hub = _Timer(None, self)
        """Timer of the hub that runs all greenlets, if the watch runs in a greenlet."""
        self._fired_late: dict[_Timer, None] = {}
        """Timers that fired late since the watch's previous pass. Held strongly, since a
        short-lived loop may be gone by the next pass."""
        ledgers = self._registry.ledgers
        ledgers.late_time = self._late_before = max(ledgers.late_time, ledgers.late_reported)
        """Late time until this installation began."""
        self._history: deque[tuple[int, int, Mapping[str, int]]] = deque()
        """Clock, late time and its causes of each pass within the window of the recent share."""
        self._blocked_at = 0
        self._causes = LateCauses()
        self._busy: deque[tuple[int, tuple[str, ...]]] = deque(maxlen=_RECENT)
        """Clock and `busy_loops` of passes that found a timer overdue."""

    def forget(self) -> None:
        """Reset everything in a forked child, where the parent's loops do not run."""
        self._registry.ledgers.late_time = self._registry.ledgers.late_reported = 0
        self._begin()

    def sleep(self, stopped: threading.Event, period: float) -> bool:
        """Wait between two passes of the watch as ``stopped.wait`` does.

        If threads are greenlets, one that blocks delays all others, the watch included. So its own
        lateness is recorded.
        """
        if not threads_are_greenlets():
            return stopped.wait(period)
        end, hub = self.clock() + nanoseconds(period), self._hub
        hub.usage = usage_of(hub.thread)
        while (now := self.clock()) < end:
            hub.due, hub.armed = now + PERIOD, True
            ended = stopped.wait(in_seconds(PERIOD))
            hub.fire()
            if ended:
                return True
        return False

    def watch(self, tracker: PoolTracker, now: int) -> None:
        """Keep a timer running in the loop of a pool that has leases. Called by the watch."""
        home = tracker.loop
        if home is None or home is NOWHERE:
            return
        loop = home()
        if loop is None or loop.is_closed():
            # The client may continue in another loop; its next request shows which.
            tracker.loop = None
            return
        timer = self._timers.get(loop) or self._timers.setdefault(loop, _Timer(loop, self))
        timer.wanted_until = now + _WANTED_FOR
        if timer.armed:
            return
        timer.due = now
        timer.usage = usage_of(timer.thread)
        timer.armed = True
        try:
            loop.call_soon_threadsafe(timer.fire)  # measures the present lateness
        except Exception as error:
            timer.armed = False
            if not loop.is_closed():  # it may have been closed meanwhile
                self.failures.caught("loop_lag", error)

    def fired(self, timer: _Timer, due: int, now: int) -> None:
        """Record that a timer fires that was due at ``due``."""
        late = now - due
        if late < _HARMLESS:
            self._peak.raise_to(max(late, 0), now)
            if timer.before is not None and timer.usage is not None:
                used = timer.usage.since(timer.before)
                if used.others < PERIOD // 4:
                    timer.usual_turns = used.turns
        elif self._was_needed(timer, due):
            self._peak.raise_to(late, now)
            timer.late += late
            found = split(late, timer.before, timer.usage, timer.usual_turns)
            timer.split = Split(*map(add, timer.split, found))
            self._fired_late[timer] = None
            if late >= _STALE:
                self._blocked_at = now

    def peak(self, now: int) -> int:
        """Return the worst lateness in the window, including timers that are overdue."""
        worst = self._peak.highest(now)
        for timer, due in self._armed():
            late = now - due
            if late > worst and self._was_needed(timer, due):
                worst = late
                self._peak.raise_to(late, now)
        return worst

    def blocked_within(self, nanoseconds: int, now: int) -> bool:
        """Return whether a loop is blocked, or was within the last ``nanoseconds``."""
        recently = self._blocked_at > 0 and now - self._blocked_at < nanoseconds
        return recently or any(now - due >= _STALE for _, due in self._armed())

    def count(self, now: int) -> None:
        """Count the late time since the previous pass. Called by the watch in each pass."""
        fired = snapshot_of(self._fired_late.keys)
        for timer in fired:  # before its lateness is read: it may fire again meanwhile
            self._fired_late.pop(timer, None)
        worst, known, overdue_now = 0, Split(), False
        for timer, late in self._late_timers(fired, now):
            found = timer.split
            if late > timer.late:  # overdue
                used = usage_of(timer.thread)
                overdue = split(late - timer.late, timer.usage, used, timer.usual_turns)
                found = Split(*map(add, found, overdue))
                overdue_now = True
            if late - timer.counted > worst:
                worst = late - timer.counted
                known = Split(*map(sub, found, timer.split_counted))
            timer.counted = max(timer.counted, late)
            timer.split_counted = found
        if overdue_now:
            self._busy.extend((now, stack) for stack in busy_loops())
        ledgers = self._registry.ledgers
        ledgers.late_time += worst
        self._causes.count(known, now)
        history = self._history
        history.append((now, ledgers.late_time, self._causes.counted))
        while len(history) > 1 and history[1][0] <= now - _WINDOW:
            history.popleft()

    def recent_causes(self, now: int) -> dict[str, float]:
        """Return the seconds of the last minute that a loop was late, by cause where it is known.

        They lack the time since the last pass of the watch.
        """
        _, before = self._minute_ago(now)
        late = {cause: n - before.get(cause, 0) for cause, n in self._causes.counted.items()}
        return {cause: in_seconds(time) for cause, time in late.items() if time > 0}

    def _minute_ago(self, now: int) -> tuple[int, Mapping[str, int]]:
        """Return the late time and its causes before the last minute."""
        found: tuple[int, Mapping[str, int]] = self._late_before, {}
        for passed_at, late, causes in snapshot_of_queue(self._history):
            if passed_at > now - _WINDOW:
                break
            found = late, causes
        return found

    def busy(self, now: int) -> tuple[dict[str, int], tuple[str, ...]]:
        """Return the call sites that kept a late loop busy in the last minute, and a stack.

        Each call site has the number of passes of the watch that found a loop there, the highest
        first. The stack is one of those at the first call site whose innermost frame is that of
        most of them; empty if no frame is.
        """
        since = now - _WINDOW
        stacks = [stack for at, stack in snapshot_of_queue(self._busy) if at > since]
        sites = dict(Counter(stack[0] for stack in stacks).most_common())
        at_first = [stack[1:] for stack in stacks if stack[0] == next(iter(sites))]
        innermost = Counter(s[0] for s in at_first)
        most = (s for s in reversed(at_first) if 2 * innermost[s[0]] > len(at_first))
        return sites, next(most, ())

    def late_time(self, now: int) -> int:
        """Return the total late time since the Meter was created. It never falls."""
        ledgers = self._registry.ledgers
        timers = self._late_timers(snapshot_of(self._fired_late.keys), now)
        uncounted = max((late - timer.counted for timer, late in timers), default=0)
        ledgers.late_reported = max(ledgers.late_reported, ledgers.late_time + max(uncounted, 0))
        return ledgers.late_reported

    def late(self, now: int) -> int:
        """Return the late time since this installation began."""
        return self.late_time(now) - self._late_before

    def recent_share(self, now: int) -> float:
        """Return the share of the last minute in which a loop was late.

        While the installation is younger than a minute, it is the share of its age.
        """
        before, _ = self._minute_ago(now)
        period = min(_WINDOW, now - self._began)
        return min((self.late_time(now) - before) / period, 1.0) if period > 0 else 0.0

    def _late_timers(self, fired: Iterable[_Timer], now: int) -> list[tuple[_Timer, int]]:
        """Return timers that fired late or are overdue, with their total lateness so far."""
        found = {timer: timer.late for timer in fired}
        for timer, due in self._armed():
            late = now - due
            if late >= _HARMLESS and self._was_needed(timer, due):
                found[timer] = timer.late + late
        return list(found.items())

    def stop(self) -> None:
        """Keep timers from re-arming."""
        self.on = False

    def _armed(self) -> Iterator[tuple[_Timer, int]]:
        """Yield the armed timers of running loops, with the time at which each is due."""
        if self._hub.armed:
            yield self._hub, self._hub.due
        for loop, timer in snapshot_of(self._timers.items):
            due = timer.due
            if timer.armed and not loop.is_closed() and loop.is_running():
                yield timer, due

    def _was_needed(self, timer: _Timer, due: int) -> bool:
        """Return whether a request in flight needed the loop when the timer was due.

        Some programs run a loop only now and then, for one call or one chunk. Such a loop is not
        late in between.
        """
        loop = timer.loop()
        registry = self._registry
        for tracker in snapshot_of(registry.trackers.values):
            leases = snapshot_of(tracker.leases.keys) if _runs_in(loop, tracker) else ()
            if any(lease.entered_at <= due and _needs_loop(lease, due) for lease in leases):
                return True
        # Leases that ended after the timer was due, in the loop's iteration in which it fires.
        for item in newest_of_queue(registry.outbox.items, _RECENT):
            ended = isinstance(item, Lease) and item.entered_at <= due < item.ended_at
            if ended and _runs_in(loop, item.tracker) and _needs_loop(item, due):
                return True
        return False


def _runs_in(loop: Any, tracker: Tracker) -> bool:
    """Return whether a pool's requests run in this loop; None stands for the hub of greenlets."""
    return (tracker.loop or NOWHERE)() is loop


def _needs_loop(lease: Lease, due: int) -> bool:
    # An unread lease needs no loop: it is the application's turn, and a program that runs a loop
    # for one chunk at a time has such a lease while the loop does not run. A lease that began
    # reading after the timer was due was unread at that time.
    phase = lease.phase
    return phase != (READING if lease.phase_since > due else UNREAD)
