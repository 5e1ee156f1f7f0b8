"""Rules: a provider that is slow, or that answers no request."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Sequence
from statistics import median

from opentelemetry.instrumentation.gluellm import thresholds
from opentelemetry.instrumentation.gluellm.snapshots.parts import (
    PROVIDERS_PART,
    Group,
    RequestSnapshot,
    number_of,
)
from opentelemetry.instrumentation.gluellm.snapshots.windows import Window, summed
from opentelemetry.instrumentation.gluellm.text import counted, one_line, percent, rate, seconds
from opentelemetry.instrumentation.gluellm.vocabulary import MOST_ANSWERED, SENDING

from ..case import Activity, PoolCase, activity_of
from ..changes import by_group, first_half, slow_share, slower_groups, took, usual_answers
from ..findings import Finding, Kind, Meaning, caller_text
from ..severity import severity
from .timeouts import bound_reads, evidence_of, read_timeouts, safe_limit, usual_time

_SOMETHING_HANGS = (
    "the provider hangs, or something on the path (a gateway, a proxy, a firewall) takes the "
    "requests and passes nothing on. Seen from here, both look alike."
)
_HANGS = Meaning(
    f"Nothing arrives any more: {_SOMETHING_HANGS}",
    "Check the provider's status page, and send one request by hand, past the proxy or from "
    "another network: if it is answered, the path is the cause.",
)
_PINGS = Meaning(
    "Bytes arrive, but neither an item nor the end of the answer: the provider, or a proxy on the "
    "path, sends only pings, or an item without an end. A read timeout does not end that.",
    "Give the whole stream, or the time between its items, a timeout of your own, and send the "
    "request again. Check the provider's status page.",
)
_Times = Sequence[float]
_AS_LONG = 0.9
"""Share of the longest wait that was answered: the same wait, measured elsewhere."""
_SLOW = Meaning(
    "Requests wait for the provider's bytes most of the time. The provider or the path to it "
    "is slow, or the requests have changed: a larger model, longer questions or answers.",
    "Check the provider's status page, and compare models. Stream the answers, to notice "
    "silence early. {}. Send fewer requests at a time, or send some to a second provider.",
)
_SOME_HANG = Meaning(
    "Other requests are answered long before the client gives up. Where it gives up, the provider "
    "hangs, the request needs far longer, or its connection is lost unnoticed, as in a firewall.",
    "Check the provider's status page, and compare the requests that time out with the others. {}, "
    "and repeat the requests that time out.",
)
_PARTLY = Meaning(
    "Some answers begin as soon as before, the others much later. One of several servers that "
    "answer (addresses of the host, replicas, regions) may be slow, or these requests differ. "
    "The slow requests have connections, so the pool is not the cause.",
    "Compare the addresses of the host (getent ahosts HOST), or the replicas behind the gateway. "
    "Compare the slow requests with the others: model, length, tools. {}.",
)
_BUFFERED = Meaning(
    "Answers take as long as before, but now come in one piece at their end. Most likely a "
    "proxy or gateway on the path buffers streams, or the application no longer streams.",
    "Switch buffering and compression off at the proxy or ingress (nginx: proxy_buffering off).",
)
_LONGER = Meaning(
    "Answers begin as soon as before. Most likely, they are longer at the same speed. But "
    "their items are not observed, so the provider may instead send more slowly.",
    "Compare the length of the answers with before, and limit it by the prompt or max_tokens. If "
    "it is the same, check the provider's status page.",
)
"""By how the times of answers have changed."""


def _change(case: PoolCase, group: Group) -> Meaning:
    """Return what the times to the headers and after them say about answers that became slower."""
    answers, earlier = case.compared_answers
    now = [answer for answer in answers if answer.group == group]
    was = first_half([answer for answer in earlier if answer.group == group])
    if len(now) < thresholds.CURRENT_REQUESTS:
        return _SLOW
    (head, rest), (usual_head, usual_rest) = (
        (median(one.head for one in side), median(one.rest for one in side)) for side in (now, was)
    )
    if head < thresholds.SLOWER * usual_head and slow_share(case, group):
        return _PARTLY
    # The whole takes about as long: a part of the rest became a part of the head.
    moved = abs(head + rest - usual_head - usual_rest) < (usual_head + usual_rest) / 4
    if moved and thresholds.SLOWER**2 * rest <= usual_rest and head > usual_head:
        return _BUFFERED
    unseen = not any(answer.items for answer in now)
    return _LONGER if unseen and head < thresholds.SLOWER * max(usual_head, 0.1) else _SLOW


def _gave_up(activity: Activity) -> int:
    """Return the number of requests that waited for the provider until their read timeout."""
    # If connections were lost, it is unknown which requests waited for the provider.
    return 0 if activity.number("lost_peers") else activity.number("timeout", "read")


def gives_up(case: PoolCase) -> bool:
    """Return whether many requests wait for the provider until their read timeout."""
    share = thresholds.READ_TIMEOUT_SHARE * case.activity.left
    return _gave_up(case.activity) >= max(thresholds.READ_TIMEOUTS, share)


def slow_provider(case: PoolCase, *, slower: bool) -> Finding | None:
    """Detect a provider that takes longer than before, or longer than read timeouts."""
    many = gives_up(case)
    if not (slower or many):
        return None
    groups, _ = slower_groups(case)
    observed = f"{_mean_waits(case, groups, slower)}{_pressure(case, slower)}"
    limit = read_timeouts(case)[0] if many else 0.0
    usual = _usual(case) if limit and not slower else 0.0
    if limit:
        observed += f"; the client's own read timeout is {seconds(limit)}"
    if usual:
        observed += f", and 95% of the other answers took at most {seconds(usual)}"
    ended = [f.ago + f.phase_age for f in case.totals.failures if f.result == "read_timeout"]
    kind, (explanation, advice) = Kind.SLOW_PROVIDER, _why_slow(case, groups, usual)
    if many and 2 * _unanswered(case, ended) > len(ended):
        kind, (explanation, advice) = Kind.CALLS_SILENT, _HANGS
        if 0 < limit < thresholds.CALL_SLOW_LIMIT:
            advice += f" If its answer takes over {seconds(limit)}, the read timeout is the cause: "
            advice += "raise it first."
    return Finding(
        kind=kind,
        severity=severity(stuck=many, slower=True),
        observed=f"{observed}.",
        explanation=explanation,
        advice=advice,
    )


def _mean_waits(case: PoolCase, groups: dict[Group, str], slower: bool) -> str:
    """Return text on the mean waits for the provider, and on groups that have become slower."""
    activity = case.activity
    head, body = map(seconds, map(activity.provider_time, PROVIDERS_PART))
    head = f"at least {head}" if activity.held_now else head
    text = f"Mean wait for the provider: {head} for the response headers, {body} for the rest"
    slow = [f"calls{caller_text(*group)}, {how}" for group, how in groups.items() if how]
    others = [
        f"calls{caller_text(*group)}" for group, how in groups.items() if any(group) and not how
    ]
    if slow:
        text += f". Slower now: {'; '.join(slow)}"
        if others and not case.loop_is_blocked:
            text += f"; as fast as before: {', '.join(others[:3])}"
    elif slower and case.baseline is not None:
        was = case.baseline.provider_time(*PROVIDERS_PART, at_most=True)
        text += f" (before: {seconds(was)} for both)"
    return text


def _pressure(case: PoolCase, slower: bool) -> str:
    """Return text on read timeouts, on the queue and on more requests than before."""
    activity, text = case.activity, ""
    if gives_up(case):
        timed_out = f"{_gave_up(activity)} of {counted(activity.left, 'request')}"
        text += f"; {timed_out} ended in a read timeout"
    if slower and case.queue_matters:
        share = percent(activity.time("queued") / activity.time())
        text += f"; requests queue ({share} of the time) since connections are held for longer"
    if case.growth >= thresholds.BUSIER:
        text += f"; {case.growth:.2g} times as many requests arrive as before"
    return text


def _why_slow(case: PoolCase, groups: dict[Group, str], usual: float) -> Meaning:
    """Return why it takes longer; ``usual`` is the time of the answers that a timeout spares."""
    timeout = bound_reads(case)
    if _gave_up(case.activity) and read_timeouts(case)[0] < thresholds.CALL_SLOW_LIMIT:
        timeout = "Raise the read timeout if the model takes that long"
    changed = {_change(case, group) for group, text in groups.items() if text}
    explanation, advice = _SLOW if gives_up(case) or len(changed) != 1 else changed.pop()
    if usual:
        explanation, advice = _SOME_HANG
    elif case.growth >= thresholds.BUSIER and explanation == _SLOW.explanation:
        explanation += " Most likely more requests arrive at a time than the provider serves."
        advice = f"First, reduce the load. {advice}"
    if case.loop_is_blocked:
        lag = seconds(case.process.event_loop_lag or 0.0)
        explanation += f" Pauses of an event loop, of up to {lag}, do not explain it."
    return Meaning(explanation, f"{advice.format(timeout)} A larger pool does not help.")


def _usual(case: PoolCase) -> float:
    """Return how long nearly all answers of the requests that a read timeout ends take at most.

    0 if that is unknown, or not far below the timeout.
    """
    timeout, ended, _ = read_timeouts(case)
    usual = usual_time(case.answers, ended)
    return usual if usual < thresholds.NEAR_READ_TIMEOUT * timeout else 0.0


def _last_answer(case: PoolCase) -> float:
    """Return how long ago a request was answered, with any status; infinity if none was."""
    ended = [answer.ago for answer in case.totals.answers]
    ended += [failure.ago for failure in case.totals.failures if failure.result.isdecimal()]
    return min(ended, default=0.0 if case.activity.served else math.inf)


def _unanswered(case: PoolCase, began: Iterable[float]) -> int:
    """Return how many waits that began so long ago have seen no answer to any request.

    0 if one was answered a moment ago.
    """
    last = _last_answer(case)
    return sum(ago <= last for ago in began) if last >= thresholds.OVERDUE_AFTER else 0


def queue_at_provider(case: PoolCase) -> Finding | None:
    """Detect that more requests are sent at a time than the provider serves.

    Answers come at a steady rate, no lower than before, while several times as many requests wait,
    and for several times as long.
    """
    waiting = [request for request in case.requests if request.phase in PROVIDERS_PART]
    oldest = max((request.phase_age for request in waiting), default=0.0)
    latest = [answer for answer in case.totals.answers if answer.ago <= oldest]
    number, ended = number_of(waiting), sum(answer.number for answer in latest)
    evidence = evidence_of("Requests in flight", waiting)
    if not evidence or min(number, ended) < thresholds.PARTLY_SLOW_REQUESTS:
        return None
    span = max(answer.ago for answer in latest)
    later = sum(answer.number for answer in latest if 2 * answer.ago <= span)
    often = ended / max(span, 1.0)
    before = _before_queue(case, number, often)
    if before is None or abs(2 * later - ended) > ended / 4:
        return None
    at_once, took_before, ago = before
    was = by_group(answer for answer in case.kept_answers if answer.ago > ago)
    if was and not any(
        median(map(took, its)) >= thresholds.SLOWER * median(map(took, was[group]))
        for group, its in by_group(latest).items()
        if len(was.get(group, ())) >= thresholds.CALL_QUIET_COUNT
    ):
        return None  # others are as quick as before: these take longer by themselves
    takes, semaphore = number / often, "threading" if case.synchronous else "asyncio"
    return Finding(
        kind=Kind.QUEUE_AT_PROVIDER,
        severity=severity(took=takes, usual=took_before, slower=True),
        observed=f"Answers come at a steady {rate(often)}, however many requests wait: those in "
        f"flight rose from {at_once:.0f} to {number}, and each takes about {seconds(takes)} "
        f"(before: {seconds(took_before)}).",
        evidence=evidence,
        explanation="More requests are sent at a time than the server, or the provider's limit for "
        "this account, serves. The others wait in its queue, so the model need not be slower.",
        advice=f"Send fewer of these at a time ({semaphore}.Semaphore): about "
        f"{math.ceil(often * took_before)} keep the server as busy. Or get more capacity: more "
        "replicas, a higher limit. A longer read timeout or a larger pool does not help.",
    )


def _before_queue(case: PoolCase, number: int, often: float) -> tuple[float, float, float] | None:
    """Return requests in flight and time of each before a ``number`` waited, and how long ago.

    None if no more were sent than before: then they are more since each takes longer.
    """
    arrived = period = 0.0
    for row in reversed((*case.account.before, *case.account.rows)):
        window = Window(row.until - row.since, summed([row.numbers]))
        its = activity_of(window, lambda subject: subject[0] == case.label)
        held, served = its.time(*PROVIDERS_PART), its.served
        few = thresholds.QUEUE_GREW * held < number * min(its.period, served / often)
        if few and served >= thresholds.BASELINE_REQUESTS:
            break
        if 2 * held >= number * its.period:  # what came later does not show why they became more
            arrived = period = 0.0
        arrived += its.number("entered") - its.number("resent")
        period += its.period
    else:
        return None
    more = arrived - served / its.period * period
    least = max((number - held / its.period) / 2, 3 * math.sqrt(arrived))
    if more < least or often < _AS_LONG * served / its.period:
        return None
    return held / its.period, held / served, case.age - row.until


def slow_upload(case: PoolCase) -> Finding | None:
    """Detect requests that are still being sent although they have waited for long."""
    checked = [request for request in case.requests if request.peer]
    unsent = [r for r in checked if r.peer == SENDING and r.phase == "awaiting_response"]
    number, of = number_of(unsent), number_of(checked)
    if number < thresholds.CALL_SILENT_COUNT or 2 * number <= of:
        return None
    return Finding(
        kind=Kind.SLOW_UPLOAD,
        severity=severity(slower=True),
        observed=f"{number} of {counted(of, 'request')} that wait for an answer are "
        f"not completely sent, the longest after {seconds(max(r.phase_age for r in unsent))}: the "
        "system still has bytes of them to send.",
        evidence=evidence_of("These requests", unsent),
        explanation="The other end, or the network path to it, takes the requests slowly.",
        advice="Send less: smaller images and files, or upload them once and refer to them. Check "
        "the uplink and the proxy. A longer read timeout and a larger pool do not help.",
    )


def _waited(request: RequestSnapshot, *, streamed: bool) -> float:
    """Return the time since the request was sent, or since the last item that was seen."""
    if request.phase != "reading":
        return request.phase_age
    return (request.item_wait if streamed else request.held) or 0.0


def _overdue(case: PoolCase) -> dict[int, float]:
    """Return how long requests have waited that take far too long.

    The requests are those at these places of ``case.requests``. Where the items of a stream are
    seen, the time since the last one counts. A wait is compared with answers of the same group
    from before the incident: 10 times the longest is too long, and 2 times if many requests in
    flight wait for so long while others that were sent after them are answered.
    """
    lost = set(map(id, case.lost))
    kept, usual = by_group(case.kept_answers), usual_answers(case)
    sent = {group: sorted(one.ago + took(one) for one in its) for group, its in kept.items()}
    streamed = {group for group, its in kept.items() if any(answer.items for answer in its)}
    silence = max((o.longest_silence_answered for o in case.totals.origins), default=0.0)
    # An answer that took so long during the incident is not what was usual before it.
    if any(took(one) >= _AS_LONG * silence for one in case.compared_answers[0]):
        silence = 0.0
    complete = len(case.totals.answers) < MOST_ANSWERED
    far: dict[int, float] = {}
    overtaken: dict[int, float] = {}
    for number, request in enumerate(case.requests):
        group = request.group
        its = usual.get(group, ())
        if request.phase not in PROVIDERS_PART or id(request) in lost:
            continue
        if len(its) < thresholds.BASELINE_REQUESTS:
            continue
        waited = _waited(request, streamed=group in streamed)
        longest = max(map(took, its))
        least = max(thresholds.OVERDUE_AFTER, thresholds.OVERDUE_FACTOR * longest)
        # One that is no longer kept, or of another model, can have taken as long.
        if not (request.model and complete):
            least = max(least, silence)
        if waited > least:
            far[number] = waited
        least = max(thresholds.OVERDUE_AFTER, thresholds.SLOWER * longest, silence)
        after = bisect_left(sent[group], waited)
        if waited > least and after >= thresholds.BASELINE_REQUESTS:
            overtaken[number] = waited
    share = thresholds.OVERDUE_SHARE * number_of(case.requests)
    many = number_of(case.requests[at] for at in overtaken)
    return overtaken if many >= max(thresholds.CALL_MANY, share) else far


def overdue_requests(case: PoolCase) -> Finding | None:
    """Detect requests that take far longer than any answer of the same model and call site."""
    waited = _overdue(case)
    found = [case.requests[number] for number in waited]
    unknown = not any(request.model for request in found)
    least = thresholds.OVERDUE_UNKNOWN if unknown else thresholds.OVERDUE_REQUESTS
    number, of = number_of(found), number_of(case.requests)
    if number < max(least, thresholds.OVERDUE_SHARE * of):
        return None
    usual, groups = usual_answers(case), {request.group for request in found}
    before = max(took(one) for group in groups for one in usual[group])
    last = min(one.ago for one in case.kept_answers if one.group in groups)
    began = (waited[at] for at in waited for _ in case.requests[at].alike)
    reading = [request for request in found if request.phase == "reading"]
    # Bytes that arrive end a phase of reading and begin the next one.
    fed = number_of(request for request in reading if 2 * request.phase_age < (request.held or 0.0))
    stalled, oldest = 2 * number_of(reading) > number, max(waited.values())
    doing = "have waited for their answer"
    doing = "began to be answered and have brought no item" if stalled else doing
    later, why = _other_answers(case, groups, before, oldest)
    advice = "Check the path (gateway, proxy, address translator, firewall) and the provider's "
    advice += "status page."
    if 2 * _unanswered(case, began) > number:
        why, advice = _HANGS
    if any(request.peer == "unknown" for request in found):
        why += " The system's TCP state shows no lost connection."
    advice += f" {bound_reads(case, stalls=True)}, and send these requests again."
    if 2 * fed > number:
        why, advice = _PINGS
    many = number >= thresholds.CALL_MANY
    return Finding(
        kind=Kind.STALLED_STREAMS if stalled else Kind.CALLS_SILENT,
        severity=severity(stuck=many or last >= thresholds.OVERDUE_AFTER, slower=True),
        observed=f"{number} of {counted(of, 'request')} in flight {doing} for up to "
        f"{seconds(oldest)}. Earlier answers of the same model and call site took at most "
        f"{seconds(before)}; the newest ended {seconds(last)} ago{later}.",
        evidence=evidence_of("The overdue requests", found),
        explanation=why,
        advice=advice,
    )


def _other_answers(
    case: PoolCase, groups: set[Group], before: float, oldest: float
) -> tuple[str, str]:
    """Return text on the answers to other requests meanwhile, and what they mean.

    Earlier answers took at most ``before``; the oldest overdue request was sent ``oldest`` ago.
    """
    kept = [one for one in case.kept_answers if one.group in groups]
    later = [took(one) for one in kept if one.ago + took(one) < oldest]
    least = max(thresholds.OVERDUE_AFTER, thresholds.SLOWER * before)
    longer = sum(took(one) > least for one in case.compared_answers[0] if one.group in groups)
    if longer:
        observed = f", and {longer} that took over {seconds(least)} have ended"
        why = "Other requests are answered in time. In these answers, the provider or a gateway on "
        return observed, f"{why}the path pauses, and goes on with some of them after minutes."
    if len(later) >= thresholds.PARTLY_SLOW_REQUESTS and max(later) < thresholds.CUT_OFF * before:
        limit = seconds(max(later))
        why = "The quick answers come as before, so the provider is not slow. What takes over "
        why += f"{limit} gets no answer: most likely, a gateway or address translator on the path "
        observed = f". Of those sent meanwhile, none was answered after more than {limit}"
        return observed, f"{why}forgets requests after that time."
    why = "Other requests are answered. Either the provider does not answer these, or a firewall "
    return "", f"{why}dropped their connections silently."


def silent_provider(case: PoolCase) -> Finding | None:
    """Detect that several requests are sent and none is answered meanwhile.

    Needs no baseline, so that it holds from a process's first request on. Reasoning models are
    silent for 300 to 700 s: how long it takes to be severe depends on the number of requests, and
    it is only information if earlier answers took about as long.
    """
    lost = set(map(id, case.lost))
    sent = [r for r in case.requests if r.held is not None and id(r) not in lost]
    bytes_came = (r.phase_age for r in sent if r.phase in ("reading", "unread"))
    last = min((_last_answer(case), *bytes_came))
    waiting = [
        request
        for request in sent
        if request.phase == "awaiting_response"
        and thresholds.SILENT_FOR <= request.phase_age <= last
    ]
    if not waiting:
        return None
    longest = max(request.phase_age for request in waiting)
    asked = {request.origin for request in waiting}
    number = number_of(waiting)
    silences = [o.longest_silence_answered for o in case.totals.origins if o.origin in asked]
    answered = max(silences, default=0.0)
    few, many = number < thresholds.SILENT_REQUESTS, number >= thresholds.CALL_MANY
    usual = answered >= thresholds.SILENT_AS_BEFORE * longest
    least = thresholds.SILENT_FOR if case.queued_now else thresholds.UNANSWERED_AFTER
    slower = thresholds.CALL_SLOW_LIMIT if few else least
    stuck = thresholds.UNANSWERED_SEVERE if many else thresholds.CALL_SLOW_LIMIT
    return Finding(
        kind=Kind.CALLS_SILENT,
        severity=severity(
            stuck=longest >= stuck and not (few or usual), slower=longest >= slower and not usual
        ),
        observed=f"{counted(number, 'request')} to {', '.join(sorted(map(one_line, asked))[:3])} "
        f"sent and waiting for the first byte of an answer, the longest for {seconds(longest)}; "
        f"none was answered meanwhile, {case.queued_now} queued. Longest wait that was answered: "
        f"{seconds(answered) if answered else 'none'}.",
        evidence=evidence_of("The unanswered requests", waiting),
        explanation="They have their connections, so the pool is not the cause. Reasoning models "
        f"are silent for 300 to 700 s. With other models, {_SOMETHING_HANGS}",
        advice=f"{_HANGS.advice} {bound_reads(case)}. A larger pool does not help.",
    )


def stalled_streams(case: PoolCase) -> Finding | None:
    """Detect streams whose bytes arrive while the application gets no item."""
    stalled = [
        request
        for request in case.requests
        if request.items_silent and 2 * request.phase_age < (request.item_wait or 0.0)
    ]
    if not stalled:
        return None
    longest = max(request.item_wait or 0.0 for request in stalled)
    number, (_, measured) = number_of(stalled), safe_limit(case, stalls=True)
    many = number >= thresholds.CALL_SILENT_COUNT
    return Finding(
        kind=Kind.STALLED_STREAMS,
        severity=severity(slower=many),
        observed=f"{counted(number, 'stream')} without an item, the longest for "
        f"{seconds(longest)}, while bytes arrive.",
        evidence=evidence_of("These streams", stalled),
        explanation=_PINGS.explanation,
        advice=f"{_PINGS.advice}{measured and f' Measured: {measured}.'}",
    )


def silent_connections(case: PoolCase) -> Finding | None:
    """Detect requests that wait although there is evidence that no answer can come."""
    checked = [request for request in case.requests if request.peer]
    lost = sorted((r for r in checked if r.lost_peer), key=lambda r: -r.peer_silence)
    ended = case.activity.number("lost_peers")
    if not lost and not ended:
        return None
    observed = f"{counted(ended, 'request')} ended on a lost connection"
    number: Counter[str | None] = Counter()
    for request in lost:
        number[request.peer] += request.number
    if lost:
        longest = {request.peer: request.lost_peer for request in reversed(lost)}
        states = ", ".join(f"{longest[peer]} ({count})" for peer, count in number.items())
        observed = f"Of {counted(number_of(checked), 'silent request')} checked: {states}"
    probe = case.probe if "unacknowledged" in number else ""
    return Finding(
        kind=Kind.SILENT_CONNECTIONS,
        severity=severity(stuck=bool(lost), slower=True),
        observed=f"{observed}.",
        explanation="Their TCP state shows that the host is gone, the network path drops packets, "
        "or the other end (behind a proxy: the proxy) has closed or stopped reading. A slow "
        "provider does not explain it.",
        advice="Cancel these requests and send them again. A read timeout ends them earlier. Check "
        f"the path: firewall, address translator, load balancer, proxy.{probe}",
    )
