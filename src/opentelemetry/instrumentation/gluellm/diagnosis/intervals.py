"""What happened between two snapshots, per pool name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from ..thresholds import CHURN_REQUESTS_PER_POOL
from .snapshot import PoolSnapshot, PoolTotals, ProcessSnapshot, Snapshot

HELD = ("connecting", "stream_queued", "awaiting_response", "reading", "unread")
"""The phases of a request that has a connection."""
PROVIDERS_PART = ("awaiting_response", "reading")
"""The phases in which the provider is at work."""
CONNECT_ERRORS = (
    "connect_timeout",
    "name_resolution_error",
    "connection_error",
    "secure_connection_error",
    "too_many_open_files",
    "no_local_ports",
)
"""The contract's ``error.type`` of requests whose connection was never established."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Activity:
    """What all pools of one name did in a period. Times are seconds."""

    period: float = 0.0
    pools_opened: int = 0
    connections_opened: int = 0
    connections_closed: Mapping[str, int] = field(default_factory=dict)
    origins: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """Pools that asked for each origin for the first time, and requests for it, without the live
    pools that are known to be kept."""
    entered: int = 0
    resent: int = 0
    """Requests among them that were not the first of their any-llm call."""
    protocols: tuple[str, ...] = ()
    """What the connections of its origins ever spoke."""
    phase_seconds: Mapping[str, float] = field(default_factory=dict)
    errors: Mapping[str | None, int] = field(default_factory=dict)
    """Requests that left, by the contract's ``error.type``; None is success."""
    timeouts: Mapping[str, int] = field(default_factory=dict)
    reuse_failures: int = 0
    leaks: int = 0
    anomalies: Mapping[str, int] = field(default_factory=dict)
    held_now: int = 0
    """Requests that have a connection at its end."""

    def time(self, *phases: str) -> float:
        """Seconds that its requests spent in these phases; in all of them without an argument."""
        if not phases:
            return sum(self.phase_seconds.values())
        return sum(self.phase_seconds.get(phase, 0.0) for phase in phases)

    @property
    def left(self) -> int:
        """Requests that left the pool, however."""
        return sum(self.errors.values())

    @property
    def connect_failures(self) -> dict[str, int]:
        """Requests whose connection could not be established, by reason, most frequent first."""
        failed = [(error, self.errors.get(error, 0)) for error in CONNECT_ERRORS]
        return {
            error: count for error, count in sorted(failed, key=lambda pair: -pair[1]) if count > 0
        }

    @property
    def sent(self) -> int:
        """Requests that left and had, as far as one can tell, a connection to be sent on."""
        unsent = self.errors.get("pool_timeout", 0) + sum(self.connect_failures.values())
        return max(0, self.left - unsent)

    def each(self, *phases: str) -> float:
        """Mean seconds in these phases of a request that was sent, at least.

        Requests under way count as whole ones though their time is not over, so the mean is never
        too high: what it proves to have grown has grown.
        """
        requests = self.sent + self.held_now
        return self.time(*phases) / requests if requests else 0.0

    def each_at_most(self, *phases: str) -> float:
        """The same as an upper bound: requests under way give their time and don't count."""
        return self.time(*phases) / self.sent if self.sent else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolCase:
    """Everything that is known of one pool name: what a rule decides by."""

    label: str
    """Name and library."""
    provider: str | None
    library: str
    built_at: str | None
    process: ProcessSnapshot
    leak_threshold: float
    activity: Activity
    baseline: Activity | None
    """What happened before the period; None when there is nothing to compare with."""
    pools: tuple[PoolSnapshot, ...]
    """The live ones."""
    peak_active: int
    peak_queued: int
    longest_silence_failed: float

    @property
    def maximum(self) -> int | None:
        """The smallest limit of its live pools; None when all are unlimited, or none is left."""
        return min((p.max_connections for p in self.pools if p.max_connections), default=None)

    @property
    def queued_now(self) -> int:
        return sum(pool.queued for pool in self.pools)


def earlier(snapshot: Snapshot, previous: Snapshot | None) -> Snapshot | None:
    """``previous`` if it is an earlier snapshot of the same process, else None.

    By the monotonic clock since ``instrument()``, since the wall clock may be set back. A snapshot
    of a process before it forked, or of another installation, is none to compare with.
    """
    if previous is None or previous.process.pid != snapshot.process.pid:
        return None
    return previous if previous.uptime < snapshot.uptime else None


def pool_cases(snapshot: Snapshot, previous: Snapshot | None = None) -> list[PoolCase]:
    """One case per pool name, in the order of the totals.

    With an earlier ``previous`` its activity is what happened since then, and its baseline what had
    happened until then. Without, it is all that happened since ``instrument()``.
    """
    before = {_key(totals): totals for totals in previous.totals} if previous else {}
    return [
        _pool_case(snapshot, totals, previous, before.get(_key(totals)))
        for totals in snapshot.totals
    ]


