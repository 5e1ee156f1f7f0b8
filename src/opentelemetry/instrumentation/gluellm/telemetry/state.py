"""State and counters of the contract: plain numbers, read once per collection."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from opentelemetry.metrics import Observation

from ..pool.channel import TrackedChannel, states_of
from ..pool.copies import copied
from ..pool.ledger import OriginLedger, PoolLedger
from ..pool.loops import LoopLag
from ..pool.registry import PoolRegistry
from ..pool.seams import Seams
from ..pool.stats import (
    ACTIVE_1,
    ACTIVE_2,
    ACTIVE_WEBSOCKET,
    CONNECTING,
    IDLE_1,
    IDLE_2,
    PLACES,
    NameState,
    RunningRequests,
    Tally,
)
from . import semconv
from .attributes import of_origin, of_pool
from .drain import NO_SPAN, Drain
from .semconv import Metric

_NO_CONNECTIONS = [0] * len(PLACES)
_NO_STREAMS = (0, 0, 0)
_NO_REQUESTS = RunningRequests()
_PLACES = {
    ("1.1", "active"): ACTIVE_1,
    ("1.1", "idle"): IDLE_1,
    ("2", "active"): ACTIVE_2,
    ("2", "idle"): IDLE_2,
    (semconv.WEBSOCKET, "active"): ACTIVE_WEBSOCKET,
}

Observations = dict[str, list[Observation]]


class StateSource:
    """Gives the observations of one collection."""

    def __init__(
        self,
        registry: PoolRegistry,
        drain: Drain,
        seams: Callable[[], Iterable[Seams]],
        on_collect: Callable[[], None],
        loop_lag: LoopLag | None,
    ) -> None:
        self._registry = registry
        self._drain = drain
        self._seams = seams
        self._on_collect = on_collect
        self._loop_lag = loop_lag

    def collect(self) -> Observations:
        """Empty the outbox, then take one snapshot of everything."""
        found = _Points()
        registry = self._registry
        try:
            self._drain.all()
            self._on_collect()
            now = registry.clock()
            states, counts = registry.state(now)
            now = registry.clock()
            for ledger, state in states.items():
                _add_pool(found, ledger, state, now)
                for origin in copied(ledger.origins.values):
                    _add_origin(found, origin, counts, now)
        except Exception as error:
            registry.failures.caught("collection", error)
        try:
            self._add_process(found)
        except Exception as error:
            registry.failures.caught("collection", error)
        if found.odd:
            # Of a version that is unknown to us: the SDK would warn of it with each collection.
            registry.failures.caught("collection.value", TypeError())
        return found.by_name

    def _add_process(self, found: _Points) -> None:
        if self._loop_lag is not None:
            now = self._registry.clock()
            found.add(semconv.EVENT_LOOP_LATE_TIME, self._loop_lag.late_time(now) / 1e9, {})
            found.add(semconv.EVENT_LOOP_LAG_PEAK, self._loop_lag.peak(now) / 1e9, {})
        for seams in self._seams():
            for seam, works in seams.found.items():
                attributes = {
                    semconv.POOL_LIBRARY: seams.library,
                    semconv.SEAM_NAME: seam,
                }
                found.add(semconv.SEAM, int(works), attributes)
        for kind, count in dict(self._registry.failures.counts).items():
            attributes = {semconv.INSTRUMENTATION_KIND: kind}
            found.add(semconv.INSTRUMENTATION_ERRORS, count, attributes)
        dropped = {semconv.INSTRUMENTATION_KIND: "buffer_full"}
        found.add(semconv.INSTRUMENTATION_DROPPED, self._registry.outbox.dropped, dropped)


class _Points:
    __slots__ = ("by_name", "odd")

    def __init__(self) -> None:
        self.by_name: Observations = {}
        self.odd = False
        """Whether something was no number."""

    def add(self, metric: Metric, value: Any, attributes: dict[str, Any]) -> None:
        if not isinstance(value, (int, float)):
            self.odd = True
            return
        # The thread that collects may have a span of its own; no value here is an example of it.
        observation = Observation(value, attributes, NO_SPAN)
        points = self.by_name.get(metric.name)
        if points is None:
            self.by_name[metric.name] = [observation]
        else:
            points.append(observation)


def _add_pool(found: _Points, ledger: PoolLedger, state: NameState, now: int) -> None:
    attributes = of_pool(ledger)
    base = attributes.base
    add = found.add
    if ledger.channels is None:
        _add_connections(found, ledger, state, now)
    else:
        _add_channels(found, ledger, ledger.channels, now)
    add(semconv.PEAK_QUEUED, ledger.queued.highest(now), base)
    for phase, oldest in enumerate(state.oldest_since):
        age = max(now - oldest, 0) / 1e9 if oldest else 0.0
        add(semconv.REQUEST_OLDEST_AGE, age, attributes.phases[phase])
    if ledger.acquire_timeout is not None and ledger.live:
        add(semconv.ACQUIRE_TIMEOUT, ledger.acquire_timeout, base)
    add(semconv.POOL_LIVE, ledger.live, base)
    add(semconv.POOL_OPENED, ledger.pools_opened, base)
    for reason, count in ledger.discarded.items():
        add(semconv.POOL_DISCARDED, count, {**base, semconv.DISCARD_REASON: reason})
    add(semconv.LEAK_SUSPECTED, state.leaks_suspected, base)
    add(semconv.LEAKS, ledger.leaks, base)


def _add_connections(found: _Points, ledger: PoolLedger, state: NameState, now: int) -> None:
    """What a pool's connections tell: nothing of it is known where the pool is a channel."""
    attributes = of_pool(ledger)
    base = attributes.base
    add = found.add
    if state.maximum is not None:
        add(semconv.CONNECTION_MAX, state.maximum, base)
    if state.idle_maximum is not None:
        add(semconv.CONNECTION_IDLE_MAX, state.idle_maximum, base)
    if state.occupancy is not None:
        add(semconv.OCCUPANCY_RATIO, state.occupancy, base)
    elif not ledger.live:
        add(semconv.OCCUPANCY_RATIO, 0.0, base)
    # What was in the pool before we came is seen in its state only.
    add(semconv.PEAK_ACTIVE, max(ledger.active.highest(now), state.busy), base)
    add(semconv.CONNECTION_OPENED, ledger.opened, base)
    for reason, count in copied(ledger.closed.items):
        add(semconv.CONNECTION_CLOSED, count, {**base, semconv.CLOSE_REASON: reason})
    add(semconv.REQUEUES, ledger.requeues, base)
    for anomaly, count in ledger.anomalies.items():
        add(semconv.ANOMALIES, count, attributes.anomalies[anomaly])


