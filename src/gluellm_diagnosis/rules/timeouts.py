"""Rules: timeouts of the application and of its client that cut answers short."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from statistics import median

from opentelemetry.instrumentation.gluellm import thresholds
from opentelemetry.instrumentation.gluellm.snapshots.parts import (
    Answer,
    Failure,
    Group,
    RequestSnapshot,
)
from opentelemetry.instrumentation.gluellm.text import counted, seconds

from ..case import PoolCase
from ..findings import Clause, Fact, Finding, Kind, Meaning, caller_text, observed_text
from ..severity import severity

Requests = Iterable[Answer | Failure | RequestSnapshot]
_STILL = {
    "queued": "queued for a connection",
    "connecting": "connecting",
    "stream_queued": "queued for an HTTP/2 stream",
    "awaiting_response": "waiting for the response headers",
    "reading": "reading the answer",
}
"""By phase: what a request was doing."""
READ_TIMEOUTS_KNOWN = ("httpx", "httpx2", "aiohttp")
_LIMIT, _SHORT = 30, 60
"""Seconds: the step of read timeouts to advise, and one that need not be shorter."""


def evidence_of(whose: str, requests: Requests) -> tuple[Fact, ...]:
    """Return the call site and model that more than half of the requests have in common.

    Only one of them if they differ in the other. Empty if there is none, or if it is unknown.
    """
    groups: tuple[Counter[Group], ...] = Counter(), Counter(), Counter()
    for one in requests:
        # An answer that is kept counts once, whatever it stands for.
        number = one.number if isinstance(one, RequestSnapshot) else 1
        model, site = one.model, one.call_site
        for its, group in zip(groups, ((model, site), (None, site), (model, None)), strict=True):
            its[group] += number
    for its in groups:
        (group, count), *_ = its.most_common(1) or [((None, None), 0)]
        if 2 * count > its.total() and any(group):
            return (Fact(whose, count, its.total(), *group),)
    return ()


TIME_LIMIT = Meaning(
    "The time limit of a gateway or proxy on the path, or of the server, ends these requests. The "
    "model may do the work nevertheless.",
    "Stream the answers, so that bytes come in time, raise that limit (nginx: "
    "proxy_read_timeout), or ask for shorter answers.",
)
"""Explanation and advice for requests that are refused after the same time."""


def time_limit(status: str, failures: Iterable[Failure], answers: Iterable[Answer]) -> str:
    """Return text on the time after which a gateway refuses with this status; empty if unknown.

    Nearly all of these refusals come after about the same time, and no answer comes later.
    """
    heads = [failure.head for failure in failures if failure.result == status]
    timed = status == "408" or (status.isdecimal() and status >= "500")
    if not timed or len(heads) < thresholds.CUT_CALLS:
        return ""
    limit = median(heads)
    spread = max(thresholds.CUT_SPREAD * limit, thresholds.CUT_SLACK)
    alike = sum(abs(head - limit) <= spread for head in heads)
    longer = any(answer.head > limit + spread for answer in answers)
    if limit < thresholds.TIME_LIMIT or alike < thresholds.CUT_ALIKE * len(heads) or longer:
        return ""
    return f"; each {status} came after {seconds(limit)}"


def at_one_age(ended: Sequence[Failure]) -> list[Failure]:
    """Return those that ended at about the median age of all."""
    age = median(failure.age for failure in ended) if ended else 0.0
    spread = max(thresholds.CUT_SPREAD * age, thresholds.CUT_SLACK)
    return [failure for failure in ended if abs(failure.age - age) <= spread]


def cut_calls(case: PoolCase, *, slower: bool) -> Finding | None:
    """Detect calls that a timeout of the application cancels, all at about the same age.

    A provider that has become ``slower`` comes first if it had not begun to answer. What ends right
    after a failure is left out: a TaskGroup cancels its other calls when one fails.
    """
    cut = _cancelled(case)
    if len(cut) < thresholds.CUT_CALLS:
        return None
    number, age = case.recent_requests, median(failure.age for failure in cut)
    share, alike = len(cut) / number, at_one_age(cut)
    differ = len(alike) < thresholds.CUT_ALIKE * len(cut)
    # Below that age, the spread says nothing.
    if share < thresholds.CUT_SHARE or differ or age < 2 * thresholds.CUT_SLACK:
        return None
    # A cancellation ends the read before the request.
    phases = ("reading" if one.phase == "unread" else one.phase for one in alike)
    ((phase, count),) = Counter(phases).most_common(1)
    still, least = _STILL[phase], thresholds.NEAR_READ_TIMEOUT * age
    on_its_way = phase == "reading" or any(answer.head >= least for answer in case.answers)
    many = share >= thresholds.CALL_CANCELLED_SHARE
    if phase == "awaiting_response" and 2 * median(one.phase_age for one in alike) < age:
        still += ", shortly after the request was sent"
    advice, reason = _longer_timeout(case), ""
    if until := _ended_in_time(case, alike, age):
        advice = f"Find out why they take longer: the model, the length of the answers. {advice}"
    if until or (slower and on_its_way):
        reason = " The answers take longer than before."
    if phase == "queued":
        advice = f"Remove the queue first: a longer timeout only lets calls wait. Then: {advice}"
        reason = " They wait for the pool, and the provider has not seen them."
    which = "all" if count == len(alike) else f"{count} of them"
    return Finding(
        kind=Kind.CALLS_CUT_SHORT,
        severity=severity(failed=many and (on_its_way or not slower), slower=many),
        observed=f"{len(alike)} of the last {number} requests were cancelled after about "
        f"{seconds(age)}, {which} while {still}.{until}",
        evidence=evidence_of(f"Cancelled after about {seconds(age)}", alike),
        explanation="A timeout of the application or of its caller ends the calls: neither the "
        f"pool nor the provider does.{reason}",
        advice=f"{advice}, or make the calls shorter: fewer output tokens, a faster model.",
    )


def _ended_in_time(case: PoolCase, cut: Sequence[Failure], age: float) -> str:
    """Return text on until when such calls ended much sooner than the age; empty if some do now."""
    groups = {(one.model, one.call_site) for one in cut}
    usual = [one for one in case.kept_answers if one.group in groups]
    longest = max((one.head + one.rest for one in usual), default=age)
    since = min((one.ago for one in usual), default=0.0)
    if since <= max(one.ago for one in cut) or thresholds.SLOWER * longest > age:
        return ""
    return f" Until {seconds(since)} ago, such calls ended within {seconds(longest)}."


def _cancelled(case: PoolCase) -> list[Failure]:
    """Return the latest cancelled requests, without those that end right after a failure."""
    failed = [one.ago for one in case.failures if one.result != "cancelled"]
    return [
        one
        for one in case.failures
        if one.result == "cancelled"
        and not any(0 <= ago - one.ago <= thresholds.CUT_SLACK for ago in failed)
    ]


def _longer_timeout(case: PoolCase) -> str:
    if case.process.gluellm:
        return "Raise GLUELLM_DEFAULT_REQUEST_TIMEOUT, or the application's own timeout"
    if case.synchronous:
        return "Raise the timeout after which the application gives up"
    return "Raise the timeout around the call (asyncio.wait_for, asyncio.timeout)"


def read_timeouts(case: PoolCase) -> tuple[float, list[Failure], float]:
    """Return the read timeout, the requests that it ended, and how many of them are a finding.

    Clients of one name, and single requests, can have other limits: the wait that it ended counts.
    """
    limits = [pool.read_timeout or 0.0 for pool in case.pools]
    ended = [one for one in case.failures if one.result == "read_timeout"]
    timeout = max(limits, default=0.0)
    if waited := [one.phase_age for one in ended if one.phase == "awaiting_response"]:
        wait = median(waited)
        timeout = min(limits, key=lambda limit: abs(limit - wait), default=wait)
        timeout = timeout if abs(timeout - wait) <= _spread(timeout) else wait
    least = max(thresholds.READ_TIMEOUTS, thresholds.READ_TIMEOUT_SHARE * case.recent_requests)
    return timeout, ended if timeout else [], least


def usual_time(answers: Iterable[Answer], ended: Iterable[Failure]) -> float:
    """Return how long 95% of the answers of such requests take at most; infinity if unknown."""
    groups = {(failure.model, failure.call_site) for failure in ended}
    took = sorted(one.head + one.rest for one in answers if one.group in groups)
    return took[len(took) * 95 // 100] if len(took) >= thresholds.BASELINE_REQUESTS else math.inf


def _spread(timeout: float) -> float:
    """Return by how much a wait can differ from the read timeout that ended it."""
    return thresholds.CUT_TIMEOUT_SPREAD * timeout + thresholds.CUT_SLACK


def safe_limit(case: PoolCase, *, stalls: bool = False) -> tuple[int, str]:
    """Return a read timeout that no answer needed, and text on it; 0 if too few are known.

    If requests ``stall``, answers of that time are left out: some come after all.
    """
    now, earlier = case.compared_answers
    kept = earlier if stalls else case.kept_answers
    if len(kept) < thresholds.BASELINE_REQUESTS:
        return 0, ""
    most = max(kept, key=lambda one: max(one.head, one.gap))
    longest, whose = max(most.head, most.gap), caller_text(*most.group)
    # That of an answer that is not kept any more has neither.
    ever = max((origin.longest_silence_answered for origin in case.totals.origins), default=0.0)
    stalled = stalls and any(one.head + one.rest >= thresholds.NEARLY_ALL * ever for one in now)
    if ever > longest and not stalled:
        longest, whose = ever, ""
    limit = _LIMIT * max(round(3 * longest / _LIMIT), 2)
    found = f"the longest healthy silence{whose} was {seconds(longest)}"
    return limit, f"{found}: a limit of {limit} s would have ended only dead requests"


def bound_reads(case: PoolCase, *, stalls: bool = False) -> str:
    """Return advice on the read timeout, so that it ends requests that hang sooner."""
    limits = [pool.read_timeout for pool in case.pools if pool.library in READ_TIMEOUTS_KNOWN]
    now = None if None in limits else max(filter(None, limits), default=None)
    limit, measured = safe_limit(case, stalls=stalls)
    if now is not None and now <= max(2 * limit, _SHORT):
        return f"Keep the read timeout of {seconds(now)}"
    how = "Set a read timeout" if now is None else f"Lower the read timeout from {seconds(now)}"
    return f"{how} ({measured})" if measured else how


def _ended(case: PoolCase) -> str:
    number = case.activity.number("timeout", "read")
    return f"{number} of {counted(case.activity.left, 'request')} ended"


def held_back_answers(case: PoolCase) -> Finding | None:
    """Detect answers that begin and then bring no byte, while others are complete at once."""
    timeout, silent, least = read_timeouts(case)
    lag = case.process.event_loop_lag or 0
    if case.loop_is_blocked and timeout <= thresholds.WAIT_TIMES_LAG * lag:
        return None
    # A read that fails ends before its request.
    begun = [failure for failure in silent if failure.phase in ("reading", "unread")]
    if len(begun) < least:
        return None
    usual = usual_time(case.kept_answers, begun)
    if 2 * len(begun) <= len(silent) or usual > thresholds.HELD_BACK * timeout:
        return None
    return Finding(
        kind=Kind.TRUNCATED_ANSWERS,
        severity=severity(failed=len(begun) / case.recent_requests),
        observed=f"{_ended(case)} in a read timeout, {len(begun)} of the last {len(silent)} "
        f"after their answer had begun: it brought no byte for {seconds(timeout)}, while 95% of "
        f"the other answers took at most {seconds(usual)} in all.",
        evidence=evidence_of("The last requests whose answers stop", begun),
        explanation="The rest of these answers is missing, or is held back on the way: a gateway "
        "or proxy that shortens bodies and keeps their Content-Length, or one of its workers that "
        "hangs. A slow model does not explain it, and a longer timeout only makes calls wait.",
        advice="Compare the Content-Length of such an answer with the bytes that come: curl -sv "
        "URL, past the gateway as well. Check what the gateway changes in answers, and its log.",
    )


def cut_answers(case: PoolCase, *, slower: bool) -> Finding | None:
    """Detect a read timeout that ends answers which take only a little longer than others.

    If single requests have it, not the client, it was enough until the provider became ``slower``.
    """
    timeout, cut, least = read_timeouts(case)
    if len(cut) < least or (slower and all(pool.read_timeout != timeout for pool in case.pools)):
        return None
    at_it = [failure for failure in cut if abs(failure.phase_age - timeout) <= _spread(timeout)]
    near = [a.head for a in case.answers if a.head >= thresholds.NEAR_READ_TIMEOUT * timeout]
    # On HTTP/2, an answer that has come can wait until the reads of silent streams time out.
    shared = any("2" in origin.protocols for origin in case.totals.origins)
    if shared or not near or 2 * len(at_it) <= len(cut):
        return None
    wanted = max(60, 3 * round(timeout))
    number, left = case.activity.number("timeout", "read"), case.activity.left
    late = f"{seconds(min(near))} to {seconds(max(near))}"
    clauses = (
        Clause(f"The client's own read timeout is {seconds(timeout)} without a byte"),
        Clause(f"{_ended(case)} in it", frozenset((number, left))),
        Clause(f"{counted(len(near), 'answer')} began only after {late}"),
    )
    return Finding(
        kind=Kind.READ_TIMEOUT,
        severity=severity(failed=len(cut) / case.recent_requests),
        observed=observed_text(clauses),
        clauses=clauses,
        evidence=evidence_of("The last requests that the timeout ended", cut),
        explanation="Your timeout ends requests on which the provider still works: other answers "
        "take nearly as long as the timeout.",
        advice=f"{case.advisor.read_at_most(wanted, case.maximum)}. Or stream: bytes come earlier.",
    )
