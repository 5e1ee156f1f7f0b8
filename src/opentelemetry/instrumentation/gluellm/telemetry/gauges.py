"""Gauges and counters of the contract, read from plain numbers once per collection."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from opentelemetry.metrics import Observation

from ..concurrency import snapshot_of
from ..patching import Hooks
from ..pool import counts
from ..pool.call import CallsNow
from ..pool.durations import in_seconds
from ..pool.lease import Lease
from ..pool.ledger import GONE_REPORTED, Counters, OriginLedger, PoolLedger, PoolSeries
from ..pool.registry import PoolRegistry
from ..vocabulary import PHASES, STAGES, STEPS, by_name
from ..watch.judgement import Judgement
from ..watch.loop_lag import LoopLag
from . import semconv
from .attributes import AttributeSets, of_calls, of_origin, of_series, protocol_key
from .drain import NO_SPAN, Drain
from .findings import FindingSeries
from .semconv import Metric

_PLACES = {
    ("1.1", "active"): counts.ACTIVE_1,
    ("1.1", "idle"): counts.IDLE_1,
    ("2", "active"): counts.ACTIVE_2,
    ("2", "idle"): counts.IDLE_2,
    (semconv.WEBSOCKET, "active"): counts.ACTIVE_WEBSOCKET,
}

Observations = dict[str, list[Observation]]


@dataclass(eq=False)
class StateSource:
    """Source of the observations of one collection."""

    registry: PoolRegistry
    drain: Drain
    hooks: Callable[[], Iterable[Hooks]]
    on_collect: Callable[[], None]
    loop_lag: LoopLag | None
    leak_suspects: Callable[[], Iterable[Lease]]
    silent_connections: Callable[[], Mapping[PoolLedger, Mapping[str, int]]]
    """By pool name and state of the peer."""
    judgement: Judgement | None = None
    finding_series: FindingSeries = field(default_factory=FindingSeries)

    def collect(self) -> Observations:
        """Drain the outbox, then take one snapshot of all pools and the process."""
        found = _Points()
        registry = self.registry
        try:
            self.drain.all()
            self.on_collect()
            now = registry.clock()
            states, sums = registry.state(now)
            now = registry.clock()
            suspects = Counter(lease.tracker.ledger for lease in self.leak_suspects())
            silent = self.silent_connections()
            for ledger, state in states.items():
                gauges = _gauges(ledger, state, suspects[ledger], silent.get(ledger, {}), now)
                _add_pool(found, ledger, gauges, now)
                for origin in snapshot_of(ledger.origins.values):
                    _add_origin(found, origin, sums, now)
            for calls in registry.calls.state():
                _add_calls(found, calls)
            self._add_findings(found, states, now)
        except Exception as error:
            registry.failures.caught("collection", error)
        try:
            self._add_process(found)
        except Exception as error:
            registry.failures.caught("collection", error)
        if found.odd:
            # A library version has values of unexpected types. The SDK would log a warning for them
            # at each collection.
            registry.failures.caught("collection.value", TypeError())
        return found.by_name

    def _add_findings(self, found: _Points, states: Iterable[PoolLedger], now: int) -> None:
        judgement = self.judgement
        if judgement is None or not judgement.possible:
            return
        pools = {
            f"{ledger.name}/{ledger.library}": of_series(ledger, ledger.series).base
            for ledger in states
        }
        for attributes, value in self.finding_series.points(judgement.now.values(), pools, now):
            found.add(semconv.FINDING_CURRENT, value, attributes)
        found.add(semconv.FINDING_JUDGED, judgement.count, {})

    def _add_process(self, found: _Points) -> None:
        if self.loop_lag is not None:
            now = self.registry.clock()
            found.add(semconv.EVENT_LOOP_LATE_TIME, in_seconds(self.loop_lag.late_time(now)), {})
            found.add(semconv.EVENT_LOOP_LAG_PEAK, in_seconds(self.loop_lag.peak(now)), {})
        for hooks in self.hooks():
            attributes = {semconv.HOOK_LIBRARY: hooks.library}
            found.add(semconv.HOOK_MISSING, len(hooks.missing()), attributes)
        for kind, count in dict(self.registry.failures.counts).items():
            attributes = {semconv.INSTRUMENTATION_KIND: kind}
            found.add(semconv.INSTRUMENTATION_ERRORS, count, attributes)
        dropped = {semconv.INSTRUMENTATION_KIND: "buffer_full"}
        found.add(semconv.INSTRUMENTATION_DROPPED, self.registry.outbox.dropped, dropped)


class _Points:
    __slots__ = ("by_name", "odd")

    def __init__(self) -> None:
        self.by_name: Observations = {}
        self.odd = False
        """Whether a value was not a number."""

    def add(self, metric: Metric, value: Any, attributes: dict[str, Any]) -> None:
        if not isinstance(value, (int, float)):
            self.odd = True
            return
        # NO_SPAN, or the SDK would use the collecting thread's span as exemplar.
        observation = Observation(value, attributes, NO_SPAN)
        points = self.by_name.get(metric.name)
        if points is None:
            self.by_name[metric.name] = [observation]
        else:
            points.append(observation)


_Gauge = tuple[Metric, tuple[str, ...], float]
"""A metric, key and value of its additional attribute if it has one, and the value."""


def _add_pool(found: _Points, ledger: PoolLedger, gauges: list[_Gauge], now: int) -> None:
    # Both are read once: a request of a second provider may replace them meanwhile.
    series, former = ledger.series, ledger.former
    _add_series(found, of_series(ledger, series), gauges)
    _add_counters(found, ledger, series, ledger.counters(now))
    if former is not None and now - former.ended_at < GONE_REPORTED:
        _add_series(found, of_series(ledger, former), [(*gauge[:2], 0) for gauge in gauges])
        _add_counters(found, ledger, former, ledger.series.base)


def _add_series(found: _Points, attributes: AttributeSets, gauges: list[_Gauge]) -> None:
    for metric, pair, value in gauges:
        found.add(metric, value, attributes.of(*pair))


def _add_counters(
    found: _Points, ledger: PoolLedger, series: PoolSeries, counters: Counters
) -> None:
    """Add what the pool name has counted while ``series`` was current."""
    attributes, base, reported = of_series(ledger, series), series.base, series.reported
    for which, total in counters.items():
        what, label = which
        metric, key = _COUNTERS[what]
        # A counter must never fall, even if another thread changes it during the collection.
        count = reported[which] = max(reported.get(which, 0), total - base.get(which, 0))
        value = in_seconds(count) if metric.unit == "s" else count
        found.add(metric, value, attributes.of(key, label))


_COUNTERS: dict[str, tuple[Metric, str | None]] = {
    "opened": (semconv.CONNECTION_OPENED, None),
    "closed": (semconv.CONNECTION_CLOSED, semconv.CLOSE_REASON),
    "requeues": (semconv.REQUEUES, None),
    "pools_opened": (semconv.POOL_OPENED, None),
    "discarded": (semconv.POOL_DISCARDED, semconv.DISCARD_REASON),
    "leaks": (semconv.LEAKS, None),
    "anomalies": (semconv.ANOMALIES, semconv.ANOMALY_TYPE),
    "state_time": (semconv.CHANNEL_TIME, semconv.CHANNEL_STATE),
}
"""Metric of each of a ledger's counters, and the key of its additional attribute."""


