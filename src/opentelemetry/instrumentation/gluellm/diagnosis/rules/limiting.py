"""Rule: calls that wait in GlueLLM's rate limiter, before they enter a pool."""

from __future__ import annotations

from collections.abc import Sequence

from ... import thresholds
from ...text import counted, one_line, percent, seconds
from ..advice.advisor import GLUELLM_PROVIDERS
from ..findings import Finding, Kind, Severity
from ..intervals import PoolCase
from ..parts import LimiterSnapshot
from ..snapshot import Snapshot


def since(snapshot: Snapshot, before: Snapshot | None) -> tuple[LimiterSnapshot, ...]:
    """Return what waited in the limiter during the period, by provider."""
    was = {limiter.provider: limiter for limiter in before.process.limiters} if before else {}
    return tuple(
        limiter.less(was[limiter.provider]) if limiter.provider in was else limiter
        for limiter in snapshot.process.limiters
    )


def wait_before(
    case: PoolCase, limiters: Sequence[LimiterSnapshot], cases: Sequence[PoolCase]
) -> bool:
    """Return whether calls of this pool wait in the limiter rather than for a connection."""
    if case.queued_now or case.activity.number("timeout", "pool"):
        return False
    its = [limiter for limiter in limiters if case in _behind(limiter, cases)]
    waiting = sum(limiter.waiting for limiter in its)
    spent = sum(limiter.seconds for limiter in its)
    return waiting > 0 or spent > case.activity.time("queued")


def _behind(limiter: LimiterSnapshot, cases: Sequence[PoolCase]) -> list[PoolCase]:
    """Return the pools of the calls that pass this limiter, as far as they are known."""
    clients = [case for case in cases if case.advisor.may_be_gluellms]
    if limiter.provider is None:
        return clients
    if limiter.provider in GLUELLM_PROVIDERS:
        its = [case for case in clients if case.totals.provider == limiter.provider]
    else:
        its = [case for case in cases if case.totals.provider == limiter.provider]
    # With a gateway, GlueLLM sends every model through its openai client.
    return its or [case for case in clients if case.totals.provider == "openai"]


def gluellm_limiter(limiter: LimiterSnapshot, cases: Sequence[PoolCase]) -> Finding | None:
    """Detect calls that wait in the limiter for one provider."""
    its = _behind(limiter, cases)
    case = its[0] if len(its) == 1 else None
    everything = limiter.seconds + sum(one.activity.time() for one in its)
    waits = limiter.waiting and limiter.longest >= thresholds.LIMITED_FOR
    costs = (
        limiter.waited >= thresholds.LIMITED_CALLS
        and limiter.seconds >= thresholds.LIMITED_SHARE * everything
    )
    if not (waits or costs):
        return None
    whose = f" for {one_line(limiter.provider)}" if limiter.provider else ""
    observed = (
        f"{counted(limiter.waiting, 'call')} waiting in GlueLLM's rate limiter{whose}, the longest "
        f"for {seconds(limiter.longest)}"
        if limiter.waiting
        else f"{counted(limiter.waited, 'attempt')} waited in GlueLLM's rate limiter{whose}"
    )
    if limiter.seconds and everything:
        share = percent(limiter.seconds / everything)
        observed += f"; this wait was {share} of the total time of calls and requests"
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
    most = "a set number of" if limiter.calls_per_minute is None else limiter.calls_per_minute
    return Finding(
        kind=Kind.GLUELLM_LIMITER,
        severity=Severity.WARNING,
        pool=case.label if case is not None else None,
        observed=f"{observed}.",
        explanation=f"GlueLLM starts at most {most} calls a minute for each provider (60 by "
        f"default), and each retry counts. {where}.",
        advice="Allow as many calls a minute as the provider does: set "
        "GLUELLM_RATE_LIMIT_REQUESTS_PER_MINUTE=N before the program starts, or call "
        "gluellm.configure(rate_limit_requests_per_minute=N). GLUELLM_RATE_LIMIT_ENABLED=false "
        "turns the limiter off.",
    )
