"""How late timers are on the event loops that hold leases.

A blocked loop makes every pool and every provider look slow at once, so this is what tells it
apart. A timer runs only while requests of a loop are under way, and re-arms itself in the loop; the
watch starts it, from its own thread. Loops are held weakly, and a scheduled timer keeps none
running.

Only asyncio's loops are known, uvloop's among them: trio hands out nothing that could be called
from another thread without its token.
"""

from __future__ import annotations

import asyncio
import weakref
from typing import Any

from ..thresholds import LATE_FROM, STALE_LATE
from .copies import copied, copied_queue
from .durations import nanoseconds
from .lease import READING, UNREAD, Lease
from .ledger import Peak
from .registry import NOWHERE, PoolRegistry
from .tracker import PoolTracker

PERIOD = 0.1
"""Seconds between two firings: a block is seen but for so much of it."""
_WANTED_FOR = 2_500_000_000
"""Nanoseconds for which a timer goes on after the watch last asked for it."""
_HARMLESS = nanoseconds(LATE_FROM)
_RECENT = 64
_STALE = nanoseconds(STALE_LATE)


def running_loop() -> Any:
    """A weak reference to the running event loop; ``NOWHERE`` where it is none of asyncio's."""
    try:
        return weakref.ref(asyncio.get_running_loop())
    except (RuntimeError, TypeError):
        return NOWHERE


class _Timer:
    """The timer of one loop. Its steps run in the loop, ``due`` is read by other threads too."""

    def __init__(self, loop: asyncio.AbstractEventLoop, lag: LoopLag) -> None:
        self.loop = weakref.ref(loop)
        self.lag = lag
        self.due = 0
        self.wanted_until = 0
        self.armed = False

    def start(self) -> None:
        """The first step, called without delay: it tells how late the loop is already."""
        self.fire()

    def fire(self) -> None:
        """Note how late this is, and arm the next one for as long as it is wanted."""
        try:
            self._fire()
        except Exception as error:
            # Else the loop hands it to the application's exception handler.
            self.armed = False
            self.lag.failed(error)

    def _fire(self) -> None:
        lag = self.lag
        now = lag.clock()
        lag.fired(self, now)
        loop = self.loop()
        if loop is None or now > self.wanted_until or not lag.on:
            self.armed = False
            return
        self.due = now + int(PERIOD * 1e9)
        loop.call_later(PERIOD, self.fire)


class LoopLag:
    """The worst lateness of a timer within a window (nanoseconds)."""

    def __init__(self, registry: PoolRegistry, window: float) -> None:
        self.on = True
        self.clock = registry.clock
        self._registry = registry
        self._timers: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Timer]
        self._timers = weakref.WeakKeyDictionary()
        self._window = nanoseconds(window)
        self._peak = Peak(self._window, registry.clock())
        self._late = 0
        self._blocked_at = 0

    def forget(self) -> None:
        """Start anew, as a forked child has to: the parent's loops don't run here."""
        self._timers = weakref.WeakKeyDictionary()
        self._peak = Peak(self._window, self.clock())
        self._late = 0
        self._blocked_at = 0

    def watch(self, tracker: PoolTracker, now: int) -> None:
        """The pool has leases: see that a timer runs in its loop. Called by the watch."""
        home = tracker.loop
        if home is None or home is NOWHERE:
            return
        loop = home()
        if loop is None or loop.is_closed():
            # The client goes on in another loop, perhaps; its next request tells in which.
            tracker.loop = None
            return
        timer = self._timers.get(loop)
        if timer is None:
            timer = self._timers[loop] = _Timer(loop, self)
        timer.wanted_until = now + _WANTED_FOR
        if timer.armed:
            return
        timer.due = now
        timer.armed = True
        try:
            loop.call_soon_threadsafe(timer.start)
        except Exception as error:
            timer.armed = False
            if not loop.is_closed():  # it may have been closed meanwhile
                self.failed(error)

    def fired(self, timer: _Timer, now: int) -> None:
        """A timer fires."""
        late = now - timer.due
        if late < _HARMLESS:
            self._peak.raise_to(max(late, 0), now)
        elif self._was_needed(timer):
            self._peak.raise_to(late, now)
            self._late += late
            if late >= _STALE:
                self._blocked_at = now

    def peak(self, now: int) -> int:
        """The worst lateness in the window, that of timers included which have yet to fire."""
        worst = self._peak.highest(now)
        for loop, timer in self._pending():
            if timer.armed and not loop.is_closed() and loop.is_running():
                late = now - timer.due
                if late > worst and self._was_needed(timer):
                    worst = late
                    self._peak.raise_to(late, now)
        return worst

    def blocked_within(self, nanoseconds: int, now: int) -> bool:
        """Whether a loop was, or is, blocked in the last so many nanoseconds."""
        if self._blocked_at and now - self._blocked_at < nanoseconds:
            return True
        return any(
            timer.armed and now - timer.due >= _STALE and loop.is_running()
            for loop, timer in self._pending()
        )

    def late(self, now: int) -> int:
        """How late timers were so far, all together, that of those included which have yet to fire.

        One long pause and a loop that is blocked again and again have the same peak.
        """
        return self._late + sum(
            late
            for loop, timer in self._pending()
            if timer.armed
            and not loop.is_closed()
            and loop.is_running()
            and (late := now - timer.due) >= _HARMLESS
            and self._was_needed(timer)
        )

    def failed(self, error: Exception) -> None:
        """A timer failed: that is ours, and counted."""
        self._registry.failures.caught("loop_lag", error)

    def stop(self) -> None:
        """Let no timer re-arm itself."""
        self.on = False

    def _pending(self) -> list[tuple[asyncio.AbstractEventLoop, _Timer]]:
        return list(copied(self._timers.items))

    def _was_needed(self, timer: _Timer) -> bool:
        """Whether a request of this loop was under way, and not unread, when the timer was due.

        A loop that is run now and then, for one call or one chunk at a time, is not late in
        between.
        """
        due = timer.due
        loop = timer.loop()
        registry = self._registry
        for tracker in copied(registry.trackers.keys):
            if tracker.leases and tracker.loop is not None and tracker.loop() is loop:
                for lease in copied(tracker.leases.keys):
                    if lease.entered_at <= due and _needs_loop(lease, due):
                        return True
        # Those that ended in the very pass of the loop that followed.
        for item in reversed(copied_queue(registry.outbox.items)[-_RECENT:]):
            if type(item) is not tuple and item.ended and item.entered_at <= due < item.ended_at:
                home = item.tracker.loop
                if home is not None and home() is loop and _needs_loop(item, due):
                    return True
        return False


def _needs_loop(lease: Lease, due: int) -> bool:
    # While a lease is unread it is the application's turn, and whoever runs a loop for one chunk at
    # a time has such a lease while nothing runs the loop. What is read since was unread before.
    phase = lease.phase
    return phase != (READING if lease.phase_since > due else UNREAD)
