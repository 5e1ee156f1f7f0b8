"""Rule: a provider that answers no request."""

from __future__ import annotations

from ...text import counted, one_line, seconds
from ...thresholds import SILENT_AS_BEFORE, SILENT_FOR, SILENT_REQUESTS
from ..findings import Finding, Kind, Severity
from ..intervals import PoolCase


def silent_provider(case: PoolCase) -> Finding | None:
    """Detect that requests are sent and none is answered.

    Needs no baseline: applies if no request was answered in the period and all requests in flight
    have waited for long. It is a WARNING for several requests unless earlier answers took about as
    long: reasoning models are silent for 300 to 700 s.
    """
    sent = [r for pool in case.pools for r in pool.requests if r.held is not None]
    waiting = [r for r in sent if r.phase == "awaiting_response"]
    if not waiting or len(waiting) < len(sent) or case.activity.errors.get(None, 0) > 0:
        return None
    shortest = min(request.phase_age for request in waiting)
    longest = max(request.phase_age for request in waiting)
    if shortest < SILENT_FOR:
        return None
    before = case.baseline.provider_time_at_most("awaiting_response") if case.baseline else 0.0
    usual = before >= SILENT_AS_BEFORE * shortest
    origins = ", ".join(sorted({one_line(request.origin) for request in waiting})[:3])
    severe = len(waiting) >= SILENT_REQUESTS and not usual
    return Finding(
        kind=Kind.SLOW_PROVIDER,
        severity=Severity.WARNING if severe else Severity.INFO,
        pool=case.label,
        observed=f"{counted(len(waiting), 'request')} to {origins} sent and waiting for the first "
        "byte "
        f"of an answer, the longest for {seconds(longest)}; none was answered meanwhile, "
        f"{case.queued_now} queued.",
        explanation="They have their connections, so it is not the pool: the provider has not "
        "begun to "
        "answer. Reasoning models are silent for 300 to 700 s; for any other model it hangs, or "
        "something on the way swallows the requests.",
        advice="Ask the provider's status page, and send one request by hand. Stream, so that "
        "silence shows early, and bound the read timeout. A larger pool does not help.",
    )
