"""Rules: a provider that is slow, or that answers no request."""

from __future__ import annotations

from ... import thresholds
from ...text import counted, one_line, percent, seconds
from ..findings import Finding, Kind, Severity
from ..intervals import PROVIDERS_PART, PoolCase
from .waiting import queue_matters


def is_slower(case: PoolCase) -> bool:
    """Return whether the provider takes markedly longer per request than in the baseline."""
    before = case.baseline
    if before is None or before.served < thresholds.BASELINE_REQUESTS:
        return False
    if case.activity.sent + case.activity.held_now < thresholds.CURRENT_REQUESTS:
        return False
    was = before.provider_time(*PROVIDERS_PART, at_most=True)
    now = case.activity.provider_time(*PROVIDERS_PART)
    return now >= thresholds.SLOWER * was and now - was >= thresholds.SLOWER_BY


def slow_provider(case: PoolCase) -> Finding | None:
    """Detect a provider that takes long, longer than before, or longer than read timeouts."""
    activity = case.activity
    each = activity.provider_time(*PROVIDERS_PART)
    slower = is_slower(case)
    silent = activity.timeouts.get("read", 0)
    gives_up = (
        silent >= thresholds.READ_TIMEOUTS
        and silent >= thresholds.READ_TIMEOUT_SHARE * activity.left
    )
    long = (
        each >= thresholds.LONG_ANSWER
        and activity.sent + activity.held_now >= thresholds.CURRENT_REQUESTS
    )
    if not (slower or gives_up or long):
        return None
    head, body = (seconds(activity.provider_time(phase)) for phase in PROVIDERS_PART)
    observed = (
        f"A request waited {seconds(each)} for the provider: {head} for the head of the answer, "
        f"{body} for the rest"
    )
    if slower and case.baseline is not None:
        was = case.baseline.provider_time(*PROVIDERS_PART, at_most=True)
        observed += f"; before, it was {seconds(was)}"
    if gives_up:
        observed += f"; {silent} of {counted(activity.left, 'request')} ended in a read timeout"
    if slower and queue_matters(case):
        share = percent(activity.time("queued") / activity.time())
        observed += f"; requests queue ({share} of the time) since connections are held for longer"
    severity = Severity.INFO
    explanation = (
        "The answers take long. Reasoning models are silent for 300 to 700 s. If the model is no "
        "reasoning model, the provider is slow."
    )
    advice = (
        "Nothing, if the model reasons. Otherwise compare with an earlier snapshot to see whether "
        "it has become slower."
    )
    if slower or gives_up:
        severity = Severity.ERROR if gives_up else Severity.WARNING
        explanation = (
            "Requests wait for the provider's bytes most of the time. The provider is slow, "
            "or the requests have changed: a larger model, longer answers. Or this process gets "
            "too little processor time to read them."
        )
        timeout = "Set a read timeout"
        if silent:
            timeout = "Raise the read timeout if the model takes that long"
        advice = (
            "Check the provider's status page, and compare models. Stream, so that silence shows "
            f"early. {timeout}, and send fewer requests at a time or some to a second provider. A "
            "larger pool does not help."
        )
    return Finding(
        kind=Kind.SLOW_PROVIDER,
        severity=severity,
        pool=case.label,
        observed=f"{observed}.",
        explanation=explanation,
        advice=advice,
    )


def silent_provider(case: PoolCase) -> Finding | None:
    """Detect that requests are sent and none is answered.

    Needs no baseline: applies if no request was answered in the period and all requests in flight
    have waited for long. It is a WARNING for several requests unless earlier answers took about as
    long: reasoning models are silent for 300 to 700 s.
    """
    sent = [request for request in case.requests if request.held is not None]
    waiting = [request for request in sent if request.phase == "awaiting_response"]
    if not waiting or len(waiting) < len(sent) or case.activity.errors[None] > 0:
        return None
    ages = [request.phase_age for request in waiting]
    if min(ages) < thresholds.SILENT_FOR:
        return None
    before = case.baseline
    usual = before.provider_time("awaiting_response", at_most=True) if before is not None else 0.0
    origins = ", ".join(sorted({one_line(request.origin) for request in waiting})[:3])
    many = len(waiting) >= thresholds.SILENT_REQUESTS
    severe = many and usual < thresholds.SILENT_AS_BEFORE * min(ages)
    return Finding(
        kind=Kind.SLOW_PROVIDER,
        severity=Severity.WARNING if severe else Severity.INFO,
        pool=case.label,
        observed=f"{counted(len(waiting), 'request')} to {origins} sent and waiting for the first "
        f"byte of an answer, the longest for {seconds(max(ages))}; none was answered meanwhile, "
        f"{case.queued_now} queued.",
        explanation="They have their connections, so the pool is not the cause: the provider has "
        "not begun to answer. Reasoning models are silent for 300 to 700 s. With any other model, "
        "the provider hangs or something on the network path drops the requests.",
        advice="Check the provider's status page, and send one request by hand. Stream, so that "
        "silence shows early, and set a read timeout. A larger pool does not help.",
    )
