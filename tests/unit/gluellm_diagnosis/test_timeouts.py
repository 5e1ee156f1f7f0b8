"""Timeouts of the application and of its client that end calls."""

from dataclasses import replace
from typing import Any

import pytest

from gluellm_diagnosis.diagnose import diagnose
from gluellm_diagnosis.findings import Fact, Kind, Severity
from opentelemetry.instrumentation.gluellm.snapshots.parts import Answer, Failure
from opentelemetry.instrumentation.gluellm.snapshots.snapshot import Snapshot

from .building import (
    BLOCKED,
    a_pool,
    a_request,
    a_snapshot,
    all_kinds,
    found,
    kinds,
    the_calls,
    the_totals,
)

SITE = "app.py:7 in ask"


def ended(
    result: str, ages: list[float], phase: str = "awaiting_response", **changes: Any
) -> tuple[Failure, ...]:
    """Requests that ended with this result at these ages, which they spent in one phase."""
    whose = {"model": "gpt-4o", "call_site": SITE}
    return tuple(
        Failure(
            **{"ago": 9.0, "age": a, "phase_age": a, **whose, **changes}, result=result, phase=phase
        )
        for a in ages
    )


def answers(number: int, head: float = 0.4, ago: float = 5.0) -> tuple[Answer, ...]:
    return (Answer(ago, "gpt-4o", head, 0.5, 0),) * number


def after(failures: tuple[Failure, ...], answered: tuple[Answer, ...], **changes: Any) -> Snapshot:
    """A process whose latest requests are these."""
    errors = {failures[0].result: len(failures)} if failures else {}
    totals = the_totals(100, errors=errors, failures=failures, answers=answered)
    read_timeout = changes.pop("read_timeout", 600.0)
    return a_snapshot(totals, a_pool(read_timeout=read_timeout), **changes)


TIMED_OUT = ended("cancelled", [8.0, 8.01, 8.0, 8.2, 7.99, 8.0])


@pytest.mark.parametrize(
    ("failures", "answered", "fires"),
    [
        (TIMED_OUT, answers(10), True),
        # Below the threshold of GlueLLMCallsFail, kind=cancelled.
        (TIMED_OUT, answers(20), False),
        (ended("cancelled", [8.0] * 9 + [3.0, 1.0]), answers(20), True),
        # Users leave at any age, some within a moment; a few calls are no pattern.
        (ended("cancelled", [0.9, 2.0, 3.7, 8.0, 11.0, 30.0]), answers(20), False),
        (ended("cancelled", [0.1] * 9), answers(20), False),
        (TIMED_OUT[:4], answers(20), False),
        (TIMED_OUT, answers(60), False),
        (TIMED_OUT, (Answer(5.0, "gpt-4o", 0.4, 0.5, 0, number=60),), False),
        # Long ago.
        (ended("cancelled", [8.0] * 9, ago=301.0), answers(20), False),
        # Another result.
        (ended("read_error", [8.0] * 9), answers(20), False),
    ],
)
def test_cancelled_calls_of_one_age(failures, answered, fires):
    assert (Kind.CALLS_CUT_SHORT in kinds(after(failures, answered))) is fires


@pytest.mark.parametrize(("earlier", "fires"), [(-0.1, True), (0.1, False), (0.3, True)])
def test_calls_of_a_group_in_which_one_failed_are_not_cut_by_a_timeout(earlier, fires):
    """The group cancels the others after one has failed."""
    of_groups = (ended("cancelled", [0.5] * 3, ago=ago) for ago in (2.0, 4.0, 6.0, 8.0))
    failed = [one for n in (2, 4, 6, 8) for one in ended("500", [0.5], ago=n + earlier)]
    snapshot = after((*sum(of_groups, ()), *failed), answers(4))
    assert (Kind.CALLS_CUT_SHORT in kinds(snapshot)) is fires


