"""What happened between two snapshots, per pool name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ..thresholds import CHURN_REQUESTS_PER_POOL
from .snapshot import Outcome, PoolSnapshot, PoolTotals, ProcessSnapshot, Snapshot

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

_ENDED_EARLY = ("cancelled", "read_timeout")
"""``error.type`` of requests that the provider may still have answered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Activity:
    """What all pools of one name did in a period. Times are seconds."""

    period: float = 0.0
    pools_opened: int = 0
    pools_synchronous: int = 0
    """Those among them that synchronous code uses, as far as that is known."""
    connections_opened: int = 0
    connections_closed: Mapping[str, int] = field(default_factory=dict)
    origins: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """Pools that asked for each origin for the first time, and requests for it, without the live
    pools that are known to be kept."""
    built_at: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """Call sites that built these pools, by origin, each with how many; where that is known."""
    entered: int = 0
    resent: int = 0
    """Requests among them that were not the first of their any-llm call."""
    protocols: tuple[str, ...] = ()
    """What the connections of its origins ever spoke."""
    phase_seconds: Mapping[str, float] = field(default_factory=dict)
    outcomes: tuple[Outcome, ...] = ()
    """Requests that left, by how; the outcomes of all origins together."""
    on_new_connection: int = 0
    """Requests that waited while their connection was established."""
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
    def errors(self) -> dict[str | None, int]:
        """Requests that left, by the contract's ``error.type``; None for those without one."""
        errors: Counter[str | None] = Counter()
        for outcome in self.outcomes:
            errors[outcome.error] += outcome.count
        return errors

    @property
    def left(self) -> int:
        """Requests that left the pool, however."""
        return sum(outcome.count for outcome in self.outcomes)

    @property
    def served(self) -> int:
        """Requests that the provider gave what they asked for."""
        return sum(outcome.count for outcome in self.outcomes if outcome.served)

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

    @property
    def connecting_time(self) -> float:
        """Seconds in ``connecting`` of the requests that got their connection, or still may."""
        failed = sum(o.held_seconds for o in self.outcomes if o.error in CONNECT_ERRORS)
        return max(self.time("connecting") - failed, 0.0)

    @property
    def first_attempts(self) -> int:
        """Requests that entered, less those that repeat one which failed.

        Some calls need several requests: without a failure a further one is no repetition.
        """
        failed = sum(outcome.count for outcome in self.outcomes if not outcome.served)
        return self.entered - min(self.resent, failed)

    @property
    def given_up_waiting(self) -> int:
        """First attempts that were cancelled or ended in a pool timeout."""
        return sum(
            outcome.count
            for outcome in self.outcomes
            if outcome.error in ("cancelled", "pool_timeout") and not outcome.resend
        )

    @property
    def lease_time(self) -> float:
        """Mean seconds for which a request holds its connection.

        Of requests that were served, and of those in flight, which count as whole ones.
        """
        held = self.time(*HELD) - sum(o.held_seconds for o in self.outcomes if not o.served)
        requests = self.served + self.held_now
        return max(held, 0.0) / requests if requests else 0.0

    def provider_time(self, *phases: str) -> float:
        """Mean seconds of a request in these of the provider's phases, at least.

        Requests in flight count as whole ones though their time is not over, so the mean is never
        too high: what it proves to have grown has grown.
        """
        return self._provider_time(phases, self.held_now)

    def provider_time_at_most(self, *phases: str) -> float:
        """Upper bound of ``provider_time``: includes the time of requests in flight but not their
        number."""
        return self._provider_time(phases, 0)

    def _provider_time(self, phases: Iterable[str], in_flight: int) -> float:
        """Mean of the requests that were served, or of these and those that ended early.

        The larger of the two. Requests that failed for another reason are in neither: a refusal
        takes no time, and would hide that the others take long. So would requests that were
        cancelled early, but those that were cancelled late show a provider that hangs.
        """
        phases = tuple(phases)

        def spent(outcomes: Iterable[Outcome]) -> float:
            return sum(o.provider_seconds.get(phase, 0.0) for o in outcomes for phase in phases)

        others = [outcome for outcome in self.outcomes if not outcome.served]
        early = [outcome for outcome in others if outcome.error in _ENDED_EARLY]
        time = max(self.time(*phases) - spent(others), 0.0)
        requests = self.served + in_flight
        with_early = requests + sum(outcome.sent for outcome in early)
        return max(
            time / requests if requests else 0.0,
            (time + spent(early)) / with_early if with_early else 0.0,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolCase:
    """Everything that is known of one pool name: what a rule decides by."""

    label: str
    """Name and library."""
    provider: str | None
    library: str
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
    def synchronous(self) -> bool:
        """Whether synchronous code uses most of these pools: of the live ones, if there are any."""
        if self.pools:
            return 2 * sum(pool.synchronous for pool in self.pools) > len(self.pools)
        return self.builds_synchronous

    @property
    def builds_synchronous(self) -> bool:
        """The same of the pools that were opened in the period."""
        return 2 * self.activity.pools_synchronous > self.activity.pools_opened

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


def _key(totals: PoolTotals) -> tuple[str, str]:
    return totals.name, totals.library


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
    phases = _sum(origin.phase_seconds for origin in origins)
    held_now = sum(
        count for origin in origins for phase, count in origin.requests_now.items() if phase in HELD
    )
    asked: dict[str, tuple[int, int]] = {}
    built_at: dict[str, Counter[str]] = {}
    for origin in origins:  # several providers can share one
        built, entered = asked.get(origin.origin, (0, 0))
        asked[origin.origin] = (built + origin.pools, entered + origin.requests_entered)
        built_at.setdefault(origin.origin, Counter()).update(origin.pools_built_at)
    kept, kept_at = _kept(pools, list(asked))
    return Activity(
        period=max(0.0, period),
        pools_opened=max(0, totals.pools_opened - was.pools_opened),
        pools_synchronous=max(0, totals.pools_synchronous - was.pools_synchronous),
        connections_opened=max(0, totals.connections_opened - was.connections_opened),
        connections_closed=_less(totals.connections_closed, was.connections_closed),
        origins={
            # The kept ones are taken off on both sides, so that one which is kept since before
            # counts neither with itself nor with what it served meanwhile.
            origin: _minus(_minus(counts, kept.get(origin)), was.origins.get(origin))
            for origin, counts in asked.items()
        },
        built_at={
            origin: _less(_less(sites, kept_at.get(origin, {})), was.built_at.get(origin, {}))
            for origin, sites in built_at.items()
        },
        entered=max(0, sum(origin.requests_entered for origin in origins) - was.entered),
        resent=max(0, sum(origin.requests_resent for origin in origins) - was.resent),
        protocols=tuple(sorted({name for origin in origins for name in origin.protocols})),
        phase_seconds={
            phase: max(0.0, time - was.phase_seconds.get(phase, 0.0))
            for phase, time in phases.items()
        },
        outcomes=_since([o for origin in origins for o in origin.outcomes], was.outcomes),
        on_new_connection=max(
            0, sum(o.requests_on_new_connection for o in origins) - was.on_new_connection
        ),
        timeouts=_less(_sum(origin.timeouts for origin in origins), was.timeouts),
        reuse_failures=max(0, sum(o.reuse_failures for o in origins) - was.reuse_failures),
        leaks=max(0, totals.leaks - was.leaks),
        anomalies=_less(totals.anomalies, was.anomalies),
        held_now=held_now,
    )


def _kept(
    pools: Iterable[PoolSnapshot], origins: list[str]
) -> tuple[dict[str, tuple[int, int]], dict[str, Counter[str]]]:
    """Pools and requests by origin, of the pools that are kept and serve that origin alone.

    Also how many of these pools each call site built, by origin.
    """
    kept: dict[str, tuple[int, int]] = {}
    built_at: dict[str, Counter[str]] = {}
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
            if pool.built_at is not None:
                built_at.setdefault(origin, Counter())[pool.built_at] += 1
    return kept, built_at


def _since(now: Iterable[Outcome], before: Iterable[Outcome]) -> tuple[Outcome, ...]:
    """The outcomes of all origins together, less those of before."""
    found: dict[tuple[Any, ...], Outcome] = {}
    for sign, outcomes in ((1, now), (-1, before)):
        for outcome in outcomes:
            key = outcome.status, outcome.error, outcome.resend
            none = Outcome(
                count=0, status=outcome.status, error=outcome.error, resend=outcome.resend
            )
            found[key] = _added(found.get(key, none), outcome, sign)
    return tuple(outcome for outcome in found.values() if outcome.count)


def _added(to: Outcome, more: Outcome, sign: int) -> Outcome:
    """Never below 0, should counting have begun anew."""
    phases = {*to.provider_seconds, *more.provider_seconds}
    return replace(
        to,
        count=max(0, to.count + sign * more.count),
        sent=max(0, to.sent + sign * more.sent),
        seconds=max(0.0, to.seconds + sign * more.seconds),
        held_seconds=max(0.0, to.held_seconds + sign * more.held_seconds),
        provider_seconds={
            phase: max(
                0.0,
                to.provider_seconds.get(phase, 0.0) + sign * more.provider_seconds.get(phase, 0.0),
            )
            for phase in phases
        },
    )


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