def _add_channels(
    found: _Points, ledger: PoolLedger, channels: dict[TrackedChannel, None], now: int
) -> None:
    attributes = of_pool(ledger)
    counts, spent = states_of(channels, ledger.channel_spent, now)
    reported = attributes.channel_time_reported
    for state, of_state in enumerate(attributes.channels):
        found.add(semconv.CHANNEL_CURRENT, counts[state], of_state)
        # A counter must never fall, not by what another thread sees between two lines.
        reported[state] = max(reported[state], spent[state] / 1e9)
        found.add(semconv.CHANNEL_TIME, reported[state], of_state)


def _add_origin(found: _Points, origin: OriginLedger, tally: Tally, now: int) -> None:
    counts = tally.origins.get(origin, _NO_CONNECTIONS)
    running = tally.requests.get(origin, _NO_REQUESTS)
    attributes = of_origin(origin)
    base = attributes.base
    add = found.add
    for (protocol, use), place in _PLACES.items():
        if protocol in origin.protocols:
            add(semconv.OPEN_CONNECTIONS, counts[place], attributes.connections[protocol, use])
    if "2" in origin.protocols:
        active, limit, orphaned = tally.streams.get(origin, _NO_STREAMS)
        of_streams = attributes.streams
        add(semconv.STREAM_ACTIVE, active, of_streams)
        add(semconv.STREAM_MAX, limit, of_streams)
        add(semconv.STREAM_ORPHANED, orphaned, of_streams)
    if origin.pool.channels is None:
        add(semconv.CONNECTION_CONNECTING, counts[CONNECTING], base)
        add(semconv.REUSE_FAILURES, origin.reuse_failures, base)
    add(semconv.ACTIVE_REQUESTS, sum(running.count), base)
    reported = attributes.time_reported
    left = tally.spent.get(origin) or tuple(origin.spent)
    for phase, of_phase in enumerate(attributes.phases):
        count = running.count[phase]
        add(semconv.REQUEST_CURRENT, count, of_phase)
        spent = (left[phase] + count * now - running.since[phase]) / 1e9
        # A counter must never fall, not by what another thread's request does between two lines.
        reported[phase] = max(reported[phase], spent)
        add(semconv.REQUEST_TIME, reported[phase], of_phase)
    for key, count in copied(origin.requests.items):
        add(semconv.REQUESTS, count, attributes.of_request(key))
    for kind, count in origin.timeouts.items():
        add(semconv.TIMEOUTS, count, attributes.timeouts[kind])