def test_age_phase_and_call_site_of_cancelled_calls_are_named():
    finding = found(Kind.CALLS_CUT_SHORT, after(TIMED_OUT, answers(20)))
    assert finding.observed == (
        "6 of the last 26 requests were cancelled after about 8.0 s, all while waiting for the "
        "response headers."
    )
    assert finding.evidence == (Fact("Cancelled after about 8.0 s", 6, 6, "gpt-4o", SITE),)
    assert str(finding.evidence[0]) == (
        "Cancelled after about 8.0 s: 6 of 6 from app.py:7 in ask (gpt-4o)."
    )
    assert "asyncio.wait_for" in finding.advice
    queued = after(ended("cancelled", [8.0] * 9, "queued"), answers(20), gluellm=True)
    finding = found(Kind.CALLS_CUT_SHORT, queued)
    assert "while queued for a connection" in finding.observed
    assert finding.advice.startswith("Remove the queue first")
    assert "GLUELLM_DEFAULT_REQUEST_TIMEOUT" in finding.advice
    (sync,) = [
        finding
        for finding in diagnose(
            a_snapshot(
                the_totals(100, failures=TIMED_OUT, answers=answers(20)), a_pool(synchronous=True)
            )
        )
        if finding.kind is Kind.CALLS_CUT_SHORT
    ]
    assert "asyncio" not in sync.advice


def test_calls_that_are_cut_since_their_answers_take_longer():
    """No answer has come since, so the cause is not the timeout alone."""
    usual = tuple(one._replace(call_site=SITE) for one in answers(6, ago=150.0))
    finding = found(Kind.CALLS_CUT_SHORT, after(TIMED_OUT, usual))
    assert finding.observed.endswith("Until 150 s ago, such calls ended within 0.90 s.")
    assert finding.explanation.endswith("The answers take longer than before.")
    assert finding.advice.startswith("Find out why they take longer")


def test_calls_that_queued_for_most_of_their_time():
    """They got their connection just before they were cancelled."""
    late = ended("cancelled", [8.0] * 9, phase_age=0.3)
    observed = found(Kind.CALLS_CUT_SHORT, after(late, answers(9))).observed
    assert "all while waiting for the response headers, shortly after" in observed


CUT = ended("read_timeout", [5.0] * 6)


@pytest.mark.parametrize(
    ("failures", "answered", "expected"),
    [
        # Answers come after up to 4 s, and the limit is 5 s.
        (CUT, answers(20, 1.0) + answers(3, 4.0), [Kind.READ_TIMEOUT]),
        # Answers come at once or never: the provider hangs.
        (CUT, answers(20, 1.0), [Kind.SLOW_PROVIDER]),
        # The requests had another limit than the pool.
        (ended("read_timeout", [30.0] * 6), answers(20, 4.0), [Kind.SLOW_PROVIDER]),
        # Nothing is answered now, although answers once took nearly as long.
        (CUT, answers(20, 4.0, ago=301.0), [Kind.CALLS_SILENT]),
        (CUT[:2], answers(20, 4.0), []),
    ],
)
def test_read_timeout_that_cuts_good_answers(failures, answered, expected):
    assert kinds(after(failures, answered, read_timeout=5.0)) == expected


@pytest.mark.parametrize(
    ("limits", "observed"),
    [
        # The limit of one client; a limit of the requests themselves.
        ((600.0, 5.0), "own read timeout is 5.0 s"),
        ((600.0,), "own read timeout is 5.1 s"),
        # aiohttp with a limit for the whole request; a client that is gone.
        ((None,), "own read timeout is 5.1 s"),
        ((), "own read timeout is 5.1 s"),
    ],
)
def test_read_timeout_of_the_requests_that_it_ended(limits, observed):
    cut = ended("read_timeout", [5.1] * 6)
    totals = the_totals(100, errors={"read_timeout": 6}, failures=cut, answers=answers(20, 4.0))
    now = a_snapshot(totals, *(a_pool(read_timeout=limit) for limit in limits))
    assert observed in found(Kind.READ_TIMEOUT, now).observed


