"""Diagnosis: from snapshots to findings.

The time per phase shows the cause. If ``queued`` grows while the lease time stays the same, the
pool is too small. If ``awaiting_response`` or ``reading`` grows, the provider is slow. If
``unread`` grows, it is a leak if it never drains, otherwise a slow consumer. ``table`` has the
rules, and which finding hides which. The thresholds are in ``thresholds``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from opentelemetry.instrumentation.gluellm import thresholds
from opentelemetry.instrumentation.gluellm.snapshots.snapshot import Snapshot
from opentelemetry.instrumentation.gluellm.snapshots.windows import before_or_first_third, windows

from . import account as accounting
from .case import ProcessCase, calls_in, earlier, pool_cases, since
from .findings import Finding, Kind, Severity
from .rules import limiting, process
from .table import OF_CALLS, OF_EXECUTOR, OF_POOL, OF_PROCESS, Failed, attempt, judged

_LATELY = (1, thresholds.ACCOUNT_RECENT, thresholds.ACCOUNT_QUIET)
"""Rows of the account in which there may be enough set-ups or refusals to judge."""


def diagnose(
    snapshot: Snapshot, previous: Snapshot | None = None, *, failed: Failed = lambda _: None
) -> list[Finding]:
    """Return the causes and risks that a snapshot shows, the most severe and most causal first.

    Findings that begin with what calls suffer come before all others. There is one above INFO if
    calls fail, are cancelled, silent or slower beyond their limits, also if its cause is unknown.

    With ``previous``, an earlier snapshot of the same process, findings cover the time between the
    two, compared with the time before ``previous``. Without it, they cover the last 5 minutes,
    compared with the hour before: what ended before them is no finding any more. In both cases the
    state of the pools is that of ``snapshot``. ``previous`` is ignored if it is of another process
    (a fork's parent included) or not earlier.

    A pure function of its arguments. If a rule raises, ``failed`` is called with its exception, and
    the findings of the others are returned. Returns at most one finding per kind and pool name, or
    per group of calls. A healthy process may have findings of severity INFO, but none above.
    """
    before = earlier(snapshot, previous)
    compared = since(snapshot, before) if before else windows(snapshot.account, snapshot.uptime)
    suffered = accounting.troubles(snapshot, compared, failed)
    concerned = {label for trouble in suffered for label in trouble.pools}
    blocked = attempt(failed, False, process.loop_is_blocked, snapshot, before)
    latest = [compared]
    if before is None:
        latest = [windows(snapshot.account, snapshot.uptime, rows) for rows in _LATELY]
    lately = [pool_cases(snapshot, period) for period in latest]
    calls = calls_in(snapshot, compared.recent)
    usual = before_or_first_third(compared.before, snapshot.account, snapshot.uptime)
    cases = [
        replace(case, loop_is_blocked=blocked, calls=calls, lately=its)
        for case, *its in zip(pool_cases(snapshot, compared), *lately, strict=True)
    ]
    found = list(judged(OF_PROCESS, failed, ProcessCase(snapshot, before, cases)))
    for executor in snapshot.process.executors:
        found += judged(OF_EXECUTOR, failed, executor, cases)
    for one, earlier_one in zip(calls, calls_in(snapshot, usual), strict=True):
        found += judged(OF_CALLS, failed, one, cases, earlier_one)
    for case in sorted(cases, key=lambda case: -case.activity.time("queued")):
        replay = all(finding.kind is not Kind.POOL_TOO_SMALL for finding in found)
        limited = attempt(failed, False, limiting.wait_before, case, cases)
        its = judged(OF_POOL, failed, replace(case, limited=limited, replay=replay))
        if before is None and case.baseline and not (case.answers or case.label in concerned):
            its = map(_unless_by_chance, its)
        found += (replace(finding, pool=case.label) for finding in its)
    libraries = {case.label: case.totals.library for case in cases}
    ordered = _ordered(found)
    unexplained = [*(trouble.finding for trouble in suffered), *ordered]
    explained = attempt(failed, unexplained, accounting.explained, suffered, ordered)
    # Short delays of a loop would only distract from what hurts.
    hurts = any(finding.severity is not Severity.INFO for finding in explained)
    late = (Kind.BLOCKED_EVENT_LOOP, Severity.INFO)
    return [
        replace(one, library=libraries.get(one.pool or ""))
        for one in explained
        if not (hurts and (one.kind, one.severity) == late)
    ]


def _unless_by_chance(finding: Finding) -> Finding:
    """Make a finding on mean times milder: no calls suffer, and few long ones raise a mean."""
    by_chance = finding.kind is Kind.SLOW_PROVIDER
    return replace(finding, severity=Severity.INFO) if by_chance else finding


def _ordered(findings: Iterable[Finding]) -> list[Finding]:
    """Return the findings in order, only the most severe one of each kind and pool name."""
    severities, kinds = list(Severity), list(Kind)
    order = sorted(
        findings, key=lambda f: (severities.index(f.severity), kinds.index(f.kind), f.pool or "")
    )
    first: dict[tuple[Kind, str | None], Finding] = {}
    for finding in order:
        first.setdefault((finding.kind, finding.pool), finding)
    return list(first.values())
