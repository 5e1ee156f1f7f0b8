"""Waiting for a condition, never for a guessed time."""

import asyncio
import gc
import threading
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

PATIENCE = 60.0
"""Timeout for conditions, in seconds: a busy machine can delay a thread or a process by seconds."""


def wait_until(condition: Callable[[], T], what: str = "", timeout: float = PATIENCE) -> T:
    """Poll ``condition`` until its result is true, and return that.

    Raises AssertionError after ``timeout`` seconds.
    """
    deadline = time.monotonic() + timeout
    pause = 0.001
    while not (result := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout} s: {what or condition}")
        time.sleep(pause)
        pause = min(pause * 1.5, 0.01)
    return result


def wait_until_collected(condition: Callable[[], object], what: str = "") -> None:
    """Like `wait_until`, with a garbage collection before each poll."""
    wait_until(lambda: (gc.collect(), condition())[1], what)


async def until(condition: Callable[[], object], what: str = "") -> None:
    """Like `wait_until`, without blocking the event loop."""
    try:
        async with asyncio.timeout(PATIENCE):
            while not condition():
                await asyncio.sleep(0.002)
    except TimeoutError:
        raise AssertionError(f"not within {PATIENCE} s: {what or condition}") from None


def in_time(action: Callable[[], T]) -> T:
    """Return the result of an action that runs in a thread of its own and must not be blocked."""
    found: list[T] = []
    thread = threading.Thread(target=lambda: found.append(action()), daemon=True)
    thread.start()
    thread.join(PATIENCE)
    assert found, "blocked"
    return found[0]


class Lateness:
    """How late a thread of this process wakes up, which a busy machine adds to measured times."""

    _PERIOD = 0.01
    _USUAL = 0.002

    def __init__(self) -> None:
        self._late = 0.0

    def start(self) -> None:
        """Measure from now on, in a daemon thread."""
        threading.Thread(target=self._measure, name="lateness", daemon=True).start()

    def reset(self) -> None:
        """Begin a test."""
        self._late = 0.0

    def beside(self, slack: float) -> float:
        """``slack``, plus the seconds by which the thread woke up late since the test began."""
        return slack + self._late

    def _measure(self) -> None:
        while True:
            slept_at = time.monotonic()
            time.sleep(self._PERIOD)
            self._late += max(time.monotonic() - slept_at - self._PERIOD - self._USUAL, 0.0)


LATENESS = Lateness()
