"""Diagnosis: from snapshots to findings.

The time per phase shows the cause. If ``queued`` grows while the lease time stays the same, the
pool is too small. If ``awaiting_response`` or ``reading`` grows, the provider is slow. If
``unread`` grows, it is a leak if it never drains, otherwise a slow consumer. `_of_pool` decides
which finding suppresses which. The thresholds are in ``thresholds``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from opentelemetry.instrumentation.gluellm import thresholds
from opentelemetry.instrumentation.gluellm.snapshots.snapshot import Snapshot
from opentelemetry.instrumentation.gluellm.snapshots.windows import windows

from . import account as accounting
from .case import PoolCase, calls_in, earlier, pool_cases, since
from .findings import Finding, Kind, Severity
from .rules import (
    capacity,
    connecting,
    holding,
    limiting,
    process,
    provider,
    retrying,
    settings,
    threads,
    timeouts,
    waiting,
)

_NOT_OUR_CPU = ("resolve", "proxy")
"""Steps of establishing a connection that a busy process hardly makes longer."""
_LATELY = (1, thresholds.ACCOUNT_RECENT, thresholds.ACCOUNT_QUIET)
"""Rows of the account in which there may be enough set-ups or refusals to judge."""


def diagnose(snapshot: Snapshot, previous: Snapshot | None = None) -> list[Finding]:
    """Return the causes and risks that a snapshot shows, the most severe and most causal first.

    Findings that begin with what calls suffer come before all others. There is one above INFO if
    calls fail, are cancelled, silent or slower beyond their limits, also if its cause is unknown.

    With ``previous``, an earlier snapshot of the same process, findings cover the time between the
    two, compared with the time before ``previous``. Without it, they cover the last 5 minutes,
    compared with the hour before: what ended before them is no finding any more. In both cases the
    state of the pools is that of ``snapshot``. ``previous`` is ignored if it is of another process
    (a fork's parent included) or not earlier.

    A pure function of its arguments that raises nothing. Returns at most one finding per kind and
    pool name, or per group of calls. A healthy process may have findings of severity INFO, but none
    above.
    """
    before = earlier(snapshot, previous)
    compared = since(snapshot, before) if before else windows(snapshot.account, snapshot.uptime)
    suffered = accounting.troubles(snapshot, compared)
    concerned = {label for trouble in suffered for label in trouble.pools}
    blocked = process.loop_is_blocked(snapshot, before)
    cases = pool_cases(snapshot, before, compared)
    cases = [replace(case, loop_is_blocked=blocked) for case in cases]
    latest = [cases]
    if before is None:
        some = (windows(snapshot.account, snapshot.uptime, rows) for rows in _LATELY)
        latest = [pool_cases(snapshot, None, one) for one in some]
    calls = [calls_in(one, compared.recent) for one in snapshot.process.calls]
    descriptors = process.descriptors_near_limit(snapshot)
    clients_churn = any(connecting.churned_origins(case.activity) for case in cases)
    found: list[Finding | None] = [
        process.blocked_event_loop(snapshot, before, clients_churn=clients_churn),
        descriptors,
        process.ignored_variable(snapshot.process),
        process.outside_scope(snapshot),
        None if descriptors else capacity.capacity(snapshot.process, snapshot.pools),
    ]
    found += [threads.executor_full(executor, cases) for executor in snapshot.process.executors]
    found += [retrying.retries(one, cases, latest[0]) for one in calls]
    found += [limiting.gluellm_limiter(one, cases) for one in calls]
    worst_first = sorted(
        zip(cases, *latest, strict=True), key=lambda its: -its[0].activity.time("queued")
    )
    for case, *lately in worst_first:
        limited = limiting.wait_before(case, calls, cases)
        replay = not any(one is not None and one.kind is Kind.POOL_TOO_SMALL for one in found)
        of_pool = [
            *_of_pool(case, lately, limited=limited, replay=replay),
            retrying.refusals(case, calls, lately[0]),
            settings.unbounded_pool(case, descriptors_run_out=descriptors is not None),
        ]
        if before is None and case.baseline and not (case.answers or case.label in concerned):
            of_pool = [_unless_by_chance(finding) for finding in of_pool]
        found += [replace(finding, pool=case.label) for finding in of_pool if finding is not None]
    causes = _ordered(finding for finding in found if finding is not None)
    return accounting.explained(suffered, causes)


def _unless_by_chance(finding: Finding | None) -> Finding | None:
    """Make a finding on mean times milder: no calls suffer, and few long ones raise a mean."""
    if finding is not None and finding.kind is Kind.SLOW_PROVIDER:
        return replace(finding, severity=Severity.INFO)
    return finding


def _of_pool(
    case: PoolCase, lately: Sequence[PoolCase], *, limited: bool, replay: bool
) -> list[Finding | None]:
    """Return the findings on one pool name, without those that another finding explains.

    ``lately`` are shorter periods up to now. A ``replay`` is costly: one pool has it.
    """
    blocked = case.loop_is_blocked
    hurts = waiting.queue_matters(case.of_limited_origin)
    leak = holding.leaked_connections(case, hurts=hurts)
    long_wait = process.waits_beyond_lag(case)
    stuck = holding.stuck_streams(case, loop_is_blocked=blocked and not long_wait)
    churn = connecting.client_churn(case)
    failures = connecting.connect_failures(case, loop_is_blocked=blocked)
    broken = connecting.reuse_failures(case)
    unanswered = connecting.closed_unanswered(case)
    lost = provider.silent_connections(case)
    odd = waiting.anomaly(case, loop_is_blocked=blocked)
    # Both explain failures on reused connections: httpcore fails on a connection that has no
    # stream left, and a server that is down has dropped its connections.
    if stuck is not None or connecting.server_is_gone(case):
        broken = unanswered = None
    causes: list[Finding | None] = [leak, stuck, lost]
    consumer = slow = slower = too_small = saturated = connect = None
    held_back = timeouts.held_back_answers(case, loop_is_blocked=blocked)
    causes.append(held_back)
    slowed = provider.is_slower(case)
    cut = None if blocked or held_back else timeouts.cut_answers(case, slower=slowed)
    # Building clients keeps the loop from reading answers. If clients were built in the baseline as
    # well, the effect is in both of the times that are compared.
    # A read timeout that cuts good answers makes their times meaningless.
    kept = churn is None or (case.baseline and connecting.churned_origins(case.baseline))
    judged = kept and cut is None and held_back is None
    if judged and not blocked:
        slow = (
            provider.slow_upload(case)
            or provider.slow_provider(case)
            or provider.silent_provider(case)
        )
    elif judged and slowed:
        slow = provider.slow_provider(case)
    if not blocked:
        # Building clients keeps the CPU busy. Failures to connect name the step themselves, but a
        # full executor is not theirs.
        step = case.activity.slowest_step
        if (failures is None or step == "thread") and (churn is None or step in _NOT_OUR_CPU):
            connect = connecting.slow_connecting(lately)
        if leak is None:
            consumer = holding.slow_consumer(case)
        fault = odd if odd and odd.severity is Severity.ERROR else None
        slower = slow if slow and slow.severity is not Severity.INFO else None
        holder = None if leak or stuck or lost or fault or slower else waiting.one_caller(case)
        causes += [consumer, holder, fault, slower]
        # The first calls that GlueLLM's limiter lets pass can queue for a moment.
        if not (any(causes) or limited or slowed):
            too_small = waiting.pool_too_small(
                case, lately, slow_set_ups=connect is not None, replay=replay
            )
        if not any((*causes, too_small, failures, cut)):
            saturated = waiting.pool_saturated(case, lately[0])
    elif leak is stuck is None and (long_wait or process.unread_beyond_lag(case)):
        saturated = waiting.pool_saturated(case, lately[0])
    others = any((blocked, saturated, too_small, connect, *causes[:-1]))
    cut_calls = timeouts.cut_calls(case, slower=slower is not None, others=others)
    if cut and any(causes):
        cut = replace(cut, severity=Severity.WARNING)
    return [
        churn,
        connecting.wrong_event_loop(case),
        connecting.forked_client(case),
        failures,
        connecting.client_closed(case),
        connecting.channel_not_ready(case),
        broken,
        None if lost else unanswered,
        None if lost else connecting.truncated_answers(case),
        provider.stalled_streams(case),
        *causes,
        slow,
        cut,
        too_small,
        cut_calls,
        saturated,
        odd,
        connect,
        # Longer-lived connections would only hide that establishing them is slow.
        None if connect else connecting.not_reused(case),
        settings.pool_timeout(case),
    ]


def _ordered(findings: Iterable[Finding]) -> list[Finding]:
    """Return the findings in order, only the most severe one of each kind and pool name."""
    severities, kinds = list(Severity), list(Kind)
    order = sorted(
        findings,
        key=lambda f: (severities.index(f.severity), kinds.index(f.kind), f.pool or ""),
    )
    first: dict[tuple[Kind, str | None], Finding] = {}
    for finding in order:
        first.setdefault((finding.kind, finding.pool), finding)
    return list(first.values())
