"""Diagnosis: from snapshots to findings.

The time per phase shows the cause. If ``queued`` grows while the lease time stays the same, the
pool is too small. If ``awaiting_response`` or ``reading`` grows, the provider is slow. If
``unread`` grows, it is a leak if it never drains, otherwise a slow consumer. `_of_pool` decides
which finding suppresses which. The thresholds are in ``thresholds``.
"""

from __future__ import annotations

from collections.abc import Iterable

from .findings import Finding, Kind, Severity
from .intervals import PoolCase, earlier, pool_cases
from .rules import (
    capacity,
    connecting,
    holding,
    limiting,
    process,
    provider,
    settings,
    threads,
    waiting,
)
from .snapshot import Snapshot


def diagnose(snapshot: Snapshot, previous: Snapshot | None = None) -> list[Finding]:
    """Return the causes and risks that a snapshot shows, the most severe and most causal first.

    With ``previous``, an earlier snapshot of the same process, findings cover the time between the
    two, and latencies are compared with the time before ``previous``. Without it, they cover
    everything since ``instrument()``. In both cases the state of the pools is that of ``snapshot``.
    ``previous`` is ignored if it is of another process (a fork's parent included) or not earlier.

    A pure function of its arguments that raises nothing. Returns at most one finding per kind and
    pool name. A healthy process may have findings of severity INFO, but none above.
    """
    before = earlier(snapshot, previous)
    cases = pool_cases(snapshot, before)
    blocked = process.loop_is_blocked(snapshot, before)
    descriptors = process.descriptors_near_limit(snapshot.process)
    limiters = limiting.since(snapshot, before)
    clients_churn = any(connecting.churned_origins(case.activity) for case in cases)
    found: list[Finding | None] = [
        process.blocked_event_loop(snapshot, before, clients_churn=clients_churn),
        descriptors,
        process.ignored_variable(snapshot.process),
        None if descriptors else capacity.capacity(snapshot.process, snapshot.pools),
    ]
    found += [threads.executor_full(executor, cases) for executor in snapshot.process.executors]
    found += [limiting.gluellm_limiter(limiter, cases) for limiter in limiters]
    for case in cases:
        limited = limiting.wait_before(case, limiters, cases)
        found += _of_pool(case, blocked=blocked, limited=limited)
        found.append(settings.unbounded_pool(case, descriptors_run_out=descriptors is not None))
    return _ordered(finding for finding in found if finding is not None)


def _of_pool(case: PoolCase, *, blocked: bool, limited: bool) -> list[Finding | None]:
    """Return the findings on one pool name, without those that another finding explains."""
    leak = holding.leaked_connections(case, hurts=waiting.queue_matters(case))
    long_wait = process.waits_beyond_lag(case)
    stuck = holding.stuck_streams(case, loop_is_blocked=blocked and not long_wait)
    churn = connecting.client_churn(case)
    failures = connecting.connect_failures(case, loop_is_blocked=blocked)
    broken = connecting.reuse_failures(case)
    lost = provider.silent_connections(case)
    # Both explain failures on reused connections: httpcore fails on a connection that has no
    # stream left, and a server that is down has dropped its connections.
    if stuck is not None or connecting.server_is_gone(case):
        broken = None
    consumer = slow = too_small = saturated = connect = None
    if not blocked:
        # Building clients keeps the CPU busy. Failures to connect name the step themselves.
        if churn is None and failures is None:
            connect = connecting.slow_connecting(case)
        if leak is None:
            consumer = holding.slow_consumer(case)
        # Building clients keeps the loop from reading answers. If clients were built in the
        # baseline as well, the effect is in both of the times that are compared.
        if churn is None or (case.baseline and connecting.churned_origins(case.baseline)):
            slow = provider.slow_provider(case) or provider.silent_provider(case)
        causes = [leak, stuck, lost, consumer]
        if slow is not None and slow.severity is not Severity.INFO:
            causes.append(slow)
        # The first calls that GlueLLM's limiter lets pass can queue for a moment.
        if not (any(causes) or limited or provider.is_slower(case)):
            too_small = waiting.pool_too_small(case)
        if not any((*causes, too_small, failures)):
            saturated = waiting.pool_saturated(case)
    elif long_wait and leak is None and stuck is None:
        saturated = waiting.pool_saturated(case)
    return [
        leak,
        stuck,
        churn,
        connecting.wrong_event_loop(case),
        failures,
        connecting.channel_not_ready(case),
        broken,
        lost,
        consumer,
        slow,
        too_small,
        saturated,
        waiting.anomaly(case, loop_is_blocked=blocked),
        connect,
        # Longer-lived connections would only hide that establishing them is slow.
        None if connect else connecting.keepalive_too_short(case),
        threads.too_few_kept(case),
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
