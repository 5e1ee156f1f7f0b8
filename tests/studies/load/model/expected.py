"""What has to be reported once everything has come to rest, by the model alone."""

from __future__ import annotations

import gc
import weakref
from collections import Counter
from typing import Any

from opentelemetry.instrumentation.gluellm import Snapshot
from opentelemetry.instrumentation.gluellm.pool.connection import TrackedConnection
from opentelemetry.instrumentation.gluellm.pool.lease import Lease
from opentelemetry.instrumentation.gluellm.pool.registry import PoolRegistry
from opentelemetry.instrumentation.gluellm.pool.tracker import PoolTracker
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from studies.load.reading import Choices, Collection

from .life import Life, Stage

Watched = dict[int, "weakref.ref[Any]"]
"""The library's objects of one life, by their identity."""


def settle(life: Life) -> str | None:
    """Record where each request is, by library and servers; return what is still moving, if so."""
    waiting = {id(pool): pool.waiting() for pool in life.pools}
    for request in life.in_flight():
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


def wrong_in(life: Life, reported: Collection, taken: Snapshot) -> list[str]:
    """In what a collection and a snapshot differ from the model."""
    now = life.in_flight()
    ended = life.in_flight(Stage.OVER)
    tracked = [pool for pool in life.pools if pool.tracked]
    states = sum((pool.states() for pool in tracked), Counter())
    del states["over"]
    phases = Counter((request.phase, request.origin.port) for request in now)
    outcomes = Choices(request.outcomes for request in ended)
    answered = sum(request.phase in ("unread", "reading") for request in now)
    used = sum(
        known.requests > 0
        for origin in life.origins
        if origin.seen is not None
        for known in list(origin.seen.connections.values())
    )
    every = sum((pool.states() for pool in life.pools), Counter())
    by, total = reported.by, reported.total
    connections = by(semconv.OPEN_CONNECTIONS, "state")
    connections["connecting"] = int(total(semconv.CONNECTION_CONNECTING))
    unexplained = outcomes.difference(by(semconv.REQUESTS, "status", "error"))
    closed = used - every["active"] - every["idle"]
    equal: list[tuple[str, Any, Any]] = [
        ("request.current", by(semconv.REQUEST_CURRENT, "phase", "port"), phases),
        ("connections", +connections, +states),
        ("pool.live", total(semconv.POOL_LIVE), len(tracked)),
        ("pool.opened", total(semconv.POOL_OPENED), life.opened),
        ("pool.discarded", by(semconv.POOL_DISCARDED, "discard"), +life.discarded),
        ("requests, beside what is expected", unexplained, Counter()),
        ("timeouts", by(semconv.TIMEOUTS, "kind"), life.timeouts),
        ("acquire.duration", total(semconv.ACQUIRE_DURATION), len(ended) + answered),
        ("lease.duration", total(semconv.LEASE_DURATION), sum(r.acquired for r in ended)),
        ("connection.opened", total(semconv.CONNECTION_OPENED), used),
        ("connection.closed", total(semconv.CONNECTION_CLOSED), closed),
    ]
    origins = [origin for each in taken.totals for origin in each.origins]
    told: Counter[Any] = Counter()
    for outcome in (outcome for origin in origins for outcome in origin.outcomes):
        told[outcome.status, outcome.error] += outcome.count
    requests_now: Counter[str] = sum((Counter(o.requests_now) for o in origins), Counter())
    listed = Counter(each.state for pool in taken.pools for each in pool.connections)
    equal += [
        ("requests_now", requests_now, Counter(request.phase for request in now)),
        ("outcomes of the snapshot", outcomes.difference(told), Counter()),
        ("pools of the snapshot", len(taken.pools), len(tracked)),
        ("connections of the snapshot", listed, +states),
    ]
    return [
        f"{what}: reported {value}, expected {expected}"
        for what, value, expected in equal
        if value != expected
    ] + _wrong_times(life, reported)


def _wrong_times(life: Life, reported: Collection) -> list[str]:
    since, until = reported.since, reported.until
    least = sum(request.surely(since) for request in life.requests)
    most = sum(request.at_most(until) for request in life.requests)
    between = [("request.time", reported.total(semconv.REQUEST_TIME), least, most)]
    for phase in semconv.PHASES:
        age = reported.total(semconv.REQUEST_OLDEST_AGE, phase=phase)
        within = [request for request in life.in_flight() if request.phase == phase]
        known = [since - r.phase_known_from for r in within if r.phase_known_from]
        most = max((until - request.sent_at for request in within), default=0.0)
        between.append((f"oldest_age of {phase}", age, max(known, default=0.0), most))
    return [
        f"{what}: reported {value:.6f}, expected {least:.6f} to {most:.6f}"
        for what, value, least, most in between
        if not least - 1e-6 <= value <= most + 1e-6
    ]


def left_over(watched: Watched, registry: PoolRegistry) -> list[str]:
    """What the library or the package keeps though the life is over."""
    gc.collect()
    alive = [repr(one) for reference in watched.values() if (one := reference()) is not None]
    # Those of a life that has failed are kept by its traceback.
    records = [
        type(one).__name__
        for one in gc.get_objects()
        if type(one) in (Lease, TrackedConnection, PoolTracker)
        and getattr(one, "tracker", one).registry is registry
    ]
    kept = registry.trackers, registry.ending, registry.outbox.items
    return alive or records + [f"{len(some)} in the registry" for some in kept if some]
