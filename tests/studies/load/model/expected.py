"""What has to be told once everything has come to rest, by the model alone."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from opentelemetry.instrumentation.gluellm import Snapshot
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from opentelemetry.instrumentation.gluellm.telemetry.semconv import Instrument
from studies.load.choices import Choices
from studies.load.collection import Collection

from .request import ModelRequest, Stage
from .world import World

_HISTOGRAMS = {
    metric.name for metric in semconv.METRICS if metric.instrument is Instrument.HISTOGRAM
}


@dataclass(slots=True)
class Model:
    """Everything that the model knows of one example."""

    world: World
    requests: list[ModelRequest] = field(default_factory=list)
    instrumented: bool = False
    installations: int = 0
    unseen: int = 0
    """Requests that were under way when an installation came or went."""
    opened: int = 0
    """Pools that were first used, seen."""
    discarded: Counter[str] = field(default_factory=Counter)
    closes: list[frozenset[Any]] = field(default_factory=list)
    """Why connections were closed by their pools, each by one of these reasons."""
    timeouts: Counter[str] = field(default_factory=Counter)
    of_children: int = 0
    """Connections that forked children have used."""
    answered_before: int = 0
    """Requests that had their head when their installation went: their acquire was told."""

    def under_way(self, *stages: Stage) -> list[ModelRequest]:
        """The requests in one of these stages, of all that are not over where none is named."""
        return [
            request
            for request in self.requests
            if (request.stage in stages if stages else request.is_under_way)
        ]

    @property
    def saw_everything(self) -> bool:
        """Whether one installation saw all of it."""
        return self.installations == 1 and not self.unseen

    def use(self, pool: Any) -> None:
        """A request that is seen enters a pool, which is tracked from then on."""
        if self.instrumented and not pool.tracked:
            pool.tracked = True
            self.opened += 1

    def discard(self, pool: Any, reason: str) -> None:
        """A pool is closed or gone."""
        if pool.tracked:
            pool.tracked = False
            self.discarded[reason] += 1

    def settle(self) -> str | None:
        """Take down where each request is, by library and servers; what is still moving, if so."""
        waiting = {id(pool): pool.waiting() for pool in self.world.pools}
        for request in self.under_way():
            known = waiting.get(id(request.pool), {})
            if request.stage is Stage.ABANDONED and request.path not in known:
                request.over((request.status, None), (request.status, "cancelled"))
                continue
            phase = request.where(known)
            if phase is None:
                return f"{request.path} is on its way"
            if phase not in ("queued", request.phase):
                request.acquired = True
            if phase != request.phase:
                request.phase, request.phase_known_from = phase, 0.0
        return None

    # What has to be told

    def wrong_in(self, reading: Collection) -> list[str]:
        """In what a collection differs from the model."""
        if not self.instrumented:
            return [f"{name} is told" for name in reading.points if name not in _HISTOGRAMS]
        seen = [request for request in self.requests if request.seen]
        now = [request for request in seen if request.is_under_way]
        ended = [request for request in seen if not request.is_under_way]
        wrong = Differences()
        wrong.equal(
            "request.current",
            reading.by(semconv.REQUEST_CURRENT, "phase", "port"),
            Counter((request.phase, request.origin.port) for request in now),
        )
        states: Counter[str] = Counter()
        for pool in self.world.pools:
            if pool.tracked:
                states += pool.states()
        told = reading.by(semconv.OPEN_CONNECTIONS, "state")
        told["connecting"] = int(reading.total(semconv.CONNECTION_CONNECTING))
        del states["over"]
        wrong.equal("connections", +told, +states)
        live = sum(pool.tracked for pool in self.world.pools)
        wrong.equal("pool.live", reading.total(semconv.POOL_LIVE), live)
        wrong.equal("pool.opened", reading.total(semconv.POOL_OPENED), self.opened)
        wrong.equal(
            "pool.discarded", reading.by(semconv.POOL_DISCARDED, "discard"), +self.discarded
        )
        outcomes = Choices.of(request.outcomes for request in ended)
        told = reading.by(semconv.REQUESTS, "status", "error")
        wrong.equal("requests, beside what is expected", outcomes.difference(told), Counter())
        wrong.equal("timeouts", reading.by(semconv.TIMEOUTS, "kind"), +self.timeouts)
        self._durations(wrong, reading, now, ended)
        self._ages(wrong, reading, now)
        if self.saw_everything:
            self._connections(wrong, reading)
        return wrong.found

    def _durations(
        self,
        wrong: Differences,
        reading: Collection,
        now: list[ModelRequest],
        ended: list[ModelRequest],
    ) -> None:
        answered = sum(request.phase in ("unread", "reading") for request in now)
        wrong.equal(
            "acquire.duration",
            reading.total(semconv.ACQUIRE_DURATION),
            len(ended) + answered + self.answered_before,
        )
        leases = sum(request.acquired for request in ended)
        wrong.equal("lease.duration", reading.total(semconv.LEASE_DURATION), leases)
        told = reading.total(semconv.REQUEST_TIME)
        seen = [request for request in self.requests if request.was_seen]
        least = sum(request.surely(reading.since) for request in seen)
        most = sum(request.at_most(reading.until) for request in seen)
        if not least - 1e-6 <= told <= most + 1e-6:
            wrong.found.append(
                f"request.time: told {told:.6f} s, expected {least:.6f} to {most:.6f}"
            )

    def _ages(self, wrong: Differences, reading: Collection, now: list[ModelRequest]) -> None:
        for phase in semconv.PHASES:
            told = reading.total(semconv.REQUEST_OLDEST_AGE, phase=phase)
            within = [request for request in now if request.phase == phase]
            most = max((reading.until - request.sent_at for request in within), default=0.0)
            least = max(
                (
                    reading.since - request.phase_known_from
                    for request in within
                    if request.phase_known_from
                ),
                default=0.0,
            )
            if not least - 1e-6 <= told <= most + 1e-6:
                wrong.found.append(
                    f"oldest_age of {phase}: told {told:.6f} s, expected {least:.6f} to {most:.6f}"
                )

    def _connections(self, wrong: Differences, reading: Collection) -> None:
        """What only adds up where nothing was missed."""
        used = sum(origin.used_connections for origin in self.world.origins)
        used -= self.of_children
        wrong.equal("connection.opened", reading.total(semconv.CONNECTION_OPENED), used)
        states = sum((pool.states() for pool in self.world.pools), Counter())
        closed = reading.by(semconv.CONNECTION_CLOSED, "reason")
        still_open = states["active"] + states["idle"]
        wrong.equal("connection.closed", sum(closed.values()), used - still_open)
        if min(Choices.of(self.closes).difference(closed).values(), default=0) < 0:
            wrong.found.append(f"close reasons: {closed}, expected {[*map(sorted, self.closes)]}")
        told = reading.total(semconv.REUSE_FAILURES)
        least, most = (sum(r.reuse_failures[sure] for r in self.requests) for sure in (0, 1))
        if not least <= told <= most:
            wrong.found.append(f"reuse.failures: told {told}, expected {least} to {most}")

    def wrong_in_snapshot(self, taken: Snapshot) -> list[str]:
        """In what a snapshot differs from the model."""
        seen = [request for request in self.requests if request.seen]
        now = [request for request in seen if request.is_under_way]
        ended = [request for request in seen if not request.is_under_way]
        wrong = Differences()
        phases = Counter(request.phase for request in now)
        told: Counter[str | None] = Counter()
        outcomes: Counter[tuple[int | str | None, str | None]] = Counter()
        for total in taken.totals:
            for origin in total.origins:
                told.update(origin.requests_now)
                for outcome in origin.outcomes:
                    outcomes[outcome.status, outcome.error] += outcome.count
        wrong.equal("requests_now", +told, phases)
        left = Choices.of(request.outcomes for request in ended).difference(outcomes)
        wrong.equal("outcomes of the snapshot, beside what is expected", left, Counter())
        tracked = [pool for pool in self.world.pools if pool.tracked]
        wrong.equal("pools of the snapshot", len(taken.pools), len(tracked))
        states: Counter[str] = Counter()
        for pool in tracked:
            states += pool.states()
        del states["over"]
        connections = Counter(c.state for pool in taken.pools for c in pool.connections)
        wrong.equal("connections of the snapshot", connections, +states)
        return wrong.found


class Differences:
    """What was told and is not so."""

    def __init__(self) -> None:
        self.found: list[str] = []

    def equal(self, what: str, told: Any, expected: Any) -> None:
        """Note it where the two differ."""
        if told != expected:
            self.found.append(f"{what}: told {told}, expected {expected}")
