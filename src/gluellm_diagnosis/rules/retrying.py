"""Rules: calls that are delayed, multiplied or ended by what they retry after."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from opentelemetry.instrumentation.gluellm import thresholds
from opentelemetry.instrumentation.gluellm.snapshots.parts import CallsSnapshot
from opentelemetry.instrumentation.gluellm.text import counted, one_line, percent, period_text
from opentelemetry.instrumentation.gluellm.vocabulary import SDK, is_retried

from ..advice.advisor import without_retries
from ..case import Activity, PoolCase, to_origin
from ..findings import Clause, Finding, Kind, observed_text
from ..severity import severity
from .layers import requests_by_layer
from .timeouts import TIME_LIMIT, evidence_of, time_limit

_EXHAUSTED = "RESOURCE_EXHAUSTED"
_LIMITED = ("429", _EXHAUSTED)
"""Statuses by which a provider limits the rate of requests."""
_OF_GRPC = (
    "The provider limits the rate, the account's quota is used up, or a message is larger than the "
    "client (4 MB by default) or the server accepts. The details of the exception name which."
)
_LARGER = "For larger answers, set grpc.max_receive_message_length in the channel's options."
_USED_UP = ": most likely, the account's quota or credit is used up."
_QUOTA = "Check the account's quota, credit and spending limit. If none is used up:"
_OVERLOADED = ("503", "529", "UNAVAILABLE")
"""Statuses by which a server or gateway also refuses what exceeds its number at a time."""
_GLUELLM = "gluellm.configure(retry_max_attempts=1)"
_MOST_REASONS = 3


def _refusing(cases: Sequence[PoolCase]) -> Iterator[Activity]:
    """Yield what was done at each origin that refuses requests: others may serve all of theirs."""
    for case in cases:
        for origin in case.activity.by_origin:
            one = to_origin(case.activity, origin)
            if any(is_retried(outcome) and outcome.error is None for outcome in one.outcomes):
                yield one


class _Reasons:
    """Requests that libraries send again, by their result."""

    def __init__(self, cases: Sequence[PoolCase]) -> None:
        latest = list(_refusing([case.lately[0] for case in cases]))
        self.vain = 0 if any(one.served for one in latest) else sum(one.left for one in latest)
        """Latest requests to origins that refuse some, if none of them succeeded."""
        self.served = sum(one.served for one in _refusing(cases))
        self.busier = max((case.growth for case in cases), default=0.0)
        self.statuses: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()
        for outcome in (one for case in cases for one in case.activity.outcomes):
            if is_retried(outcome) and outcome.count:
                of = self.statuses if outcome.error is None else self.errors
                of[str(outcome.error or outcome.status)] += outcome.count
        (status, count), *_ = self.statuses.most_common(1) or [("", 0)]
        self.limit: list[Clause] = []
        """The time limit of a gateway, if most requests are refused after it; else empty."""
        if 2 * count > self.statuses.total():
            failures = (failure for case in cases for failure in case.failures)
            answers = (answer for case in cases for answer in case.answers)
            limit = time_limit(status, failures, answers).removeprefix("; ")
            self.limit = [Clause(limit)] if limit else []

    def __str__(self) -> str:
        most = self.all.most_common(_MOST_REASONS)
        return ", ".join(f"{count} with {one_line(name)}" for name, count in most)

    @property
    def all(self) -> Counter[str]:
        return self.statuses + self.errors

    @property
    def of_provider(self) -> bool:
        return self.statuses.total() >= max(self.errors.total(), 1)

    def advice(self, *, synchronous: bool) -> tuple[str, str]:
        """Return what most of them mean, and what to do."""
        if not self.of_provider:
            got = "got no answer" if self.errors else "were answered, and the calls fail afterwards"
            return f"Most of these requests {got}.", "First remove what makes the calls fail."
        if self.limit:
            return TIME_LIMIT
        module = "threading" if synchronous else "asyncio"
        fewer = f"Make fewer calls at a time ({module}.Semaphore)"
        if 2 * sum(self.statuses[status] for status in _LIMITED) > self.statuses.total():
            fewer += ", ask the provider for a higher limit, or send some calls to another."
            if 2 * self.statuses[_EXHAUSTED] > self.statuses.total():
                return _OF_GRPC, f"{_LARGER} In the other cases: {fewer[:1].lower()}{fewer[1:]}"
            if self.vain >= thresholds.BASELINE_REQUESTS:
                vain = f"None of the last {self.vain} requests succeeded"
                return f"{vain}{_USED_UP}", f"{_QUOTA} {fewer[:1].lower()}{fewer[1:]}"
            return "The provider limits the rate, or the account's quota is used up.", fewer
        errors = "The provider or a gateway answers with errors, and each retry adds to its load."
        check = "Check the provider's status page, or send some calls to another provider."
        full = 2 * sum(self.statuses[status] for status in _OVERLOADED) > self.statuses.total()
        busier = self.busier >= thresholds.BUSIER
        if self.served and (full or busier):
            likely = "most likely" if busier else "perhaps"
            errors += f" It serves some requests: {likely} more arrive at a time than it allows."
            fewer += ", or raise the limit of the server or gateway."
            check = f"{fewer} {check}"
        return errors, check


def retries(calls: CallsSnapshot, cases: Sequence[PoolCase], *_: object) -> Finding | None:
    """Detect calls to one provider that are delayed, multiplied or ended by refusals."""
    its = [case for case in cases if case.serves(calls.provider)]
    reasons = _Reasons(its)
    began = calls.ended + calls.in_flight
    share = calls.stage_seconds.get("backoff", 0.0) / (sum(calls.stage_seconds.values()) or 1.0)
    failed, succeeded = calls.outcomes.get("failed", 0), calls.outcomes.get("succeeded", 0)
    refused = sum(calls.errors.get(status, 0) for status in _LIMITED)
    delayed = share >= thresholds.BACKOFF_SHARE
    least = thresholds.CALL_FAILURE_SHARE if reasons.limit else thresholds.RESENT_MUCH
    multiplied = calls.retries >= least * began
    backed_off = calls.retries + calls.now.get("backoff", 0)
    if not thresholds.calls_fail(refused, succeeded, calls.source) and (
        backed_off < thresholds.BACKOFF_RETRIES or not (delayed or multiplied)
    ):
        return None
    after = f" after failed requests ({reasons})" if str(reasons) else ""
    became = f"{counted(began, 'call')} became {counted(began + calls.retries, 'request')}"
    clauses = [
        Clause(f"{percent(share)} of the calls' time was back-off{after}"),
        Clause(became, frozenset({began})),
    ]
    if reasons.busier >= thresholds.BUSIER:
        clauses.append(Clause(f"{reasons.busier:.2g} times as many calls arrive as before"))
    if failed:
        clauses.append(Clause(f"{counted(failed, 'call')} failed in the end", frozenset({failed})))
    if calls.pauses_requested:
        asked = f"for {calls.pauses_requested} of {counted(calls.pauses, 'pause')}"
        clauses.append(Clause(f"{asked}, the provider sent Retry-After"))
    elif calls.pauses:
        clauses.append(Clause("no Retry-After was sent"))
    clauses += reasons.limit
    severe = thresholds.calls_fail(failed, succeeded, calls.source) and reasons.of_provider
    why, advice = reasons.advice(synchronous=any(case.synchronous for case in its))
    again = [one for case in its for one in case.failures if one.result in reasons.all]
    direct = calls.source == SDK
    less = without_retries(calls.provider, its[0].process.frameworks if direct and its else ())
    of_sdk = less if direct else f"{less} (AnyLLM.create passes it on)"
    whose, less = _whose(calls, requests_by_layer(calls, again), of_sdk)
    return Finding(
        kind=Kind.RETRIES,
        severity=severity(failed=severe, slower=True),
        pool=its[0].label if len(its) == 1 else None,
        provider=calls.provider,
        source=calls.source,
        observed=observed_text(clauses),
        clauses=tuple(clauses),
        evidence=evidence_of("The last failed requests", again),
        explanation=f"{why} {whose}" + " A larger pool does not help." * reasons.of_provider,
        advice=f"{advice} {less}".rstrip(),
    )


def _whose(calls: CallsSnapshot, layers: str, of_sdk: str) -> tuple[str, str]:
    """Return what retries, with the requests of each layer, and how to retry less.

    ``of_sdk`` switches the retries of the SDK off.
    """
    sdks = counted(calls.pauses, "pause")
    own = counted(calls.attempts_repeated, "further attempt")
    if calls.pauses and calls.attempts_repeated:
        began = calls.ended + calls.in_flight
        attempts, requests = began + calls.attempts_repeated, began + calls.retries
        whose = (
            f"The SDK retries ({sdks}) inside GlueLLM's retries ({own}), so they multiply: on "
            f"average, one call is {requests / began:.2g} requests, {attempts / began:.2g} "
            f"attempts by GlueLLM x {requests / attempts:.2g} requests by the SDK. {layers}"
        )
        return whose.rstrip(), f"Retry in one layer only: {_GLUELLM}, or {of_sdk}."
    if calls.attempts_repeated:
        return f"GlueLLM retries ({own}).", ""
    whose = f"The SDK retries ({sdks})." if calls.pauses else "The SDK, if any, retries."
    only = f"Retry in one layer only: {of_sdk}." if layers else ""
    return f"{whose} {layers}".rstrip(), only


def refusals(case: PoolCase) -> Finding | None:
    """Detect requests that the provider refuses, where no calls are counted."""
    if any(case.serves(one.provider) for one in case.calls):
        return None
    lately, reasons = case.lately[0], _Reasons([case])
    refused, left = reasons.statuses.total(), case.activity.left
    pauses, paused = case.activity.number("pauses"), case.activity.items["paused",]
    now = lately.activity.items["paused",]
    delayed = now > 0 and now >= thresholds.BACKOFF_SHARE * (now + lately.activity.time())
    many = delayed or refused >= thresholds.FAILURES_SEVERE * left
    if refused < thresholds.BACKOFF_RETRIES or not many:
        return None
    explanation, advice = reasons.advice(synchronous=case.synchronous)
    who = "SDKs paused"
    whose = "An SDK repeats such a request up to max_retries times (default: 2)."
    its = [one for one in case.failures if one.result in reasons.statuses]
    if paused and case.totals.library == "urllib3":
        who = "Retry-After made urllib3 pause"
        whose = "urllib3 pauses inside the caller's request, and its timeouts do not limit that."
        advice += " Lower total or retry_after_max (2.6.3 or newer) of urllib3's Retry."
    share = f"{refused} of {counted(left, 'request')} ({percent(refused / left)}) were refused"
    clauses = [Clause(f"{share}: {reasons}", frozenset((refused, left)))]
    clauses += reasons.limit
    if paused:
        waited = f"{counted(pauses, 'time')}, for {period_text(paused)} summed over all requests"
        clauses.append(Clause(f"{who} {waited}"))
    return Finding(
        kind=Kind.RETRIES,
        severity=severity(slower=True),
        observed=observed_text(clauses),
        clauses=tuple(clauses),
        evidence=evidence_of("The last refused requests", its),
        explanation=f"{explanation} {whose} A larger pool does not help.",
        advice=advice,
    )
