"""Activity of each pool name between two snapshots."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from opentelemetry.instrumentation.gluellm import thresholds, vocabulary
from opentelemetry.instrumentation.gluellm.snapshots import parts
from opentelemetry.instrumentation.gluellm.snapshots.snapshot import Snapshot
from opentelemetry.instrumentation.gluellm.snapshots.windows import Window, Windows, named, summed
from opentelemetry.instrumentation.gluellm.vocabulary import Item, Subject

from .advice.advisor import Advisor, advisor_for
from .advice.own_clients import OwnClient
from .advice.servers import CONNECT_HELP

HELD = ("connecting", "stream_queued", "awaiting_response", "reading", "unread")
"""Phases of a request that has a connection."""
_OTHER_ORIGINS = "_OTHER"
"""Name in the telemetry contract for all origins beyond ``max_origins`` together."""
_OWN_TRANSPORT = " A transport ignores HTTPS_PROXY: pass it proxy=URL and all limits of the client."
_ENDED_EARLY = ("cancelled", "read_timeout")
"""``error.type`` of requests that the provider might still have answered."""


@dataclass(frozen=True, slots=True)
class NewPools:
    """Pools of a period that were used little: those that are gone, and live ones without use."""

    pools: Counter[str] = field(default_factory=Counter)
    """Number of these pools by origin, then their requests and the call sites that built them."""
    requests: Counter[str] = field(default_factory=Counter)
    built_at: dict[str, Counter[str]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Activity:
    """Activity of all pools of one name in a period. Times are seconds."""

    period: float
    items: Counter[Item]
    """What was counted, as ``watch/account.py`` names it."""
    outcomes: Sequence[parts.Outcome]
    """Requests that left the pool."""
    new: NewPools = field(default_factory=NewPools)
    held_now: int = 0
    """Requests that have a connection at the end of the period."""
    by_origin: Mapping[str, Counter[Item]] = field(default_factory=dict)
    """What was counted for each origin."""

    def time(self, *phases: str) -> float:
        """Return the seconds that requests spent in these phases; in all if none is given."""
        return sum(self.items["phase", phase] for phase in phases or vocabulary.PHASES)

    def number(self, *item: str) -> int:
        return int(self.items[item])

    def named(self, what: str) -> Any:
        """Return a Counter of the items with this first word, by their second word."""
        return named(self.items, what)

    @cached_property
    def errors(self) -> Counter[str | None]:
        """Requests that left the pool, by ``error.type``; the key None is for those without one."""
        errors: Counter[str | None] = Counter()
        for outcome in self.outcomes:
            errors[outcome.error] += outcome.count
        return errors

    @cached_property
    def left(self) -> int:
        """Number of requests that left the pool, with any outcome."""
        return sum(outcome.count for outcome in self.outcomes)

    @cached_property
    def served(self) -> int:
        """Number of requests with a successful answer of the provider."""
        return sum(outcome.count for outcome in self.outcomes if outcome.served)

    @cached_property
    def connect_failures(self) -> dict[str, int]:
        """Requests whose connection could not be established, by reason; most frequent first."""
        return {
            error: n for error, n in self.errors.most_common() if error in CONNECT_HELP and n > 0
        }

    @cached_property
    def sent(self) -> int:
        """Number of requests that left the pool, less those that certainly had no connection."""
        unsent = self.errors["pool_timeout"] + sum(self.connect_failures.values())
        return max(0, self.left - unsent)

    @cached_property
    def slowest_step(self) -> str | None:
        """Step of establishing connections that took the most time; None if none took any."""
        return next((step for step, time in self.named("step").most_common(1) if time > 0), None)

    @cached_property
    def churned_origins(self) -> list[str]:
        """Origins whose clients are built and thrown away after a request or two.

        Counted by origin, since one pool for each of ten hosts is no churn. Kept pools are left
        out, since one busy client would hide any number of calls that build their own.
        """
        return [
            origin
            for origin, pools in self.new.pools.items()
            if thresholds.is_churn(pools, self.new.requests[origin]) and origin != _OTHER_ORIGINS
        ]

    def provider_time(self, *phases: str, at_most: bool = False) -> float:
        """Return a lower bound of the mean seconds per request in these phases of the provider.

        Requests in flight count as whole ones although their time is not over. So the mean is never
        too high, and an increase is real. With ``at_most`` only their time counts and not their
        number: the mean is an upper bound.

        Returns the larger of two means: successful requests without and with those ended early.
        Requests that failed for other reasons are in neither: a refusal takes no time, and would
        hide that the others take long. Requests that were cancelled soon would hide it as well, but
        those that were cancelled late show a provider that hangs.
        """
        others = [outcome for outcome in self.outcomes if not outcome.served]
        # If connections were lost, it is unknown which requests waited for the provider.
        ended_early = () if self.number("lost_peers") else _ENDED_EARLY
        early = [outcome for outcome in others if outcome.error in ended_early]

        def spent(outcomes: Iterable[parts.Outcome]) -> float:
            return sum(o.provider_seconds.get(phase, 0.0) for o in outcomes for phase in phases)

        time = max(self.time(*phases) - spent(others), 0.0)
        requests = self.served + (0 if at_most else self.held_now)
        with_early = requests + sum(outcome.sent for outcome in early)
        return max(
            time / requests if requests else 0.0,
            (time + spent(early)) / with_early if with_early else 0.0,
        )


@dataclass(frozen=True, kw_only=True)
class PoolCase:
    """Everything known about one pool name: the input of a rule. Each field is built once."""

    totals: parts.PoolTotals
    process: parts.ProcessSnapshot
    leak_threshold: float
    age: float
    """Seconds since ``instrument()``."""
    activity: Activity
    baseline: Activity | None
    """Activity before the period; None if there is nothing to compare with."""
    pools: tuple[parts.PoolSnapshot, ...]
    """Live pools of this name."""
    origin: str = ""
    """Origin that the case is restricted to (see `of_limited_origin`); empty for the whole pool."""
    loop_is_blocked: bool = False
    """Whether late event loops may explain waits and slowness."""
    lately: tuple[PoolCase, ...] = ()
    """The same pool name in shorter periods up to now, the shortest first."""
    account: parts.Account = field(default_factory=parts.Account)
    calls: tuple[parts.CallsSnapshot, ...] = ()
    """All calls of the process in the period."""
    limited: bool = False
    """Whether its calls wait in GlueLLM's limiter rather than for a connection."""
    replay: bool = True
    """Whether its requests may be replayed, which is costly: one pool name has it."""

    @property
    def label(self) -> str:
        """Name and library, for example ``openai/httpx2``."""
        return self.totals.label

    @cached_property
    def only_attempts(self) -> bool:
        """Whether each request is a call of its own (source ``http``), as far as is known."""
        return {one.source for one in self.calls if self.serves(one.provider)} == {"http"}

    def serves(self, provider: str | None) -> bool:
        return any(origin.provider == provider for origin in self.totals.origins)

    @cached_property
    def advisor(self) -> Advisor | OwnClient:
        """Advisor on the clients of these pools."""
        return advisor_for(
            self.totals.provider,
            self.totals.library,
            gluellm=self.process.gluellm,
            synchronous=self.synchronous,
            any_llm=self.process.any_llm,
            imported=self.process.frameworks,
        )

    @cached_property
    def requests(self) -> list[parts.RequestSnapshot]:
        """Requests in its live pools."""
        return [request for pool in self.pools for request in pool.requests]

    @cached_property
    def connections(self) -> list[parts.ConnectionSnapshot]:
        """Connections of its live pools."""
        return [connection for pool in self.pools for connection in pool.connections]

    @cached_property
    def lost(self) -> list[parts.RequestSnapshot]:
        """Requests whose connection is lost.

        Not all connections are checked. If all that were checked are lost, the other requests that
        have waited as long count as lost as well.
        """
        checked = [request for request in self.requests if request.peer]
        lost = [request for request in checked if request.lost_peer]
        if not lost or len(lost) < len(checked):
            return lost
        after = self.process.peer_check_after or 0.0
        return [
            r for r in self.requests if r.phase in parts.PROVIDERS_PART and r.phase_age >= after
        ]

    @cached_property
    def recent(self) -> float:
        """Seconds before now that the latest failures and answers cover together."""
        period = self.activity.period if self.baseline else thresholds.RECENT
        failures, answers = self.totals.failures, self.totals.answers
        rings = (failures, vocabulary.MOST_FAILED), (answers, vocabulary.MOST_ANSWERED)
        return min([period, *(ring[0].ago for ring, most in rings if len(ring) >= most)])

    @cached_property
    def failures(self) -> list[parts.Failure]:
        return [one for one in self.totals.failures if one.ago <= self.recent]

    @cached_property
    def answers(self) -> list[parts.Answer]:
        return [one for one in self.totals.answers if one.ago <= self.recent]

    @cached_property
    def recent_requests(self) -> int:
        """Number of requests that ``failures`` and ``answers`` stand for."""
        return len(self.failures) + sum(answer.number for answer in self.answers)

    @cached_property
    def kept_answers(self) -> list[parts.Answer]:
        """All answers that are known, each of them once."""
        latest = self.totals.answers
        since = max((one.ago for one in latest), default=0.0)
        return [*(one for one in self.totals.earlier_answers if one.ago > since), *latest]

    @cached_property
    def growth(self) -> float:
        """How many times as many requests arrive as before, repeated ones apart; 0 if unknown."""
        before, now = self.baseline, self.activity
        first = before.number("entered") - before.number("resent") if before else 0
        if before is None or first < thresholds.BASELINE_REQUESTS or not now.period:
            return 0.0
        # Nothing arrived before the first request.
        since = max((pool.age for pool in self.pools), default=0.0) - now.period
        earlier = min(before.period, since) if since > 0 else before.period
        return (now.number("entered") - now.number("resent")) / now.period * earlier / first

    @cached_property
    def is_young(self) -> bool:
        """Whether the process is too young for a baseline."""
        return self.baseline is None and self.age < 2 * thresholds.RECENT

    @cached_property
    def compared_answers(self) -> tuple[list[parts.Answer], list[parts.Answer]]:
        """Latest answers, and earlier ones.

        In a young process, these are the answers of the last and of the first third of its life.
        """
        recent, kept = self.recent, self.kept_answers
        if self.is_young:
            third = self.age / 3
            now = [one for one in kept if one.ago <= third]
            return now, [one for one in kept if one.ago > 2 * third]
        return self.answers, [one for one in kept if one.ago > recent]

    @cached_property
    def maximum(self) -> int | None:
        """Smallest limit of its live pools; None if all are unlimited or none is left."""
        return min((p.max_connections for p in self.pools if p.max_connections), default=None)

    @cached_property
    def probe(self) -> str:
        """Advice to turn SO_KEEPALIVE on; empty unless it is known to be off."""
        off = any(pool.tcp_keepalive is False for pool in self.pools)
        how = f" Switch SO_KEEPALIVE on: {self.advisor.probe_idle(self.maximum)}." if off else ""
        return how + _OWN_TRANSPORT * ("transport=" in how)

    @cached_property
    def synchronous(self) -> bool:
        """Whether synchronous code uses most live pools, or most opened ones if none is live."""
        if self.pools:
            return 2 * sum(pool.synchronous for pool in self.pools) > len(self.pools)
        return 2 * self.totals.pools_synchronous > self.totals.pools_opened

    @cached_property
    def queued_now(self) -> int:
        return sum(pool.queued for pool in self.pools)

    @cached_property
    def queue_matters(self) -> bool:
        """Whether requests wait for connections to a relevant extent."""
        activity = self.activity
        queued, spent = activity.time("queued"), activity.time()
        requests = activity.left + activity.held_now + self.queued_now
        timeouts = activity.number("timeout", "pool")
        if timeouts and timeouts >= thresholds.POOL_TIMEOUT_SHARE * activity.left:
            return True
        return (
            requests >= thresholds.QUEUED_REQUESTS
            and queued >= thresholds.QUEUED_SHARE * spent
            and queued >= max(thresholds.QUEUED_TIME * requests, thresholds.WAIT_NOTICED)
            and spent > 0
        )

    @cached_property
    def of_limited_origin(self) -> PoolCase:
        """The case of the origin whose queue matters most, as if it had pools of its own.

        The case itself unless pools limit the connections to each origin, and only that limit can
        have made requests queue.
        """
        # In a busy origin, short waits add up to more than the long ones of another. So what counts
        # is the time in the queue, multiplied by its share of all time.
        queued = {
            origin: its["phase", "queued"] ** 2 / max(named(its, "phase").total(), 1.0)
            for origin, its in self.activity.by_origin.items()
        }
        limits = [pool.max_connections_per_origin for pool in self.pools]
        was_full = self.maximum is not None and self.totals.peak_active >= self.maximum
        if was_full or not queued or None in limits or not limits:
            return self
        origin = max(queued, key=lambda one: queued[one])
        pools = tuple(
            replace(
                pool,
                max_connections=pool.max_connections_per_origin,
                connections=tuple(c for c in pool.connections if c.origin == origin),
                requests=tuple(r for r in pool.requests if r.origin == origin),
            )
            for pool in self.pools
        )
        requests = (request for pool in pools for request in pool.requests)
        held = parts.number_of(request for request in requests if request.held is not None)
        return replace(
            self,
            origin=origin,
            pools=pools,
            activity=replace(to_origin(self.activity, origin), held_now=held),
            baseline=self.baseline and to_origin(self.baseline, origin),
        )