def test_unknown_limit_that_ends_streams_is_not_judged():
    """aiohttp's limit for the whole request ends streams after any silence."""
    cut = ended("read_timeout", [5.1] * 6, "unread", phase_age=0.0)
    assert kinds(after(cut, answers(20, 4.0), read_timeout=None)) == [Kind.SLOW_PROVIDER]


def test_read_timeout_that_cuts_is_not_advised():
    finding = found(
        Kind.READ_TIMEOUT, after(CUT, answers(20, 1.0) + answers(3, 4.0), read_timeout=5.0)
    )
    assert "3 answers began only after 4.0 s to 4.0 s" in finding.observed
    assert "Your timeout ends requests" in finding.explanation
    assert "Raise the read timeout" in finding.advice
    assert "httpx2.Timeout(60, connect=5)" in finding.advice
    assert "Set a read timeout" not in finding.advice


@pytest.mark.parametrize(
    ("limit", "first"), [(5.0, Kind.READ_TIMEOUT), (600.0, Kind.SLOW_PROVIDER)]
)
def test_timeout_of_single_requests_is_no_cause_if_the_provider_became_slower(limit, first):
    """As in the demo's act slow. The client's own limit comes first."""
    errors = {"read_timeout": 50}
    slower = the_totals(**SLOWER, errors=errors, failures=CUT, answers=answers(20, 4.0))
    now = a_snapshot(slower, a_pool(read_timeout=limit), uptime=200.0)
    assert kinds(now, a_snapshot())[0] is first


def test_read_timeouts_are_counted_once():
    """The account counts all requests; only the latest are known individually."""
    totals = the_totals(
        160, errors={"read_timeout": 50}, failures=CUT, answers=answers(20, 1.0) + answers(3, 4.0)
    )
    now = a_snapshot(totals, a_pool(read_timeout=5.0), uptime=200.0)
    observed = found(Kind.READ_TIMEOUT, now, a_snapshot()).observed
    assert observed == (
        "50 of 60 requests in openai/httpx2 failed in the last 2 min (0% earlier): 50 with "
        "read_timeout. The client's own read timeout is 5.0 s without a byte; 3 answers began "
        "only after 4.0 s to 4.0 s."
    )


def test_http2_answers_can_be_read_later_than_they_arrived():
    """The read of a stream that gets no answer delays those of others, until it times out."""
    snapshot = after(CUT, answers(20, 1.0) + answers(3, 6.0), read_timeout=5.0)
    assert Kind.READ_TIMEOUT in kinds(snapshot)
    (totals,) = snapshot.totals
    shared = replace(totals, origins=(replace(totals.origins[0], protocols=("2",)),))
    assert kinds(replace(snapshot, totals=(shared,))) == [Kind.SLOW_PROVIDER]


STOPPED = ended("read_timeout", [20.4] * 9, "unread", head=0.4, phase_age=0.0)
OTHERS = (Answer(5.0, "gpt-4o", 0.4, 0.5, 0, call_site=SITE),) * 20


@pytest.mark.parametrize(
    ("failures", "answered", "process", "expected"),
    [
        (STOPPED, OTHERS, {}, [Kind.TRUNCATED_ANSWERS]),
        (STOPPED, OTHERS, BLOCKED, [Kind.TRUNCATED_ANSWERS, Kind.BLOCKED_EVENT_LOOP]),
        (STOPPED, OTHERS, {**BLOCKED, "event_loop_lag": 2.0}, [Kind.BLOCKED_EVENT_LOOP]),
        # Others take long as well, no answer had begun, or none of them is known.
        (STOPPED, (OTHERS[0]._replace(head=6.0),) * 20, {}, [Kind.SLOW_PROVIDER]),
        (ended("read_timeout", [20.4] * 9), OTHERS, {}, [Kind.SLOW_PROVIDER]),
        (STOPPED, (Answer(5.0, "o3", 0.4, 0.5, 0),) * 20, {}, [Kind.SLOW_PROVIDER]),
    ],
)
def test_answers_that_begin_and_stop(failures, answered, process, expected):
    snapshot = after(failures, answered, read_timeout=20.0, **process)
    assert kinds(snapshot) == expected
    if expected[0] is Kind.TRUNCATED_ANSWERS:
        finding = found(Kind.TRUNCATED_ANSWERS, snapshot)
        assert "brought no byte for 20 s, while 95% of the other answers took at most 0.90 s" in (
            finding.observed
        )
        assert finding.evidence[0].model == "gpt-4o"
        assert "timeout" not in finding.advice