def _gauges(
    ledger: PoolLedger,
    state: counts.NameState,
    leak_suspects: int,
    silent: Mapping[str, int],
    now: int,
) -> list[_Gauge]:
    """Return the gauges of a pool name."""
    gauges: list[_Gauge] = [
        (semconv.PEAK_QUEUED, (), ledger.queued.highest(now)),
        (semconv.POOL_LIVE, (), ledger.live),
        (semconv.LEAK_SUSPECTED, (), leak_suspects),
    ]
    for phase, oldest in zip(PHASES, state.oldest_since, strict=True):
        age = in_seconds(max(now - oldest, 0)) if oldest else 0.0
        gauges.append((semconv.REQUEST_OLDEST_AGE, (semconv.REQUEST_PHASE, phase), age))
    held = in_seconds(max(now - state.held_since, 0)) if state.held_since else 0.0
    gauges.append((semconv.LEASE_OLDEST_AGE, (), held))
    for peer, count in silent.items():
        gauges.append((semconv.CONNECTION_SILENT, (semconv.PEER_STATE, peer), count))
    if ledger.acquire_timeout is not None and ledger.live:
        gauges.append((semconv.ACQUIRE_TIMEOUT, (), ledger.acquire_timeout))
    for name, count in ledger.states().items():
        gauges.append((semconv.CHANNEL_CURRENT, (semconv.CHANNEL_STATE, name), count))
    if not ledger.reports_connections:
        return gauges
    if state.maximum is not None:
        gauges.append((semconv.CONNECTION_MAX, (), state.maximum))
    if state.idle_maximum is not None:
        gauges.append((semconv.CONNECTION_IDLE_MAX, (), state.idle_maximum))
    if state.occupancy is not None:
        gauges.append((semconv.OCCUPANCY_RATIO, (), state.occupancy))
    elif not ledger.live:
        gauges.append((semconv.OCCUPANCY_RATIO, (), 0.0))
    # Connections from before the installation are in the pool's state, but not in the peak.
    peak = max(ledger.active.highest(now), state.busy)
    gauges.append((semconv.PEAK_ACTIVE, (), peak))
    return gauges


