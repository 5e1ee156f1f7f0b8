"""Builders of snapshots: a healthy process, with the changes that a test needs."""

from array import array
from base64 import b64encode
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from gluellm_diagnosis.diagnose import diagnose
from gluellm_diagnosis.findings import Finding, Kind, Severity
from opentelemetry.instrumentation.gluellm.snapshots.parts import (
    Account,
    AccountRow,
    CallsSnapshot,
    ConnectionSnapshot,
    OriginTotals,
    Outcome,
    PoolSnapshot,
    PoolTotals,
    ProcessSnapshot,
    RequestSnapshot,
)
from opentelemetry.instrumentation.gluellm.snapshots.snapshot import Snapshot
from opentelemetry.instrumentation.gluellm.vocabulary import TICKS

ORIGIN = "api.test:443"
BLOCKED = {"event_loop_lag": 0.5, "event_loop_late": 40.0, "event_loop_late_share": 0.4}
"""Fields of a process whose event loop is late for 40 % of the time, by at most 0.5 s."""
PHASES = ("queued", "connecting", "stream_queued", "awaiting_response", "reading", "unread")
HEALTHY_TIMES = dict(zip(PHASES, (0.0, 0.001, 0.0, 0.3, 0.5, 0.005), strict=True))
"""Mean seconds of a healthy request in each phase."""


def a_connection(state: str = "idle", **changes: Any) -> ConnectionSnapshot:
    used = {"protocol": "1.1", "age": 30.0, "requests_served": 10}
    return ConnectionSnapshot(**{"origin": ORIGIN, "state": state, **used, **changes})


def a_request(phase: str = "reading", phase_age: float = 0.5, **changes: Any) -> RequestSnapshot:
    held = None if phase == "queued" else phase_age
    now = {"phase": phase, "phase_age": phase_age, "age": phase_age, "held": held}
    whose = {"origin": ORIGIN, "provider": "openai", "model": "gpt-4o"}
    return RequestSnapshot(**{**whose, **now, **changes})


def the_calls(**changes: Any) -> CallsSnapshot:
    """Ten calls that succeeded, with almost all of their time in requests; none is in flight."""
    stages = ("limited", "preparing", "requesting", "backoff", "finishing")
    none = {"now": dict.fromkeys(stages, 0), "oldest": dict.fromkeys(stages, 0.0)}
    times = {**dict.fromkeys(stages, 0.0), "preparing": 0.2, "requesting": 9.8}
    outcomes = {"succeeded": 10, "abandoned": 0, "cancelled": 0, "failed": 0}
    ended = {"stage_seconds": times, "outcomes": outcomes}
    whose = {"provider": "openai", "source": "any_llm"}
    return CallsSnapshot(**{**whose, **none, **ended, **changes})


NAMES = {"name": "openai", "provider": "openai", "library": "httpx2"}
LIMITS = {"max_connections": 10, "max_idle_connections": 10, "keepalive_expiry": 5.0}
TIMEOUTS = {"pool_timeout": 10.0, "read_timeout": 600.0}


Times = tuple[float, float, float]
"""A request's arrival, its wait and its time with a connection (-1: it got none)."""


def leases(times: Iterable[Times], now: float) -> str:
    """A pool's ``leases`` with these requests, in a snapshot at ``now``."""
    packed = array("i")
    for arrival, wait, hold in times:
        ticks = (round(TICKS * (now - arrival)), round(TICKS * wait), round(TICKS * hold))
        packed.extend(ticks if hold >= 0 else (*ticks[:2], -1))
    return b64encode(packed.tobytes()).decode()


def by_callers(
    number: int, connections: int, hold: float, requests: int, pause: float = 0.001
) -> list[Times]:
    """Requests of ``number`` callers, each of which sends the next one after its answer."""
    times, free, callers = [], [hold * i / connections for i in range(connections)], [0.0] * number
    for _ in range(requests):
        arrival = min(callers)
        start = max(arrival, min(free))
        times.append((arrival, start - arrival, hold))
        free[free.index(min(free))] = start + hold
        callers[callers.index(arrival)] = start + hold + pause
    return times


