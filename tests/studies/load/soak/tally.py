"""What the program did and what came of it, from every thread and loop."""

from __future__ import annotations

import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from . import blame

_MOST_KEPT = 20
_CLOSED = (
    "Cannot send a request, as the client has been closed.",
    "Session is closed",
)
"""RuntimeErrors of requests whose client is closed while they are on their way to its pool."""


@dataclass(slots=True)
class Tally:
    """Counts, and the few things that should not have been."""

    requests: Counter[str] = field(default_factory=Counter)
    """By library."""
    deeds: Counter[str] = field(default_factory=Counter)
    """By what was done: kinds of fault, and of use."""
    endings: Counter[str] = field(default_factory=Counter)
    """By library and type of exception."""
    cancelled: int = 0
    unexpected: list[str] = field(default_factory=list)
    """Exceptions that no library should end a request with."""
    ours: list[str] = field(default_factory=list)
    """Whatever names the package where an exception was raised."""
    kinds: Counter[str] = field(default_factory=Counter)
    """What was logged, warned of or reported by hooks, by kind."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def sent(self, library: str) -> None:
        """A request is about to be made."""
        with self._lock:
            self.requests[library] += 1

    def did(self, deed: str) -> None:
        """Something was done to the end."""
        with self._lock:
            self.deeds[deed] += 1

    def gave_up(self) -> None:
        """A request was cancelled."""
        with self._lock:
            self.cancelled += 1

    def ended(
        self, library: str, deed: str, error: BaseException, expected: tuple[type, ...]
    ) -> None:
        """A request ended in an exception."""
        with self._lock:
            self.endings[f"{library} {type(error).__qualname__}"] += 1
        if blame.raised_by_us(error):
            self.blame(f"{library}, {deed}", blame.told(error))
        elif (
            not isinstance(error, expected)
            and str(error) not in _CLOSED
            and len(self.unexpected) < _MOST_KEPT
        ):
            self.unexpected.append(f"{library}, {deed}: {blame.told(error)}")

    def died(self, where: str, error: BaseException) -> None:
        """Something of the program's own ended that should go on."""
        self.unexpected.append(f"{where} died of {blame.told(error)}")

    def blame(self, where: str, what: str) -> None:
        """The package raised something that somebody noticed."""
        if len(self.ours) < _MOST_KEPT:
            self.ours.append(f"{where}: {what}")

    def heard(self, kind: str) -> None:
        """Somebody was told something."""
        self.kinds[kind] += 1


class Progress:
    """When each worker did something last, and the longest that one did nothing."""

    def __init__(self) -> None:
        self._at: dict[str, tuple[float, str]] = {}
        self.longest = 0.0
        self.longest_in = ""

    def step(self, worker: str, deed: str) -> None:
        """A worker goes on to something new."""
        now = time.monotonic()
        before = self._at.get(worker)
        if before is not None and now - before[0] > self.longest:
            self.longest, self.longest_in = now - before[0], f"{worker}: {before[1]}"
        self._at[worker] = (now, deed)

    def left(self, worker: str) -> None:
        """A worker is done."""
        self._at.pop(worker, None)

    def slowest(self) -> dict[str, Any]:
        """The worker that has done nothing for the longest."""
        now = time.monotonic()
        at = dict(self._at)
        if not at:
            return {"worker": "", "deed": "", "still": 0.0}
        name = min(at, key=lambda worker: at[worker][0])
        return {"worker": name, "deed": at[name][1], "still": now - at[name][0]}
