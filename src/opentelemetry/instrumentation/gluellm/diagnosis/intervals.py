"""Activity of each pool name between two snapshots."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ..thresholds import CHURN_REQUESTS_PER_POOL
from .parts import Outcome, PoolSnapshot, PoolTotals, ProcessSnapshot
from .snapshot import Snapshot

HELD = ("connecting", "stream_queued", "awaiting_response", "reading", "unread")
"""Phases of a request that has a connection."""
PROVIDERS_PART = ("awaiting_response", "reading")
"""Phases in which the provider works on a request."""
CONNECT_ERRORS = (
    "connect_timeout",
    "name_resolution_error",
    "connection_error",
    "secure_connection_error",
    "too_many_open_files",
    "no_local_ports",
)
"""``error.type`` of requests whose connection was never established, as in the contract."""

_ENDED_EARLY = ("cancelled", "read_timeout")
"""``error.type`` of requests that the provider might still have answered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Activity:
    """Activity of all pools of one name in a period. Times are seconds."""

    period: float = 0.0
    pools_opened: int = 0
    pools_synchronous: int = 0
    """Opened pools that synchronous code uses, as far as that is known."""
    connections_opened: int = 0
    connections_closed: Mapping[str, int] = field(default_factory=dict)
    origins: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """By origin: pools that had their first request to it, and requests to it. Live pools that are
    known to be kept are excluded (`_kept`)."""
    built_at: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """By origin: call sites that built these pools and how many each built, where known."""
    entered: int = 0
    resent: int = 0
    """Entered requests that were not the first of their any-llm call."""
    protocols: tuple[str, ...] = ()
    """Protocols of its connections so far, before the period included."""
    phase_seconds: Mapping[str, float] = field(default_factory=dict)
    outcomes: tuple[Outcome, ...] = ()
    """Requests that left the pool, by outcome, for all origins together."""
    on_new_connection: int = 0
    """Requests that waited while their connection was established."""
    timeouts: Mapping[str, int] = field(default_factory=dict)
    reuse_failures: int = 0
    leaks: int = 0
    anomalies: Mapping[str, int] = field(default_factory=dict)
    held_now: int = 0
    """Requests that have a connection at the end of the period."""

    def time(self, *phases: str) -> float:
        """Return the seconds that requests spent in these phases; in all if none is given."""
        if not phases:
            return sum(self.phase_seconds.values())
        return sum(self.phase_seconds.get(phase, 0.0) for phase in phases)

    @property
    def errors(self) -> dict[str | None, int]:
        """Requests that left the pool, by ``error.type``; the key None is for those without one."""
        errors: Counter[str | None] = Counter()
        for outcome in self.outcomes:
            errors[outcome.error] += outcome.count
        return errors

    @property
    def left(self) -> int:
        """Number of requests that left the pool, with any outcome."""
        return sum(outcome.count for outcome in self.outcomes)

    @property
    def served(self) -> int:
        """Number of requests with a successful answer of the provider."""
        return sum(outcome.count for outcome in self.outcomes if outcome.served)

    @property
    def connect_failures(self) -> dict[str, int]:
        """Requests whose connection could not be established, by reason; most frequent first."""
        failed = [(error, self.errors.get(error, 0)) for error in CONNECT_ERRORS]
        return {
            error: count for error, count in sorted(failed, key=lambda pair: -pair[1]) if count > 0
        }

    @property
    def sent(self) -> int:
        """Number of requests that left the pool, less those that certainly had no connection."""
        unsent = self.errors.get("pool_timeout", 0) + sum(self.connect_failures.values())
        return max(0, self.left - unsent)

    @property
    def connecting_time(self) -> float:
        """Seconds in ``connecting``, less those of requests that got no connection."""
        failed = sum(o.held_seconds for o in self.outcomes if o.error in CONNECT_ERRORS)
        return max(self.time("connecting") - failed, 0.0)

    @property
    def first_attempts(self) -> int:
        """Number of requests that entered, less those that repeat a failed one.

        Some calls need several requests. So no more repetitions are assumed than requests failed.
        """
        failed = sum(outcome.count for outcome in self.outcomes if not outcome.served)
        return self.entered - min(self.resent, failed)

    @property
    def given_up_waiting(self) -> int:
        """Number of first attempts that were cancelled or ended in a pool timeout."""
        return sum(
            outcome.count
            for outcome in self.outcomes
            if outcome.error in ("cancelled", "pool_timeout") and not outcome.resend
        )

    @property
    def lease_time(self) -> float:
        """Mean seconds for which a request holds its connection.

        Covers successful requests and requests in flight; each of the latter counts as a whole one.
        """
        held = self.time(*HELD) - sum(o.held_seconds for o in self.outcomes if not o.served)
        requests = self.served + self.held_now
        return max(held, 0.0) / requests if requests else 0.0

    def provider_time(self, *phases: str) -> float:
        """Return a lower bound of the mean seconds per request in these phases of the provider.

        Requests in flight count as whole ones although their time is not over. So the mean is never
        too high, and an increase is real.
        """
        return self._provider_time(phases, self.held_now)

    def provider_time_at_most(self, *phases: str) -> float:
        """Return an upper bound of the mean seconds per request in these phases.

        It includes the time of requests in flight, but not their number.
        """
        return self._provider_time(phases, 0)

    def _provider_time(self, phases: Iterable[str], in_flight: int) -> float:
        """Return the larger of two means: successful requests without and with those ended early.

        Requests that failed for other reasons are in neither: a refusal takes no time, and would
        hide that the others take long. Requests that were cancelled soon would hide it as well, but
        those that were cancelled late show a provider that hangs.
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
    """Everything known about one pool name: the input of a rule."""

    label: str
    """Name and library, for example ``openai/httpx2``."""
    provider: str | None
    library: str
    process: ProcessSnapshot
    leak_threshold: float
    activity: Activity
    baseline: Activity | None
    """Activity before the period; None if there is nothing to compare with."""
    pools: tuple[PoolSnapshot, ...]
    """Live pools of this name."""
    peak_active: int
    peak_queued: int
    longest_silence_failed: float

    @property
    def maximum(self) -> int | None:
        """Smallest limit of its live pools; None if all are unlimited or none is left."""
        return min((p.max_connections for p in self.pools if p.max_connections), default=None)

    @property
    def synchronous(self) -> bool:
        """Whether synchronous code uses most live pools, or most opened ones if none is live."""
        if self.pools:
            return 2 * sum(pool.synchronous for pool in self.pools) > len(self.pools)
        return self.builds_synchronous

    @property
    def builds_synchronous(self) -> bool:
        """Whether synchronous code uses most of the pools that were opened in the period."""
        return 2 * self.activity.pools_synchronous > self.activity.pools_opened

    @property
    def queued_now(self) -> int:
        return sum(pool.queued for pool in self.pools)


def earlier(snapshot: Snapshot, previous: Snapshot | None) -> Snapshot | None:
    """Return ``previous`` if it is an earlier snapshot of the same process, else None.

    Compares the monotonic time since ``instrument()``, because the wall clock may be set back. A
    snapshot from before a fork, or of another installation, cannot be compared.
    """
    if previous is None or previous.process.pid != snapshot.process.pid:
        return None
    return previous if previous.uptime < snapshot.uptime else None


def pool_cases(snapshot: Snapshot, previous: Snapshot | None = None) -> list[PoolCase]:
    """Return one case per pool name, in the order of the totals.

    With an earlier ``previous``, the activity is what happened since then and the baseline what
    happened before. Without it, the activity covers everything since ``instrument()``.
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
    """Return the totals less those in ``before``; never below 0, even if counting restarted."""
    was = before or Activity()
    origins = totals.origins
    phases = _sum(origin.phase_seconds for origin in origins)
    held_now = sum(
        count for origin in origins for phase, count in origin.requests_now.items() if phase in HELD
    )
    asked: dict[str, tuple[int, int]] = {}
    built_at: dict[str, Counter[str]] = {}
    for origin in origins:  # several providers can share an origin
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
            # Kept pools are subtracted on both sides. So for a pool that was kept before the
            # period, neither the pool nor the requests that it served in the period count.
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
    """Return pools and requests by origin, of live pools that are kept and serve one origin.

    A pool is kept if it had at least ``CHURN_REQUESTS_PER_POOL`` requests. Also returns, by origin,
    how many of these pools each call site built.
    """
    kept: dict[str, tuple[int, int]] = {}
    built_at: dict[str, Counter[str]] = {}
    for pool in pools:
        if pool.requests_entered < CHURN_REQUESTS_PER_POOL:
            continue
        # A pool does not count its requests by origin, so only a single origin is certain.
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
    """Return the outcomes of all origins together, less those in ``before``."""
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
    """Return the sum or difference; never below 0, even if counting restarted."""
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