def test_provider_that_hangs_for_some_requests_only():
    finding = found(Kind.SLOW_PROVIDER, after(CUT, OTHERS, read_timeout=5.0))
    assert "own read timeout is 5.0 s, and 95% of the other answers took at most 0.90 s" in (
        finding.observed
    )
    assert finding.explanation.startswith("Other requests are answered")
    pool = a_pool(read_timeout=5.0, tcp_keepalive=False)
    snapshot = replace(after(CUT, OTHERS), pools=(pool,))
    assert "SO_KEEPALIVE" not in found(Kind.SLOW_PROVIDER, snapshot).advice  # none is lost
    long = tuple(answer._replace(rest=3.0) for answer in OTHERS)
    finding = found(Kind.SLOW_PROVIDER, after(CUT, long, read_timeout=5.0))
    assert finding.observed.endswith("own read timeout is 5.0 s.")


def test_read_timeout_that_ends_all_requests_may_be_too_short():
    """If so, a manual request is answered, and the path is not the cause."""
    silent = after(CUT, answers(20, 4.0, ago=301.0), read_timeout=5.0)
    advice = found(Kind.CALLS_SILENT, silent).advice
    assert "If its answer takes over 5.0 s, the read timeout is the cause" in advice


@pytest.mark.parametrize("number", [3, 20])
def test_default_timeouts_of_sdks_end_requests_that_hang(number):
    """At 600 s, nothing was answered for as long: no good answer is cut."""
    hung = ended("read_timeout", [600.0] * number, ago=4.0)
    rings = {"failures": hung, "answers": answers(20, 0.4, ago=606.0)}
    totals = the_totals(number, errors={"read_timeout": number}, **rings)
    finding = found(Kind.CALLS_SILENT, a_snapshot(totals, uptime=900.0))
    assert "own read timeout is 600 s" in finding.observed
    assert "Raise the read timeout" not in str(finding)
    assert "raise it first" not in str(finding)


def test_default_timeouts_of_sdks_are_lowered_where_others_are_answered():
    hung = ended("read_timeout", [600.0] * 6, ago=4.0)
    finding = found(Kind.SLOW_PROVIDER, after(hung, answers(20), uptime=900.0))
    assert "Lower the read timeout from 600 s" in finding.advice
    assert "Raise the read timeout" not in finding.advice


@pytest.mark.parametrize(
    ("timeout", "advised"),
    [
        (None, "Set a read timeout (the longest healthy silence"),
        (4000.0, "Lower the read timeout from 4000 s (the longest healthy silence"),
        (60.0, "Keep the read timeout of 60 s, and"),
    ],
)
def test_read_timeout_is_advised_by_the_longest_silence_before(timeout, advised):
    """Probes would only replace the transport: nothing shows that a connection is lost."""
    snapshot = hanging(20, read_timeout=timeout, tcp_keepalive=False)
    (totals,) = snapshot.totals
    earlier = tuple(one._replace(ago=400.0) for one in totals.answers)
    snapshot = replace(snapshot, totals=(replace(totals, answers=earlier),))
    advice = found(Kind.CALLS_SILENT, snapshot).advice
    assert advised in advice
    assert "SO_KEEPALIVE" not in advice


def test_advice_on_silent_and_stalled_requests_has_the_timeout():
    """Nothing was answered yet; pings arrive, which a read timeout does not end."""
    waiting = a_pool([a_request("awaiting_response", 90.0)] * 10)
    advice = found(Kind.CALLS_SILENT, a_snapshot(the_totals(0), waiting)).advice
    assert "Lower the read timeout from 600 s. A larger pool does not help." in advice
    fed = a_pool([a_request("reading", 0.5, item_wait=90.0, items_silent=True)] * 2)
    totals = the_totals(answers=answers(10, head=31.0, ago=400.0))
    advice = found(Kind.STALLED_STREAMS, a_snapshot(totals, fed, uptime=4000.0)).advice
    assert "Measured: the longest healthy silence (gpt-4o) was 31 s: a limit of 90 s" in advice


