"""A pool and its callers, simulated call by call: what a healthy day looks like in the metrics.

The rules of the contract hold by construction: a request is in one phase at a time, each acquire
ends in one request, counters begin at 0 with the pool's first request. Times are seconds.
"""

from __future__ import annotations

import heapq
import itertools
import random
from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from opentelemetry.instrumentation.gluellm.telemetry import semconv
from opentelemetry.instrumentation.gluellm.thresholds import (
    CALL_SILENT_AFTER,
    CALL_SILENT_FACTOR,
    CALL_SILENT_FIRST,
)

MINUTE = 60.0
HOUR = 3600.0
_LEAK_THRESHOLD = 60.0
_OK, _TOO_MANY = "200", "429"
_ATTEMPTS = 6
ALWAYS_THERE = ("connect_timeout", "name_resolution_error", "connection_error",
                "secure_connection_error")  # fmt: skip
"""Error types whose series are there with 0 from the first request on."""


@dataclass(slots=True, eq=False)
class Call:
    """One request, and what will become of it."""

    waiting: float
    """Until the head of the response, once it has a connection."""
    reading: float
    status: str = _OK
    attempt: int = 1
    leaks: bool = False
    """Nobody reads its answer, or closes it, for as long as the process lives."""
    phase: str = "queued"
    since: float = 0.0
    entered: float = 0.0
    began: float = 0.0
    """When its first attempt entered."""


@dataclass(slots=True, kw_only=True)
class Load:
    """What callers ask of one pool, by the time of day."""

    rate: Callable[[float], float]
    """Calls a second."""
    waiting: Callable[[float, random.Random], float]
    reading: Callable[[float, random.Random], float]
    too_many: Callable[[float], float] = lambda _: 0.0
    """The share of requests that are answered with 429."""
    leaks_at: float | None = None
    """When one call is left unread."""


@dataclass(slots=True, kw_only=True)
class Tally:
    """What the pool has counted."""

    requests: Counter[tuple[str, str, bool]] = field(default_factory=Counter)
    """By status, error, and whether it was a further attempt."""
    timeouts: int = 0
    buckets: list[int] = field(
        default_factory=lambda: [0] * (len(semconv.ACQUIRE_DURATION.buckets) + 1)
    )
    leaks: int = 0
    calls: Counter[str] = field(default_factory=Counter)
    """Those that ended, by outcome, after however many attempts."""
    call_time: float = 0.0
    """Of the calls that ended."""