def _key(totals: PoolTotals) -> tuple[str, str, str | None]:
    return totals.name, totals.library, totals.provider


def _pool_case(
    snapshot: Snapshot,
    totals: PoolTotals,
    previous: Snapshot | None,
    before: PoolTotals | None,
) -> PoolCase:
    start = previous.uptime if previous else 0.0
    baseline = _activity(before, None, start, _pools(previous, before)) if before else None
    pools = _pools(snapshot, totals)
    activity = _activity(totals, baseline, snapshot.uptime - start, pools)
    return PoolCase(
        label=totals.label,
        provider=totals.provider,
        library=totals.library,
        built_at=totals.built_at,
        process=snapshot.process,
        leak_threshold=snapshot.leak_threshold,
        activity=activity,
        baseline=baseline,
        pools=pools,
        peak_active=totals.peak_active,
        peak_queued=totals.peak_queued,
        longest_silence_failed=max(
            (origin.longest_silence_failed for origin in totals.origins), default=0.0
        ),
    )


def _pools(snapshot: Snapshot | None, totals: PoolTotals) -> tuple[PoolSnapshot, ...]:
    pools = snapshot.pools if snapshot is not None else ()
    return tuple(pool for pool in pools if pool.label == totals.label)


def _activity(
    totals: PoolTotals, before: Activity | None, period: float, pools: Iterable[PoolSnapshot]
) -> Activity:
    """The totals less what they were; never below 0, should counting have begun anew."""
    was = before or Activity()
    origins = totals.origins
    outcomes: Counter[str | None] = Counter()
    for origin in origins:
        for outcome in origin.outcomes:
            outcomes[outcome.error] += outcome.count
    phases = _sum(origin.phase_seconds for origin in origins)
    held_now = sum(
        count for origin in origins for phase, count in origin.requests_now.items() if phase in HELD
    )
    kept = _kept(pools, [origin.origin for origin in origins])
    return Activity(
        period=max(0.0, period),
        pools_opened=max(0, totals.pools_opened - was.pools_opened),
        connections_opened=max(0, totals.connections_opened - was.connections_opened),
        connections_closed=_less(totals.connections_closed, was.connections_closed),
        origins={
            # The kept ones are taken off on both sides, so that one which is kept since before
            # counts neither with itself nor with what it served meanwhile.
            origin.origin: _minus(
                _minus((origin.pools, origin.requests_entered), kept.get(origin.origin)),
                was.origins.get(origin.origin),
            )
            for origin in origins
        },
        entered=max(0, sum(origin.requests_entered for origin in origins) - was.entered),
        resent=max(0, sum(origin.requests_resent for origin in origins) - was.resent),
        protocols=tuple(sorted({name for origin in origins for name in origin.protocols})),
        phase_seconds={
            phase: max(0.0, time - was.phase_seconds.get(phase, 0.0))
            for phase, time in phases.items()
        },
        errors={
            error: max(0, count - was.errors.get(error, 0)) for error, count in outcomes.items()
        },
        timeouts=_less(_sum(origin.timeouts for origin in origins), was.timeouts),
        reuse_failures=max(0, sum(o.reuse_failures for o in origins) - was.reuse_failures),
        leaks=max(0, totals.leaks - was.leaks),
        anomalies=_less(totals.anomalies, was.anomalies),
        held_now=held_now,
    )


def _kept(pools: Iterable[PoolSnapshot], origins: list[str]) -> dict[str, tuple[int, int]]:
    """Pools and requests by origin, of the pools that are kept and serve that origin alone."""
    kept: dict[str, tuple[int, int]] = {}
    for pool in pools:
        if pool.requests_entered < CHURN_REQUESTS_PER_POOL:
            continue
        # A pool's requests are not known by origin, so they are where there is only one.
        seen = {connection.origin for connection in pool.connections}
        seen |= {request.origin for request in pool.requests}
        seen = seen or set(origins)
        if len(seen) == 1:
            (origin,) = seen
            count, requests = kept.get(origin, (0, 0))
            kept[origin] = (count + 1, requests + pool.requests_entered)
    return kept


def _minus(counts: tuple[int, int], less: tuple[int, int] | None) -> tuple[int, int]:
    pools, requests = less or (0, 0)
    return max(0, counts[0] - pools), max(0, counts[1] - requests)


def _sum(mappings: Iterable[Mapping[str, float]]) -> dict[str, float]:
    total: dict[str, float] = {}
    for mapping in mappings:
        for key, value in mapping.items():
            total[key] = total.get(key, 0) + value
    return total


def _less(now: Mapping[str, float], before: Mapping[str, float]) -> dict[str, int]:
    return {key: max(0, int(value) - int(before.get(key, 0))) for key, value in now.items()}