def _add_calls(found: _Points, state: CallsNow) -> None:
    ledger = state.ledger
    attributes = of_calls(ledger)
    reported = ledger.reported
    add = found.add
    for stage, name in enumerate(STAGES):
        of_stage = attributes.of(semconv.CALL_STAGE, name)
        add(semconv.CALL_CURRENT, state.count[stage], of_stage)
        add(semconv.CALL_OLDEST_AGE, in_seconds(state.oldest[stage]), of_stage)
        reported[stage] = max(reported[stage], state.spent[stage])
        add(semconv.CALL_TIME, in_seconds(reported[stage]), of_stage)
    if ledger.streamed:
        add(semconv.CALL_SILENCE, in_seconds(state.silence), attributes.base)
    add(semconv.CALL_SILENT, state.silent, attributes.base)
    reported[-1] = max(reported[-1], state.retries)
    add(semconv.CALL_RETRIES, reported[-1], attributes.base)
    for operation, ended in snapshot_of(ledger.calls.items):
        for outcome, count in zip(semconv.OUTCOMES, ended, strict=True):
            pairs = (semconv.OPERATION_NAME, operation, semconv.CALL_OUTCOME, outcome)
            add(semconv.CALLS, count, attributes.of(*pairs))
    for error, count in snapshot_of(ledger.errors.items):
        add(semconv.CALL_ERRORS, count, attributes.of(semconv.ERROR_TYPE, error))


def _add_origin(found: _Points, origin: OriginLedger, sums: counts.PoolSums, now: int) -> None:
    connections, running = sums.origins[origin], sums.requests[origin]
    attributes = of_origin(origin)
    base = attributes.base
    add = found.add
    for (protocol, use), position in _PLACES.items():
        if protocol in origin.protocols:
            pairs = (protocol_key(protocol), protocol, semconv.CONNECTION_STATE, use)
            add(semconv.OPEN_CONNECTIONS, connections[position], attributes.of(*pairs))
    if "2" in origin.protocols:
        active, limit, orphaned = sums.streams[origin]
        of_streams = attributes.of(semconv.PROTOCOL_VERSION, "2")
        add(semconv.STREAM_ACTIVE, active, of_streams)
        add(semconv.STREAM_MAX, limit, of_streams)
        add(semconv.STREAM_ORPHANED, orphaned, of_streams)
    if origin.pool.reports_connections:
        add(semconv.CONNECTION_CONNECTING, connections[counts.CONNECTING], base)
        add(semconv.REUSE_FAILURES, origin.reuse_failures, base)
        reported = attributes.set_up_reported
        steps = by_name(sums.steps.get(origin) or origin.set_up_time)
        for step, name in enumerate(STEPS):
            reported[step] = max(reported[step], in_seconds(steps[step]))
            of_step = attributes.of(semconv.CONNECTION_STEP, name)
            add(semconv.CONNECTION_CREATE_TIME, reported[step], of_step)
    add(semconv.ACTIVE_REQUESTS, sum(running.count), base)
    reported = attributes.time_reported
    left = sums.spent.get(origin) or tuple(origin.spent)
    for phase, name in enumerate(PHASES):
        of_phase = attributes.of(semconv.REQUEST_PHASE, name)
        count = running.count[phase]
        add(semconv.REQUEST_CURRENT, count, of_phase)
        spent = in_seconds(left[phase] + count * now - running.since[phase])
        # A counter must never fall, even if another thread's request changes phase in between.
        reported[phase] = max(reported[phase], spent)
        add(semconv.REQUEST_TIME, reported[phase], of_phase)
    for key, count in snapshot_of(origin.requests.items):
        add(semconv.REQUESTS, count, attributes.of_request(key))
    for kind, count in origin.timeouts.items():
        add(semconv.TIMEOUTS, count, attributes.of(semconv.TIMEOUT_KIND, kind))