def a_pool(
    requests: Sequence[RequestSnapshot] = (),
    connections: Sequence[ConnectionSnapshot] = (),
    **changes: Any,
) -> PoolSnapshot:
    there = {"requests": tuple(requests), "connections": tuple(connections)}
    age = {"age": 90.0, "requests_entered": 100}
    return PoolSnapshot(**{**NAMES, **age, **LIMITS, **TIMEOUTS, **there, **changes})


def the_totals(
    requests: int = 100,
    each: dict[str, float] | None = None,
    errors: dict[str, int] | None = None,
    now: dict[str, int] | None = None,
    origin: dict[str, Any] | None = None,
    **changes: Any,
) -> PoolTotals:
    """Totals of ended ``requests``, some with ``errors``, and of others that are in flight ``now``.

    ``each`` is added to the healthy seconds in each phase of an ended request. Those in flight add
    none.
    """
    errors = errors or {}
    now = now or {}
    times = {phase: time + (each or {}).get(phase, 0.0) for phase, time in HEALTHY_TIMES.items()}
    fine = requests - sum(errors.values())
    kinds = {"pool_timeout": "pool", "connect_timeout": "connect", "read_timeout": "read"}
    outcomes = [Outcome(count=fine, status=200)] if fine else []
    outcomes += [Outcome(count=count, error=error) for error, count in errors.items()]
    counts = {"pools": 1, "requests_entered": requests + sum(now.values())}
    phases = {
        "phase_seconds": {phase: times[phase] * requests for phase in PHASES},
        "requests_now": {phase: now.get(phase, 0) for phase in PHASES},
    }
    timeouts = {kind: errors.get(error, 0) for error, kind in kinds.items()}
    ended = {"outcomes": tuple(outcomes), "timeouts": timeouts}
    only = OriginTotals(**{"origin": ORIGIN, **counts, **phases, **ended, **(origin or {})})
    pools = {"pools_opened": 1, "pools_live": 1, "pools_discarded": 0}
    opened = {"connections_opened": 4, "connections_closed": {"keepalive_expired": 0}}
    peaks = {"peak_active": 4, "peak_queued": 0}
    odd = {"requeues": 0, "leaks": 0, "anomalies": {}}
    return PoolTotals(**{**NAMES, **pools, **opened, **peaks, **odd, "origins": (only,), **changes})


def a_snapshot(
    totals: PoolTotals | Sequence[PoolTotals] = (),
    *pools: PoolSnapshot,
    uptime: float = 100.0,
    leak_threshold: float = 60.0,
    account: Account = Account(),  # noqa: B008 - frozen
    **process: Any,
) -> Snapshot:
    descriptors = {"open_descriptors": 50, "descriptor_limit": 1024}
    loop = {"event_loop_lag": 0.01, "event_loop_late": 0.0, "event_loop_late_share": 0.0}
    all_totals = (totals,) if isinstance(totals, PoolTotals) else tuple(totals or (the_totals(),))
    calls = process.get("calls", ())
    whole = {**counted(all_totals, calls, pools), **account.total}
    # Without rows of its own, all of it was in the last minutes.
    rows = account.rows or (AccountRow(since=0.0, until=uptime, numbers=whole),)
    return Snapshot(
        taken_at=1_800_000_000.0 + uptime,
        uptime=uptime,
        leak_threshold=leak_threshold,
        account=replace(account, row=account.row or 1.0, total=whole, rows=rows),
        process=ProcessSnapshot(**{"pid": 17, **descriptors, **loop, **process}),
        pools=pools or (a_pool(),),
        totals=all_totals,
    )


