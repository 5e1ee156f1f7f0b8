"""How late a timer of an event loop is, and whose fault that is.

A timer is late because its own thread computed, because another thread of the process held the
interpreter or a lock, or because the machine had no processor for them. The first two are the
program's; the last is told apart by the scheduler's own figures, where the kernel has them (Linux,
``/proc/self/task/*/schedstat``). Elsewhere all of it counts as the program's.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time

PERIOD = 0.002
"""Seconds from one tick to the next."""


class Lateness:
    """Ticks in a loop from `start` on, and the worst of them."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._due = 0.0
        self._computed = 0.0
        self._delays = Delays()
        self.reset()

    def start(self) -> None:
        """Begin to tick."""
        self._delays.since_last()
        self._arm()

    def worst(self) -> dict[str, float]:
        """Seconds, the worst since `reset`.

        ``late``: of a tick. ``stalled``: the same, less the time for which the machine kept this
        process' threads waiting for a processor. ``waited``: of that, the part in which the loop's
        own thread did not compute, so that another thread made it wait.
        """
        return {"late": self._late, "stalled": self._stalled, "waited": self._waited}

    def reset(self) -> None:
        """Forget what was."""
        self._late = self._stalled = self._waited = 0.0

    def _arm(self) -> None:
        self._computed = time.thread_time()
        self._due = self._loop.time() + PERIOD
        self._loop.call_at(self._due, self._tick)

    def _tick(self) -> None:
        late = self._loop.time() - self._due
        computed = time.thread_time() - self._computed
        stalled = max(late - self._delays.since_last(), 0.0)
        self._late = max(self._late, late)
        self._stalled = max(self._stalled, stalled)
        self._waited = max(self._waited, stalled - computed)
        self._arm()


class Delays:
    """For how long threads of this process were ready to run and had no processor."""

    def __init__(self) -> None:
        self._files: dict[int, int] = {}
        self._before: dict[int, int] = {}

    def since_last(self) -> float:
        """Seconds since the last call, over all of Python's threads."""
        total = 0
        for thread in threading.enumerate():
            number = thread.native_id
            if number is None:
                continue
            try:
                if number not in self._files:
                    path = f"/proc/self/task/{number}/schedstat"
                    self._files[number] = os.open(path, os.O_RDONLY)
                delay = int(os.pread(self._files[number], 100, 0).split()[1])
            except (OSError, IndexError):
                continue  # it has just ended, or this kernel doesn't tell
            total += delay - self._before.get(number, delay)
            self._before[number] = delay
        return total / 1e9
