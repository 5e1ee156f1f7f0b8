"""Rule: calls that wait in GlueLLM's rate limiter, before they enter a pool."""

from __future__ import annotations

from collections.abc import Sequence

from opentelemetry.instrumentation.gluellm import thresholds
from opentelemetry.instrumentation.gluellm.snapshots.parts import CallsSnapshot
from opentelemetry.instrumentation.gluellm.text import counted, one_line, percent, seconds

from ..advice.advisor import GLUELLM_PROVIDERS
from ..case import PoolCase
from ..findings import Finding, Kind
from ..severity import severity


def wait_before(case: PoolCase, cases: Sequence[PoolCase]) -> bool:
    """Return whether calls of this pool wait in the limiter rather than for a connection."""
    if case.queued_now or case.activity.number("timeout", "pool"):
        return False
    its = [
        one for one in case.calls if (one.limited or one.waiting) and case in _behind(one, cases)
    ]
    spent = sum(one.stage_seconds.get("limited", 0.0) for one in its)
    return any(one.waiting for one in its) or spent > case.activity.time("queued")


def _behind(calls: CallsSnapshot, cases: Sequence[PoolCase]) -> list[PoolCase]:
    """Return the pools of calls that pass the limiter, as far as they are known."""
    clients = [case for case in cases if case.advisor.may_be_gluellms]
    if calls.provider is None:
        return clients
    own = clients if calls.provider in GLUELLM_PROVIDERS else cases
    its = [case for case in own if case.totals.provider == calls.provider]
    # With a gateway, GlueLLM sends every model through its openai client.
    return its or [case for case in clients if case.totals.provider == "openai"]


def gluellm_limiter(calls: CallsSnapshot, cases: Sequence[PoolCase], *_: object) -> Finding | None:
    """Detect calls that wait in the limiter for one provider."""
    its = _behind(calls, cases)
    case = its[0] if len(its) == 1 else None
    spent, passed = calls.stage_seconds.get("limited", 0.0), calls.limited
    longest = calls.oldest.get("limited", 0.0)
    everything = spent + sum(one.activity.time() for one in its)
    many = passed + calls.waiting >= thresholds.LIMITED_CALLS
    costs = many and spent >= thresholds.LIMITED_SHARE * everything
    if not costs and longest < thresholds.LIMITED_FOR:
        return None
    whose = f" for {one_line(calls.provider)}" if calls.provider else ""
    observed = f"{counted(passed, 'attempt')} waited in GlueLLM's rate limiter{whose}"
    if calls.waiting:
        observed = (
            f"{counted(calls.waiting, 'call')} waiting in GlueLLM's rate limiter{whose}, the "
            f"longest for {seconds(longest)}"
        )
    if spent:
        share = percent(spent / everything)
        observed += f"; of the time in the limiter and in requests, the limiter took {share}"
    where = "A waiting call has entered no pool, so a larger pool does not help"
    if case is not None:
        idle = sum(pool.idle for pool in case.pools)
        busy = sum(pool.active + pool.connecting for pool in case.pools)
        observed += (
            f"; the pool has {busy} busy and {counted(idle, 'idle connection')}, and "
            f"{counted(case.queued_now, 'request')} queued"
        )
        if not busy and not case.queued_now:
            where = "The pool is idle: the calls have not reached it, so a larger one does not help"
    most = cases[0].process.calls_per_minute if cases else None
    return Finding(
        kind=Kind.GLUELLM_LIMITER,
        severity=severity(slower=True),
        pool=case.label if case is not None else None,
        provider=calls.provider,
        source=calls.source,
        observed=f"{observed}.",
        explanation=f"GlueLLM starts at most {most or 'N'} calls a minute for each provider (60 by "
        f"default), and each retry counts. {where}.",
        advice="Allow as many calls a minute as the provider does: set "
        "GLUELLM_RATE_LIMIT_REQUESTS_PER_MINUTE=N before the program starts, or call "
        "gluellm.configure(rate_limit_requests_per_minute=N). GLUELLM_RATE_LIMIT_ENABLED=false "
        "turns the limiter off.",
    )