@pytest.mark.parametrize("later", [0.5, 180.0])
def test_stall_that_has_ended_does_not_become_usual(later):
    """The longest silence was that stall. Before it, none was over 2 s."""
    earlier = tuple(Answer(400.0, "gpt-4o", 2.0, 0.5, 9, 1, SITE) for _ in range(40))
    usual = (*earlier, Answer(20.0, "gpt-4o", later, 0.5, 9, 1, SITE))
    waiting = tuple(a_request("awaiting_response", 200.0, call_site=SITE) for _ in range(20))
    ever = {"longest_silence_answered": 180.0}
    totals = the_totals(100, now={"awaiting_response": 20}, answers=usual, origin=ever)
    snapshot = a_snapshot(totals, a_pool(waiting, read_timeout=600.0), uptime=4000.0)
    advice = found(Kind.CALLS_SILENT, snapshot).advice
    assert ("silence from app.py:7 in ask (gpt-4o) was 2.0 s" in advice) is (later == 180.0)
    assert ("Keep the read timeout of 600 s" in advice) is (later != 180.0)


@pytest.mark.parametrize(
    ("head", "gap", "ever", "text"),
    [
        (31.0, 0.0, 0.0, "silence from app.py:7 in ask (gpt-4o) was 31 s: a limit of 90 s"),
        (0.05, 31.0, 0.0, "silence from app.py:7 in ask (gpt-4o) was 31 s: a limit of 90 s"),
        (0.4, 0.0, 0.0, "was 0.40 s: a limit of 60 s"),
        # One that is not kept any more.
        (0.4, 2.0, 100.0, "the longest healthy silence was 100 s: a limit of 300 s"),
    ],
)
def test_safe_limit_is_three_times_the_longest_healthy_silence(head, gap, ever, text):
    usual = tuple(
        Answer(5.0, "gpt-4o", head if first else 0.1, 0.5, 9, 1, SITE, gap if first else 0.0)
        for first in [True] + [False] * 9
    )
    totals = the_totals(100, answers=usual, origin={"longest_silence_answered": ever})
    finding = found(Kind.NO_READ_TIMEOUT, a_snapshot(totals, a_pool(**FOREVER)))
    assert finding.severity is Severity.INFO
    assert f"{text} would have ended only dead requests." in finding.observed
    fewer = a_snapshot(replace(totals, answers=usual[:9]), a_pool(**FOREVER))
    assert found(Kind.NO_READ_TIMEOUT, fewer).observed == "No read timeout."


def test_blocked_loop_can_let_read_timeouts_expire():
    blocked = after(CUT, answers(20, 4.0), read_timeout=5.0, **BLOCKED)
    assert all_kinds(blocked) == [Kind.BLOCKED_EVENT_LOOP]


SLOWER = {"requests": 200, "each": {"awaiting_response": 3.0}}


