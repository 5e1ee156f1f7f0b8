"""What the workers did and how it ended, from every thread and loop."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from . import blame

_MOST_KEPT = 20
_CLOSED = (
    "Cannot send a request, as the client has been closed.",
    "Session is closed",
    "Connection closed.",
)
"""RuntimeErrors of requests whose client is closed while they are sent or read."""


@dataclass(slots=True)
class Record:
    """Counts, what must not have happened, and when each worker last began something."""

    seed: int
    instrumented: bool
    deeds: set[str] = field(default_factory=set)
    """The names of all deeds; each has to be done."""
    requests: Counter[str] = field(default_factory=Counter)
    """By library."""
    done: Counter[str] = field(default_factory=Counter)
    """By deed."""
    endings: Counter[str] = field(default_factory=Counter)
    """By library and type of exception."""
    heard: Counter[str] = field(default_factory=Counter)
    """What was logged, warned of or reported to hooks, by kind."""
    unexpected: list[str] = field(default_factory=list)
    """Exceptions that no library should end a request with."""
    ours: list[str] = field(default_factory=list)
    """Exceptions, log lines and warnings that come from the package."""
    over: threading.Event = field(default_factory=threading.Event)
    longest: tuple[float, str] = (0.0, "")
    """Seconds of the longest deed, and which it was."""
    _at: dict[str, tuple[float, str]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def source(self, name: str) -> random.Random:
        """The draws of one worker."""
        return random.Random(f"{self.seed} {name}")

    def count(self, counter: Counter[str], key: str) -> None:
        """Count one more."""
        with self._lock:
            counter[key] += 1

    def ended(self, where: str, deed: str, error: BaseException, *expected: type) -> None:
        """A request ended in an exception."""
        self.count(self.endings, f"{where} {type(error).__qualname__}")
        if blame.raised_by_us(error):
            self.blame(f"{where}, {deed}", blame.words(error))
        elif not isinstance(error, expected) and str(error) not in _CLOSED:
            self.unexpected.append(f"{where}, {deed}: {blame.words(error)}")

    def blame(self, where: str, what: str) -> None:
        """The package raised something that others noticed."""
        if len(self.ours) < _MOST_KEPT:
            self.ours.append(f"{where}: {what}")

    def begin(self, worker: str, deed: str = "") -> None:
        """A worker begins a deed, or is done with all if none is named."""
        now = time.monotonic()
        began, before = self._at.pop(worker, (now, ""))
        self.longest = max(self.longest, (now - began, f"{worker}: {before}"))
        if before:
            self.count(self.done, before)
        if deed:
            self._at[worker] = now, deed

    def slowest(self) -> tuple[float, str]:
        """Seconds of the longest deed that goes on, and which it is."""
        now, at = time.monotonic(), dict(self._at)
        going_on = ((now - began, f"{worker}: {deed}") for worker, (began, deed) in at.items())
        return max(going_on, default=(0.0, ""))

    @property
    def missing(self) -> list[str]:
        """Deeds that were never done."""
        return sorted(self.deeds - self.done.keys())


class Deck:
    """Draws everything once before anything a second time, so that short runs have had it all."""

    def __init__(self, rng: random.Random, cards: Sequence[Any]) -> None:
        self._rng = rng
        self._cards = list(cards)
        self.names = {card[0] for card in cards}
        self._left: list[Any] = []

    def draw(self) -> Any:
        """The next one."""
        if not self._left:
            self._left = self._rng.sample(self._cards, len(self._cards))
        return self._left.pop()