@dataclass(frozen=True, slots=True)
class ProcessCase:
    """A process in a period: the input of a rule on the whole process."""

    snapshot: Snapshot
    before: Snapshot | None
    """Snapshot from the period's beginning; None if that is the time of ``instrument()``."""
    pools: Sequence[PoolCase]

    @property
    def process(self) -> parts.ProcessSnapshot:
        return self.snapshot.process


def earlier(snapshot: Snapshot, previous: Snapshot | None) -> Snapshot | None:
    """Return ``previous`` if it is an earlier snapshot of the same process, else None.

    Compares the monotonic time since ``instrument()``, because the wall clock may be set back. A
    snapshot from before a fork, or of another installation, cannot be compared.
    """
    if previous is None or previous.process.pid != snapshot.process.pid:
        return None
    return previous if previous.uptime < snapshot.uptime else None


def since(snapshot: Snapshot, previous: Snapshot) -> Windows:
    """Return the time since ``previous``, and all the time before."""
    numbers, now = summed([snapshot.account.total]), snapshot.uptime
    before, then = summed([previous.account.total]), previous.uptime
    for subject, items in before.items():
        numbers.setdefault(subject, Counter()).subtract(items)
    recent = Window(now - then, {subject: +items for subject, items in numbers.items() if +items})
    return Windows(recent, recent, recent, Window(then, before))