@pytest.mark.parametrize(
    ("failures", "head", "first"),
    [
        # The calls would have ended a little later: the timeout ends most of them.
        (ended("cancelled", [8.0] * 20, "reading"), 0.4, Kind.CALLS_CUT_SHORT),
        (ended("cancelled", [8.0] * 20, "unread", phase_age=0.0), 0.4, Kind.CALLS_CUT_SHORT),
        (ended("cancelled", [8.0] * 20), 4.0, Kind.CALLS_CUT_SHORT),
        # No answer comes near it, or few calls are cancelled.
        (ended("cancelled", [8.0] * 20), 0.4, Kind.SLOW_PROVIDER),
        (TIMED_OUT, 4.0, Kind.SLOW_PROVIDER),
    ],
)
def test_slower_provider_and_the_timeout_of_the_application(failures, head, first):
    """Both are reported, first the one that has to change for calls to succeed."""
    slower = the_totals(**SLOWER, failures=failures, answers=answers(20, head))
    now = a_snapshot(slower, a_pool(read_timeout=5.0), uptime=200.0)
    assert set(all_kinds(now, a_snapshot())) == {Kind.SLOW_PROVIDER, Kind.CALLS_CUT_SHORT}
    assert kinds(now, a_snapshot())[0] is first
    cut = found(Kind.CALLS_CUT_SHORT, now, a_snapshot())
    assert (cut.severity is Severity.INFO) is (len(failures) < 20)  # few: GlueLLMCallsFail
    assert ("answers take longer than before" in cut.explanation) is (
        first is Kind.CALLS_CUT_SHORT or head == 4.0
    )
    assert ("while reading the answer" in cut.observed) is (
        failures[0].phase in ("reading", "unread")
    )


@pytest.mark.parametrize(
    ("head", "expected"), [(4.0, Kind.READ_TIMEOUT), (0.4, Kind.SLOW_PROVIDER)]
)
def test_read_timeout_below_the_time_of_answers_comes_first(head, expected):
    """It comes before the retries that it causes, unless no answer comes near the timeout."""
    slower = the_totals(
        **SLOWER, errors={"read_timeout": 50}, failures=CUT, answers=answers(20, head)
    )
    calls = {"outcomes": {"succeeded": 80, "failed": 20}, "retries": 50}
    errors = {"errors": {"read_timeout": 20}}
    now = a_snapshot(
        slower,
        a_pool(read_timeout=5.0),
        uptime=200.0,
        calls=(the_calls(**calls, **errors, provider=None),),
    )
    assert kinds(now, a_snapshot()) == [expected, Kind.RETRIES]


FOREVER = {"pool_timeout": 10.0, "read_timeout": None}


def hanging(number: int, **client: Any) -> Snapshot:
    """A process with requests that have waited for an hour, while others are answered."""
    waiting = tuple(
        a_request("awaiting_response", 3600.0, call_site=SITE, model="gpt-4o")
        for _ in range(number)
    )
    usual = tuple(Answer(5.0, "gpt-4o", 0.4, 0.5, 0, call_site=SITE) for _ in range(40))
    totals = the_totals(100, now={"awaiting_response": number}, answers=usual)
    return a_snapshot(totals, a_pool(waiting, **{**FOREVER, **client}), uptime=4000.0)


def test_client_without_a_read_timeout_is_information_while_all_is_well():
    finding = found(Kind.NO_READ_TIMEOUT, a_snapshot(the_totals(), a_pool(**FOREVER)))
    assert finding.severity is Severity.INFO
    assert finding.observed == "No read timeout."
    assert finding.explanation.startswith("If the provider or the path hangs, nothing ends the")
    assert "timeout=httpx2.Timeout(600, connect=5)" in finding.advice
    for client in ({"read_timeout": 60.0}, {"library": "urllib3"}, {"library": "grpc"}):
        healthy = a_snapshot(the_totals(), a_pool(**{**FOREVER, **client}))
        assert Kind.NO_READ_TIMEOUT not in all_kinds(healthy)


def test_nothing_ends_overdue_requests_of_a_client_without_a_read_timeout():
    """A warning beside the finding on the overdue requests, which states what calls suffer."""
    finding = found(Kind.NO_READ_TIMEOUT, hanging(20))
    assert finding.severity is Severity.WARNING
    assert finding.observed == (
        "No read timeout; 20 requests waiting for the provider, the longest for 3600 s; "
        f"the longest healthy silence from {SITE} (gpt-4o) was 0.40 s: a limit of 60 s would have "
        "ended only dead requests."
    )
    assert finding.explanation.startswith("Nothing ends these requests:")
    assert str(finding.evidence[0]) == f"The waiting requests: 20 of 20 from {SITE} (gpt-4o)."
    assert Kind.NO_READ_TIMEOUT not in all_kinds(hanging(20, read_timeout=7200.0))