def counted(
    totals: Sequence[PoolTotals], calls: Sequence[CallsSnapshot], live: Sequence[PoolSnapshot] = ()
) -> Any:
    """The account's totals for a process with these totals, calls and live pools."""
    found: dict[Any, dict[Any, float]] = {}
    for one in calls:
        of_calls = found["calls", one.source, one.provider] = {}
        for what, counts in (
            ("stage", one.stage_seconds),
            ("outcome", one.outcomes),
            ("error", one.errors),
        ):
            of_calls |= {(what, name): count for name, count in counts.items()}
        for what in "retries attempts_repeated pauses pauses_requested limited turns".split():
            of_calls[what,] = getattr(one, what)
    for pool in totals:
        items = found[pool.label, None, None] = {
            ("opened",): pool.connections_opened,
            ("leaks",): pool.leaks,
        }
        items |= {("closed", reason): n for reason, n in pool.connections_closed.items()}
        items |= {("anomaly", anomaly): n for anomaly, n in pool.anomalies.items()}
        for origin in pool.origins:
            items = found[pool.label, origin.origin, origin.provider] = {
                ("entered",): origin.requests_entered,
                ("resent",): origin.requests_resent,
                ("on_new_connection",): origin.requests_on_new_connection,
                ("reuse_failures",): origin.reuse_failures,
                ("lost_peers",): origin.requests_lost_peer,
            }
            # At least one pool is alive. The others had the requests that the live ones had not.
            gone = max(origin.pools - max(len(live), 1), 0)
            served = sum(one.requests_entered for one in live)
            items["pools_gone",] = gone
            items["requests_gone",] = max(origin.requests_entered - served, gone) if gone else 0
            items |= {("phase", phase): time for phase, time in origin.phase_seconds.items()}
            items |= {("step", step): time for step, time in origin.set_up_seconds.items()}
            items |= {("timeout", kind): count for kind, count in origin.timeouts.items()}
            for one in origin.outcomes:
                key = (one.status or 0, one.error, one.resend)
                items["left", *key] = one.count
                items["sent", *key] = one.sent
                times = {"total": one.seconds, "held": one.held_seconds, **one.provider_seconds}
                items |= {("left_time", *key, part): time for part, time in times.items()}
    return {subject: {k: v for k, v in items.items() if v} for subject, items in found.items()}


def kinds(snapshot: Snapshot, previous: Snapshot | None = None) -> list[Kind]:
    """Kinds of the findings of severity WARNING and ERROR."""
    return [f.kind for f in diagnose(snapshot, previous) if f.severity is not Severity.INFO]


def all_kinds(snapshot: Snapshot, previous: Snapshot | None = None) -> list[Kind]:
    return [finding.kind for finding in diagnose(snapshot, previous)]


def found(kind: Kind, snapshot: Snapshot, previous: Snapshot | None = None) -> Finding:
    """The one finding of this kind."""
    (finding,) = [f for f in diagnose(snapshot, previous) if f.kind is kind]
    return finding


# The account


def of_calls(
    ended: int,
    each: dict[str, float] | None = None,
    errors: dict[str, int] | None = None,
    cancelled: int = 0,
    retries: int = 0,
    took: float = 2.0,
    **phases: float,
) -> dict[Any, dict[Any, float]]:
    """A minute of calls to openai and their requests: ``each`` has seconds per call by stage.

    Requests take the time of the stage requesting, by ``phases`` or all of it reading.
    """
    errors = errors or {}
    stages = {"preparing": 0.01, "requesting": 1.0, **(each or {})}
    failed = sum(errors.values())
    phases = phases or {"reading": stages["requesting"]}
    outcomes = {"succeeded": ended - failed - cancelled, "cancelled": cancelled, "failed": failed}
    calls: dict[Any, float] = {("stage", stage): time * ended for stage, time in stages.items()}
    calls |= {("outcome", outcome): count for outcome, count in outcomes.items() if count}
    calls |= {("error", error): count for error, count in errors.items()}
    calls |= {("took", took): ended, ("retries",): retries}
    requests: dict[Any, float] = {("phase", name): time * ended for name, time in phases.items()}
    requests |= {("entered",): ended + retries, ("took", took): ended}
    left = {("left", 200, None, False): ended - failed}
    for error, count in errors.items():
        status = int(error) if error.isdecimal() else 0
        left["left", status, None if status else error, False] = count + retries
    requests |= {item: count for item, count in left.items() if count}
    return {
        ("calls", "any_llm", "openai"): calls,
        ("openai/httpx2", ORIGIN, "openai"): requests,
        ("openai/httpx2", None, None): {("opened",): 1},
    }


def an_account(*minutes: dict[Any, dict[Any, float]], row: float = 60.0) -> dict[str, Any]:
    """The account and the uptime of a process with these minutes."""
    rows = [
        AccountRow(since=row * number, until=row * (number + 1), numbers=numbers)
        for number, numbers in enumerate(minutes)
    ]
    total: dict[Any, Counter[Any]] = {}
    for minute in minutes:
        for subject, items in minute.items():
            total.setdefault(subject, Counter()).update(items)
    account = Account(row=row, total=total, rows=tuple(rows))
    return {"account": account, "uptime": row * len(minutes)}