def calls_in(snapshot: Snapshot, window: Window) -> tuple[parts.CallsSnapshot, ...]:
    """Return the calls that ended in a period, and the calls in flight now."""
    return tuple(
        replace(one, **parts.calls_counted(window.of_calls(one.provider, one.source)))
        for one in snapshot.process.calls
    )


def pool_cases(snapshot: Snapshot, compared: Windows) -> list[PoolCase]:
    """Return one case per pool name, in the order of the totals."""
    cases = []
    for totals in snapshot.totals:
        held = sum(o.requests_now.get(phase, 0) for o in totals.origins for phase in HELD)

        def its(subject: Subject, label: str = totals.label) -> bool:
            return subject[0] == label

        pools = tuple(pool for pool in snapshot.pools if pool.label == totals.label)
        activity = replace(activity_of(compared.recent, its), held_now=held)
        baseline = activity_of(compared.before, its) if compared.before else None
        case = PoolCase(
            totals=totals,
            process=snapshot.process,
            leak_threshold=snapshot.leak_threshold,
            age=snapshot.uptime,
            activity=replace(activity, new=_new_pools(activity, totals, pools)),
            baseline=baseline and replace(baseline, new=_new_pools(baseline, totals, ())),
            pools=pools,
            account=snapshot.account,
        )
        cases.append(replace(case, activity=_without_lost(case)))
    return cases


