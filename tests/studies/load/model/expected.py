"""What has to be reported once everything has come to rest, by the model alone."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from opentelemetry.instrumentation.gluellm import Snapshot
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from studies.load.choices import Choices
from studies.load.collection import Collection

from .request import ModelRequest, Stage
from .world import World

Equal = tuple[str, Any, Any]
"""What it is, what is reported, what is expected."""
Between = tuple[str, float, float, float]
"""The same where it is expected to be between two values."""


@dataclass(slots=True)
class Model:
    """Everything that the model knows of one example."""

    world: World
    requests: list[ModelRequest] = field(default_factory=list)
    opened: int = 0
    """Pools that were first used, seen."""
    discarded: Counter[str] = field(default_factory=Counter)
    closes: list[frozenset[Any]] = field(default_factory=list)
    """Why connections were closed by their pools, each by one of these reasons."""
    timeouts: Counter[str] = field(default_factory=Counter)

    def under_way(self, *stages: Stage) -> list[ModelRequest]:
        """The requests in one of these stages, of all that are not over where none is named."""
        return [
            request
            for request in self.requests
            if (request.stage in stages if stages else request.is_under_way)
        ]

    def use(self, pool: Any) -> None:
        """A request that is seen enters a pool, which is tracked from then on."""
        if not pool.tracked:
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

    # What has to be reported

    def wrong_in(self, reported: Collection, taken: Snapshot) -> list[str]:
        """In what a collection and a snapshot differ from the model."""
        now = self.under_way()
        ended = [request for request in self.requests if not request.is_under_way]
        equal = self._of_collection(reported, now, ended) + self._of_snapshot(taken, now, ended)
        between = self._times(reported, now)
        equal += self._connections(reported)
        sure, possible = (sum(r.reuse_failures[n] for r in self.requests) for n in (0, 1))
        between.append(("reuse.failures", reported.total(semconv.REUSE_FAILURES), sure, possible))
        return [
            f"{what}: reported {value}, expected {expected}"
            for what, value, expected in equal
            if value != expected
        ] + [
            f"{what}: reported {value:.6f}, expected {least:.6f} to {most:.6f}"
            for what, value, least, most in between
            if not least - 1e-6 <= value <= most + 1e-6
        ]

    def _states(self) -> Counter[str]:
        """Open connections by state, of the pools that the package follows."""
        states: Counter[str] = Counter()
        for pool in self.world.pools:
            if pool.tracked:
                states += pool.states()
        del states["over"]
        return +states

    def _of_collection(
        self, reported: Collection, now: list[ModelRequest], ended: list[ModelRequest]
    ) -> list[Equal]:
        connections = reported.by(semconv.OPEN_CONNECTIONS, "state")
        connections["connecting"] = int(reported.total(semconv.CONNECTION_CONNECTING))
        outcomes = Choices.of(request.outcomes for request in ended)
        left = outcomes.difference(reported.by(semconv.REQUESTS, "status", "error"))
        answered = sum(request.phase in ("unread", "reading") for request in now)
        acquired = len(ended) + answered
        phases = Counter((request.phase, request.origin.port) for request in now)
        live = sum(pool.tracked for pool in self.world.pools)
        leases = sum(request.acquired for request in ended)
        return [
            ("request.current", reported.by(semconv.REQUEST_CURRENT, "phase", "port"), phases),
            ("connections", +connections, self._states()),
            ("pool.live", reported.total(semconv.POOL_LIVE), live),
            ("pool.opened", reported.total(semconv.POOL_OPENED), self.opened),
            ("pool.discarded", reported.by(semconv.POOL_DISCARDED, "discard"), +self.discarded),
            ("requests, beside what is expected", left, Counter()),
            ("timeouts", reported.by(semconv.TIMEOUTS, "kind"), +self.timeouts),
            ("acquire.duration", reported.total(semconv.ACQUIRE_DURATION), acquired),
            ("lease.duration", reported.total(semconv.LEASE_DURATION), leases),
        ]

    def _of_snapshot(
        self, taken: Snapshot, now: list[ModelRequest], ended: list[ModelRequest]
    ) -> list[Equal]:
        origins = [origin for total in taken.totals for origin in total.origins]
        phases: Counter[str] = sum((Counter(o.requests_now) for o in origins), Counter())
        outcomes: Counter[Any] = Counter()
        for outcome in (outcome for origin in origins for outcome in origin.outcomes):
            outcomes[outcome.status, outcome.error] += outcome.count
        left = Choices.of(request.outcomes for request in ended).difference(outcomes)
        connections = Counter(c.state for pool in taken.pools for c in pool.connections)
        live = sum(pool.tracked for pool in self.world.pools)
        return [
            ("requests_now", phases, Counter(request.phase for request in now)),
            ("outcomes of the snapshot, beside what is expected", left, Counter()),
            ("pools of the snapshot", len(taken.pools), live),
            ("connections of the snapshot", connections, self._states()),
        ]

    def _times(self, reported: Collection, now: list[ModelRequest]) -> list[Between]:
        least = sum(request.surely(reported.since) for request in self.requests)
        most = sum(request.at_most(reported.until) for request in self.requests)
        found = [("request.time", reported.total(semconv.REQUEST_TIME), least, most)]
        for phase in semconv.PHASES:
            age = reported.total(semconv.REQUEST_OLDEST_AGE, phase=phase)
            within = [request for request in now if request.phase == phase]
            known = [r.phase_known_from for r in within if r.phase_known_from]
            least = max((reported.since - since for since in known), default=0.0)
            most = max((reported.until - request.sent_at for request in within), default=0.0)
            found.append((f"oldest_age of {phase}", age, least, most))
        return found

    def _connections(self, reported: Collection) -> list[Equal]:
        """What adds up only where nothing was missed."""
        used = sum(origin.used_connections for origin in self.world.origins)
        states = sum((pool.states() for pool in self.world.pools), Counter())
        closed = reported.by(semconv.CONNECTION_CLOSED, "reason")
        difference = Choices.of(self.closes).difference(closed)
        still_open = states["active"] + states["idle"]
        return [
            ("connection.opened", reported.total(semconv.CONNECTION_OPENED), used),
            ("connection.closed", closed.total(), used - still_open),
            ("reasons for closing, too rare", min(0, 0, *difference.values()), 0),
        ]