class Pool:
    """A pool with a limit and a pool timeout, and the calls that go through it."""

    def __init__(self, limit: int, timeout: float, load: Load, seed: int) -> None:
        self.limit = limit
        self.timeout = timeout
        self.tally = Tally()
        self.used = False
        """Whether it has served a request: only then does it show."""
        self._load = load
        self._random = random.Random(seed)
        self._events: list[tuple[float, int, Callable[[float], None]]] = []
        self._order = itertools.count()
        self._queue: deque[Call] = deque()
        self._holding: set[Call] = set()
        self._in_flight: list[Call] = []
        """The last attempt of each call, also while it waits for the next."""
        self._took: deque[tuple[float, float]] = deque()
        """When calls of the last hour ended, and how long they took."""

    def run(self, start: float, end: float) -> Iterator[float]:
        """Go through the time, and stop at each minute, when it is exported."""
        self._at(start + self._random.random(), self._arrive)
        minute = start
        while minute <= end:
            while self._events and self._events[0][0] <= minute:
                moment, _, event = heapq.heappop(self._events)
                event(moment)
            yield minute
            minute += MINUTE

    def requests_in(self, phase: str) -> list[Call]:
        """Those that are in it now."""
        found = self._queue if phase == "queued" else self._holding
        return [call for call in found if call.phase == phase]

    def leaked(self, now: float) -> int:
        """Connections that nobody has read from for over the threshold."""
        unread = self.requests_in("unread")
        found = sum(now - call.since > _LEAK_THRESHOLD for call in unread)
        self.tally.leaks = max(self.tally.leaks, found)
        return found

    def calls(self, now: float) -> tuple[int, float, int, float]:
        """Calls in flight, the time of all so far, how many are silent, and the longest wait."""
        ages = [now - call.began for call in self._in_flight]
        waits = [now - call.began for call in self._in_flight if call.phase != "unread"]
        while self._took and self._took[0][0] < now - HOUR:
            self._took.popleft()
        longest = max((took for _, took in self._took), default=0.0)
        limit = (
            max(CALL_SILENT_AFTER, CALL_SILENT_FACTOR * longest) if longest else CALL_SILENT_FIRST
        )
        silent = sum(wait > limit for wait in waits)
        return len(ages), self.tally.call_time + sum(ages), silent, max(waits, default=0.0)

    def _end(self, call: Call, outcome: str, now: float) -> None:
        self._in_flight.remove(call)
        self._took.append((now, now - call.began))
        self.tally.calls[outcome] += 1
        self.tally.call_time += now - call.began

    def _at(self, moment: float, event: Callable[[float], None]) -> None:
        heapq.heappush(self._events, (moment, next(self._order), event))

    def _arrive(self, now: float) -> None:
        rate = self._load.rate(now)
        self._at(now + (self._random.expovariate(rate) if rate else MINUTE), self._arrive)
        if rate:
            self._enter(self._call(now), now)

    def _call(self, now: float, attempt: int = 1) -> Call:
        leaks = self._load.leaks_at is not None and now >= self._load.leaks_at
        if leaks:
            self._load.leaks_at = None
        # The last attempt of an SDK that backs off finds the provider willing again.
        share = self._load.too_many(now) if attempt < _ATTEMPTS else 0.0
        if self._random.random() < share:
            return Call(0.2, 0.0, _TOO_MANY, attempt)
        waiting = self._load.waiting(now, self._random)
        return Call(waiting, self._load.reading(now, self._random), _OK, attempt, leaks)

    def _enter(self, call: Call, now: float) -> None:
        self.used = True
        call.entered = call.since = now
        if call.attempt == 1:
            call.began = now
            self._in_flight.append(call)
        if len(self._holding) < self.limit:
            self._assign(call, now)
            return
        self._queue.append(call)
        self._at(now + self.timeout, lambda moment: self._give_up(call, moment))

    def _give_up(self, call: Call, now: float) -> None:
        if call in self._queue:
            self._queue.remove(call)
            self._record_wait(now - call.entered)
            self.tally.timeouts += 1
            self.tally.requests["", "pool_timeout", call.attempt > 1] += 1
            self._end(call, "failed", now)

    def _assign(self, call: Call, now: float) -> None:
        self._record_wait(now - call.entered)
        self._holding.add(call)
        call.phase, call.since = "awaiting_response", now
        self._at(now + call.waiting, lambda moment: self._answer(call, moment))

    def _answer(self, call: Call, now: float) -> None:
        call.since = now
        if call.leaks:
            call.phase = "unread"
            return
        call.phase = "reading"
        self._at(now + call.reading, lambda moment: self._release(call, moment))

    def _release(self, call: Call, now: float) -> None:
        self._holding.remove(call)
        self.tally.requests[call.status, "", call.attempt > 1] += 1
        if call.status == _TOO_MANY:
            again = self._call(now, call.attempt + 1)
            again.began = call.began
            self._in_flight.remove(call)
            self._in_flight.append(again)
            pause = min(0.5 * 2**call.attempt, 8.0) * (1 - self._random.random() / 4)
            self._at(now + pause, lambda moment: self._enter(again, moment))
        else:
            self._end(call, "succeeded", now)
        if self._queue:
            self._assign(self._queue.popleft(), now)

    def _record_wait(self, seconds: float) -> None:
        self.tally.buckets[bisect_left(semconv.ACQUIRE_DURATION.buckets, seconds)] += 1
