"""The processes that export to us: what each one last told, and what it told a minute ago."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ..view import View, read_points
from .limits import (
    GONE_INTERVALS,
    GONE_SECONDS,
    PROCESSES,
    REPLACED_SECONDS,
    SCOPES,
    SERIES,
    SERIES_PER_PROCESS,
    SILENT_INTERVALS,
    SILENT_SECONDS,
    SNAPSHOT_SECONDS,
    UNKNOWN_GONE_SECONDS,
    UNKNOWN_INTERVAL,
    WINDOW,
)
from .points import Point, SeriesKey, UnfitPointError

Clock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Identity:
    """What tells processes apart, made from the resource; every part is printable."""

    service: str
    instance: str
    """``service.instance.id``, or host and process id; empty where the resource has neither."""
    digest: bytes = b""
    """Of both in full, which are shortened above."""


@dataclass(slots=True)
class _Series:
    point: Point
    collection: int
    """Number of the process's collection that it last came with."""


class Process:
    """One process. Not to be used from several threads."""

    def __init__(self, identity: Identity, clock: Clock) -> None:
        self.identity = identity
        self.heard = clock()
        """When something last came, by the clock."""
        self.scopes: dict[str, None] = {}
        """Scopes of metrics that are not ours, the first few."""
        self.exports = 0
        """Collections that came with metrics of ours."""
        self._clock = clock
        self._clashed_at: float | None = None
        self._series: dict[SeriesKey, _Series] = {}
        self._deltas: dict[SeriesKey, _Series] = {}
        """Delta series, which stay when a collection lacks them.

        Apart, or each collection would look at all of them, and one request can hold thousands.
        """
        self._began_anew_in = 0
        self._collected_at = 0
        self._collection_heard = self.heard
        self._gaps: deque[float] = deque(maxlen=3)
        self._history: deque[tuple[float, View]] = deque()
        self._view: View | None = None

    def __len__(self) -> int:
        """Series that are held."""
        return len(self._series) + len(self._deltas)

    def has(self, key: SeriesKey) -> bool:
        return key in self._series or key in self._deltas

    @property
    def interval(self) -> float | None:
        """Seconds between its exports; None until there were two."""
        return max(self._gaps, default=None)

    @property
    def silence(self) -> float:
        """Seconds since it was last heard."""
        return max(0.0, self._clock() - self.heard)

    @property
    def silent(self) -> bool:
        interval = UNKNOWN_INTERVAL if self.interval is None else self.interval
        return self.silence > max(SILENT_SECONDS, SILENT_INTERVALS * interval)

    @property
    def clashes(self) -> bool:
        """Whether another process wrote over this one's series lately."""
        at = self._clashed_at
        return at is not None and self._clock() - at < WINDOW + 2 * (self.interval or 0.0)

    @property
    def gone(self) -> bool:
        if self.interval is None:
            return self.silence > UNKNOWN_GONE_SECONDS
        return self.silence > max(GONE_SECONDS, GONE_INTERVALS * self.interval)

    def view(self) -> View:
        """State, and counters since the process began (with delta: since it was first heard)."""
        if self._view is None:
            self._view = read_points(
                (name, series.point)
                for kept in (self._series, self._deltas)
                for (name, _), series in kept.items()
            )
        return self._view

    def recent(self) -> tuple[View, float | None]:
        """State, and counters of the last minute or so, with how many seconds that is.

        As long as there is nothing to reckon from, counters are as of `view`, and the seconds None.
        """
        if not self._history:
            return self.view(), None
        began, before = self._history[0]
        seconds = self._collection_heard - began
        return self.view().since(before, seconds), seconds

    def scope_seen(self, name: str) -> None:
        if len(self.scopes) < SCOPES:
            self.scopes[name] = None

    def collection_begins(self, collected_at: int) -> None:
        """Points of this time come now: several requests may carry one collection."""
        if self.exports and collected_at and collected_at == self._collected_at:
            return
        now = self._clock()
        if self.exports:
            self._gaps.append(now - self._collection_heard)
            self._keep_state(now)
            self._forget_ended_series()
        self.exports += 1
        self._collected_at = collected_at
        self._collection_heard = now

    def take(self, key: SeriesKey, point: Point) -> None:
        """Remember the point. Raises UnfitPointError when it can't be added to what came before."""
        found = self._series.get(key) or self._deltas.get(key)
        if found is not None:
            before = found.point
            if point.delta and before.delta:
                if point.time and (point.start, point.time) == (before.start, before.time):
                    return  # sent twice: the answer to the first was late or lost
                point.add(before)
            elif point.resets and self._restarted(before, point):
                self._begin_anew()
        kept, other = self._series, self._deltas
        if point.delta:
            kept, other = other, kept
        other.pop(key, None)
        kept[key] = _Series(point, self.exports)
        self._view = None

    def _begin_anew(self) -> None:
        """Forget what its predecessor told; points of this collection may have come already."""
        if self._began_anew_in == self.exports:
            return  # all that is kept is of this collection
        self._began_anew_in = self.exports
        self._series = _of_collection(self._series, self.exports)
        self._deltas = _of_collection(self._deltas, self.exports)
        self._history.clear()

    def _restarted(self, before: Point, point: Point) -> bool:
        """Whether its counters began anew."""
        fell = point.monotonic and (point.value < before.value or point.count < before.count)
        if not point.start or not before.start:
            return fell
        if point.start < before.start or (fell and point.start == before.start):
            # What had ended came back, or fell without a new start, as of forked workers that
            # share one resource: there are two.
            self._clashed_at = self._clock()
        return fell or point.start != before.start

    def _keep_state(self, now: float) -> None:
        """Keep the state of the collection that is over, to reckon from."""
        history = self._history
        heard = self._collection_heard
        if not history or heard - history[-1][0] >= SNAPSHOT_SECONDS:
            history.append((heard, self.view()))
        while len(history) > 1 and now - history[1][0] >= WINDOW:
            history.popleft()

    def _forget_ended_series(self) -> None:
        """Those that the last collection lacked. Of delta series only what changed is sent."""
        ended = [key for key, series in self._series.items() if series.collection < self.exports]
        for key in ended:
            point = self._series.pop(key).point
            if point.resets and point.monotonic:
                self._history.clear()  # sums over series would seem to shrink
            self._view = None