def activity_of(window: Window, is_its: Callable[[Subject], bool]) -> Activity:
    """Return what these subjects did in a window."""
    found: Counter[Item] = Counter()
    origins: dict[str, Counter[Item]] = {}
    outcomes: list[parts.Outcome] = []
    for subject, items in window.numbers.items():
        if is_its(subject):
            found.update(items)
            if subject[1] is not None:
                origins.setdefault(subject[1], Counter()).update(items)
            outcomes += (parts.outcome_of(items, one) for one in items if one[0] == "left")
    return Activity(period=window.period, items=found, outcomes=outcomes, by_origin=origins)


def to_origin(activity: Activity, origin: str) -> Activity:
    """Return what was counted for one origin."""
    items = activity.by_origin.get(origin, Counter())
    outcomes = [parts.outcome_of(items, item) for item in items if item[0] == "left"]
    return replace(activity, items=items, outcomes=outcomes, by_origin={origin: items})


def _without_lost(case: PoolCase) -> Activity:
    """Return the activity without the waits of requests that do not wait for the provider."""
    items: Any = Counter(case.activity.items)
    for request in case.lost:
        time = request.number * min(request.phase_age, case.activity.period)
        items["phase", request.phase] = max(0.0, items["phase", request.phase] - time)
    held_now = max(0, case.activity.held_now - parts.number_of(case.lost))
    return replace(case.activity, items=items, held_now=held_now)


def _new_pools(
    activity: Activity, totals: parts.PoolTotals, pools: Iterable[parts.PoolSnapshot]
) -> NewPools:
    """Return the pools that are gone since the period began, and live ones with few requests.

    A live pool with at least ``CHURN_REQUESTS_PER_POOL`` requests is kept. One that serves several
    origins is left out, since a pool does not count its requests by origin.
    """
    opened: Counter[str] = Counter()
    requests: Counter[str] = Counter()
    built_at: dict[str, Counter[str]] = {}
    for totals_of in totals.origins:  # several providers can share an origin
        built_at.setdefault(totals_of.origin, Counter()).update(totals_of.pools_built_at)
    for origin, items in activity.by_origin.items():
        opened[origin] += int(items["pools_gone",])
        requests[origin] += int(items["requests_gone",])
    for pool in pools:
        served = {connection.origin for connection in pool.connections}
        served |= {request.origin for request in pool.requests}
        if len(served := served or set(built_at)) != 1:
            continue
        (only,) = served
        if pool.requests_entered >= thresholds.CHURN_REQUESTS_PER_POOL:
            built_at.setdefault(only, Counter())[pool.built_at or ""] -= 1
        elif pool.age <= activity.period:
            opened[only] += 1
            requests[only] += pool.requests_entered
    return NewPools(opened, requests, {origin: +sites for origin, sites in built_at.items()})
