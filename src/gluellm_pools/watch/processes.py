"""The processes that export here: their state now and a minute ago."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable

from ..view import Subject, View, read_points
from . import limits
from .points import Point, SeriesKey, UnfitPointError

Identity = tuple[str, str]
"""``service.name`` with its namespace; and ``service.instance.id``, or host and process id, or
nothing. Both are printable."""


class Process:
    """Series of one process. Not thread-safe."""

    def __init__(self, identity: Identity, clock: Callable[[], float]) -> None:
        self.identity = identity
        self.last_export = clock()
        self.scopes: set[str] = set()
        """Other scopes whose metrics came."""
        self.exports = 0
        """Collections with metrics of this package's scope."""
        self._clock = clock
        self._mixed_at = -math.inf
        self.series: dict[SeriesKey, tuple[Point, int]] = {}
        """Latest points, with the number of the collection that they came with."""
        self._restarted_in = 0
        self._collected_at = 0
        self._collection_came = self.last_export
        self._intervals: deque[float] = deque(maxlen=3)
        self._history: deque[tuple[float, View]] = deque()
        self._view: View | None = None
        self._texts: dict[tuple[Subject, str], str] = {}

    @property
    def interval(self) -> float:
        """Seconds between two exports."""
        return max(self._intervals, default=limits.UNKNOWN_INTERVAL)

    @property
    def silence(self) -> float:
        """Seconds since the last export."""
        return max(0.0, self._clock() - self.last_export)

    @property
    def silent(self) -> bool:
        return self.silence > max(limits.SILENT_SECONDS, limits.SILENT_INTERVALS * self.interval)

    @property
    def mixed(self) -> bool:
        """Whether two processes exported under this identity recently."""
        return self._clock() - self._mixed_at < limits.WINDOW + 2 * self.interval

    def view(self) -> View:
        """State, and counters since the process started."""
        if self._view is None:
            points = ((name, point) for (name, _), (point, _) in self.series.items())
            self._view = read_points(points, self._texts)
        return self._view

    def take_text(self, subject: Subject, kind: str, text: str) -> None:
        """Keep the evidence of a finding, by what it is about and its kind."""
        others = [item for item in self._texts.items() if item[0] != (subject, kind)]
        self._texts = dict([*others, ((subject, kind), text)][-limits.FINDINGS :])
        self._view = None

    def recent(self) -> View:
        """State, and counters of about the last minute; like `view` until there is a second one."""
        if not self._history:
            return self.view()
        began, before = self._history[0]
        return self.view().since(before, self._collection_came - began)

    def begin_collection(self, collected_at: int) -> None:
        """Expect points of this time. A Collector may split a collection into several requests."""
        if self.exports and collected_at and collected_at == self._collected_at:
            return
        now = self._clock()
        if self.exports:
            self._intervals.append(now - self._collection_came)
            self._remember_state(now)
            self._forget_ended_series()
        self.exports += 1
        self._collected_at = collected_at
        self._collection_came = now

    def take(self, key: SeriesKey, point: Point) -> None:
        """Keep the point."""
        found = self.series.get(key)
        if found is not None and point.cumulative and self._was_restarted(found[0], point):
            self._forget_predecessor()
        self.series[key] = point, self.exports
        self._view = None

    def _was_restarted(self, before: Point, point: Point) -> bool:
        fell = point.monotonic and (point.value < before.value or point.count < before.count)
        if not point.start or not before.start:
            return fell
        if point.start < before.start or (fell and point.start == before.start):
            # An earlier start came back, or a counter fell without a new start: forked workers
            # share one resource.
            self._mixed_at = self._clock()
        return fell or point.start != before.start

    def _forget_predecessor(self) -> None:
        """Keep only points of the current collection, once in each collection."""
        if self._restarted_in != self.exports:
            self._restarted_in = self.exports
            self.series = {k: kept for k, kept in self.series.items() if kept[1] == self.exports}
            self._history.clear()

    def _remember_state(self, now: float) -> None:
        came, history = self._collection_came, self._history
        if not history or came - history[-1][0] >= limits.SNAPSHOT_SECONDS:
            history.append((came, self.view()))
        while len(history) > 1 and now - history[1][0] >= limits.WINDOW:
            history.popleft()

    def _forget_ended_series(self) -> None:
        """Forget series that the last collection lacked."""
        for key, (point, collection) in tuple(self.series.items()):
            if collection < self.exports:
                del self.series[key]
                self._view = None
                if point.cumulative and point.monotonic:
                    self._history.clear()  # sums over series would shrink


class Processes(dict[Identity, Process]):
    """All processes, within limits."""

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__()
        self._clock = clock

    def of(self, identity: Identity) -> Process | None:
        """The process, which may be new and replace a silent one; None if there are too many."""
        if identity not in self:
            if len(self) >= limits.PROCESSES:
                quiet = max(self.values(), key=lambda process: process.silence)
                if quiet.silence < limits.REPLACED_SECONDS:
                    return None
                del self[quiet.identity]
            self[identity] = Process(identity, self._clock)
        self[identity].last_export = self._clock()
        return self[identity]

    def take(self, process: Process, key: SeriesKey, point: Point) -> None:
        """Give the point to its process. Raises UnfitPointError beyond the limits."""
        if key not in process.series:
            every = sum(len(each.series) for each in self.values())
            if len(process.series) >= limits.SERIES_PER_PROCESS or every >= limits.SERIES:
                most = f"{limits.SERIES_PER_PROCESS} series of it, or {limits.SERIES} of all"
                raise UnfitPointError(f"more than {most}")
        process.take(key, point)

    def forget_gone(self) -> None:
        for identity, process in tuple(self.items()):
            if process.silence > max(limits.GONE_SECONDS, limits.GONE_INTERVALS * process.interval):
                del self[identity]