def _of_collection(series: dict[SeriesKey, _Series], number: int) -> dict[SeriesKey, _Series]:
    return {key: one for key, one in series.items() if one.collection == number}


class Processes:
    """All of them, within bounds."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._found: dict[Identity, Process] = {}

    def __iter__(self) -> Iterator[Process]:
        return iter(tuple(self._found.values()))

    def __len__(self) -> int:
        return len(self._found)

    def of(self, identity: Identity, *, ours: bool) -> Process | None:
        """The process, new if need be; None when there are too many that are still heard.

        Ours are those that come with metrics of our scope: others give way to them.
        """
        process = self._found.get(identity)
        if process is None:
            if len(self._found) >= PROCESSES and not self._make_room(ours=ours):
                return None
            process = self._found[identity] = Process(identity, self._clock)
        process.heard = self._clock()
        return process

    def take(self, process: Process, key: SeriesKey, point: Point) -> None:
        """Hand the point to its process. Raises UnfitPointError when it can't be kept."""
        if not process.has(key):
            if len(process) >= SERIES_PER_PROCESS:
                raise UnfitPointError(f"more than {SERIES_PER_PROCESS} series of one process")
            if sum(map(len, self._found.values())) >= SERIES:
                raise UnfitPointError(f"more than {SERIES} series of all processes")
        process.take(key, point)

    def drop_gone(self) -> None:
        """Forget those that have been silent for long."""
        for process in self:
            if process.gone:
                del self._found[process.identity]

    def _make_room(self, *, ours: bool) -> bool:
        """Forget the one that is missed least, if one may be."""
        least = max(
            self._found.values(), key=lambda process: (not process.exports, process.silence)
        )
        heard = least.silence < REPLACED_SECONDS
        if heard and (least.exports or not ours):
            return False
        if least.exports and not ours and not least.silent:
            return False  # it may export once a minute, and a stranger is not worth it
        del self._found[least.identity]
        return True
