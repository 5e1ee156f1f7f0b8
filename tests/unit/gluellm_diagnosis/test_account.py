"""Diagnosis by the account: what is wrong with calls, where their time went, and why."""

import json
import re
from dataclasses import asdict, replace
from typing import Any

import pytest

from gluellm_diagnosis.diagnose import diagnose
from gluellm_diagnosis.findings import UNEXPLAINED, Fact, Finding, Kind, Severity
from gluellm_diagnosis.report import report_on
from gluellm_diagnosis.table import EXPLAINS
from opentelemetry.instrumentation.gluellm.pool.durations import class_of, longest_of
from opentelemetry.instrumentation.gluellm.snapshots.parts import Answer, CallsSnapshot, Failure
from opentelemetry.instrumentation.gluellm.snapshots.snapshot import Snapshot

from .building import (
    ORIGIN,
    a_pool,
    a_request,
    a_snapshot,
    an_account,
    found,
    kinds,
    of_calls,
    the_calls,
    the_totals,
)

CALLS = "calls", "any_llm", "openai"
REQUESTS = "openai/httpx2", ORIGIN, "openai"
HEALTHY = of_calls(60)
HOUR = [HEALTHY] * 35


def taken(*minutes: dict[Any, dict[Any, float]], **more: Any) -> Snapshot:
    """A snapshot at the end of these minutes, of calls to openai."""
    totals = the_totals(origin={"provider": "openai"}, **more.pop("totals", {}))
    return a_snapshot(totals, **{"calls": (the_calls(),), **an_account(*minutes), **more})


def top(*minutes: dict[Any, dict[Any, float]], **more: Any) -> Finding:
    """The first finding, which is above INFO, as ``doctor`` sees it."""
    finding, *_ = diagnose(taken(*minutes, **more))
    assert finding.severity is not Severity.INFO
    return finding


def of_a_plain_sdk(*arguments: Any, **more: Any) -> dict[Any, dict[Any, float]]:
    """A minute of requests of an SDK without any-llm: no calls are counted."""
    minute = of_calls(*arguments, **more)
    del minute[CALLS]
    return minute


# Is anything wrong?


def test_healthy_hour_has_no_finding():
    """Also with 1 % errors, and with some calls that users cancelled."""
    assert not kinds(taken(*HOUR * 2))
    errors = of_calls(100, {}, {"500": 1}, cancelled=20)
    assert not kinds(taken(*[errors] * 60))


@pytest.mark.parametrize(
    ("before", "failed"),
    [
        ([], "150 of 200 calls to openai failed in the last 5 min"),
        ([HEALTHY] * 3, "90 of 120 calls to openai failed in the last 3 min (30% earlier)"),
        (HOUR, "150 of 200 calls to openai failed in the last 5 min (0% earlier)"),
    ],
    ids=["young", "short", "old"],
)
@pytest.mark.parametrize("error", ["401", "503", "RuntimeError"])
def test_calls_that_fail_are_always_found(before, failed, error):
    """Any error is found, also in a young process."""
    finding = top(*before, *[of_calls(40, {}, {error: 30})] * 5)
    assert finding.kind is Kind.CALLS_FAILING
    assert finding.severity is Severity.ERROR
    assert finding.pool == "openai/httpx2"
    assert finding.observed.startswith(failed)
    assert re.search(rf": {failed.split()[0]} with (status )?{error}\b", finding.observed)


@pytest.mark.parametrize(
    ("served", "unserved", "answered"),
    [
        (70, 0, True),  # repeated once
        (40, 0, True),
        (10, 30, False),  # the requests failed
        (10, 0, False),  # they failed before any request
        (40, 20, False),  # repeated with success, and then another request failed
    ],
)
def test_calls_that_fail_after_their_answer(served, unserved, answered):
    """Of 40 calls, 30 fail, although requests were answered successfully."""
    minute = of_calls(40, {}, {"ValidationError": 30})
    requests = minute[REQUESTS]
    left = {("left", 200, None, False): served, ("left", 500, None, False): unserved}
    kept = {item: number for item, number in requests.items() if item[0] != "left"}
    minute[REQUESTS] = {**kept, **left}
    finding = top(*HOUR, *[minute] * 5)
    assert finding.kind is Kind.CALLS_FAILING
    assert "150 with ValidationError" in finding.observed
    text = f"{5 * served} of {5 * (served + unserved)} requests were answered successfully"
    assert (text in finding.observed) is answered
    assert ("stage finishing" in finding.explanation) is answered
    assert ("an HTML page of a gateway" in finding.explanation) is answered
    assert ("response_format" in finding.advice) is answered


@pytest.mark.parametrize(
    ("left", "running", "unsent"),
    [
        ({200: 10}, 0, 150),
        ({200: 10}, 4, 146),  # they can belong to calls that have failed
        ({200: 10, 429: 14}, 0, 80),
        ({200: 10, 429: 16}, 0, 0),  # possibly less than half of them
        ({200: 9}, 0, 0),  # some requests are not observed
        ({}, 0, 0),
    ],
)
def test_calls_that_fail_before_any_request(left, running, unsent):
    """Of 40 calls a minute, 30 fail in the SDK: neither a pool nor evidence is named."""
    minute = of_calls(40, {}, {"InvalidRequestError": 30})
    minute[CALLS]["unsent",] = 30
    items = minute[REQUESTS]
    del items["left", 200, None, False], items["left", 0, "InvalidRequestError", False]
    items |= {("left", status, None, False): count for status, count in left.items()}
    others = (Failure(5.0, "429", 1.0, "unread", 0.0, call_site="a.py:1 in f"),)
    pool = a_pool([a_request()] * running)
    snapshot = taken(*[minute] * 5, totals={"failures": others})
    finding = diagnose(replace(snapshot, pools=(pool,)))[0]
    assert finding.kind is Kind.CALLS_FAILING
    some = "None of them sent a" if unsent == 150 else f"At least {unsent} of them sent no"
    text = f"150 with InvalidRequestError. {some} request."
    assert finding.observed.endswith(text) is (unsent > 0)
    assert ("before a request is sent" in finding.explanation) is (unsent > 0)
    assert (finding.pool is None) is (not finding.evidence) is (unsent > 0)


@pytest.mark.parametrize("unsent", [0, 12])
def test_calls_answered_from_a_cache_are_not_those_that_sent_nothing(unsent):
    """Eight calls are answered from a cache. Twelve fail with the exception of a gRPC status."""
    minute = of_calls(40, {}, {"AioRpcError": 12})
    minute[CALLS]["unsent",] = unsent
    requests = minute[REQUESTS]
    requests["left", 200, None, False] = 20
    requests["left", "UNAVAILABLE", None, False] = requests.pop(("left", 0, "AioRpcError", False))
    assert ("sent no request" in top(*[minute] * 5).observed) is (unsent > 0)


def test_requests_that_were_never_seen_may_have_been_sent():
    """By a client whose requests are not observed."""
    minute = of_calls(40, {}, {"InvalidRequestError": 40})
    minute[CALLS]["unsent",] = 40
    del minute[REQUESTS]
    assert "None of them sent a request" in top(*[minute] * 5).observed
    assert "request" not in top(*[minute] * 5, totals={"origins": ()}).observed


@pytest.mark.parametrize(
    ("error", "beside", "explanation"),
    [
        ("invalid_request", {}, "does not send these requests"),
        ("405", {301: 30}, "follow a redirect with GET"),
        ("405", {}, "refuses these requests: this path"),
        ("405", {307: 30}, "refuses these requests: this path"),
        ("418", {}, "The cause is unknown"),
        ("422", {}, "refuses these requests: something in them"),
        ("431", {}, "their headers are too large: cookies"),
        ("invalid_response", {}, "cannot parse the head"),
    ],
)
def test_calls_that_cannot_succeed_have_an_explanation(error, beside, explanation):
    """The client refuses to send them, a redirect turns POST into GET, or a status shows it."""
    minute = of_calls(40, {}, {error: 30})
    left = {("left", status, None, False): count for status, count in beside.items()}
    minute[REQUESTS] |= left
    finding = top(*HOUR, *[minute] * 5)
    assert finding.kind is Kind.CALLS_FAILING
    assert explanation in finding.explanation


def test_calls_that_the_time_limit_of_a_gateway_ends():
    """They are explained even if nothing repeats them."""
    minute = of_calls(40, {}, {"504": 30})
    ended = tuple(Failure(ago, "504", 60.0, "unread", 0.0, head=60.0) for ago in range(1, 90))
    finding = top(*HOUR, *[minute] * 5, totals={"failures": ended})
    assert finding.kind is Kind.CALLS_FAILING
    assert finding.observed.endswith("150 with status 504; each 504 came after 60 s.")
    assert "time limit of a gateway" in finding.explanation


def test_redirects_are_no_successes_of_a_plain_sdk():
    """Each failed request follows a redirect, so all calls fail and not half of them."""
    minute = of_a_plain_sdk(30, {}, {"405": 30})
    minute[REQUESTS]["left", 301, None, False] = 30
    assert top(minute).observed.startswith("30 of 30 requests in openai/httpx2 failed")


def test_few_refusals_of_a_plain_sdk_have_advice():
    """They are too few for the finding on retries."""
    finding = top(of_a_plain_sdk(5, {}, {"429": 4}))
    assert finding.kind is Kind.CALLS_FAILING
    assert "refuses these requests: the rate limit" in finding.explanation
    assert "check the account's quota" in finding.advice


def test_answers_that_cannot_be_decoded_are_the_gateways():
    """Only HTTP libraries raise this, for a wrong Content-Encoding."""
    minute = of_a_plain_sdk(40)
    minute[REQUESTS]["cut", "DecodingError"] = 24
    finding = top(minute)
    assert "An exception ended the reading of 24 answers" in finding.observed
    assert "not in the encoding that their Content-Encoding header names" in finding.explanation
    assert "application" not in finding.explanation + finding.advice


@pytest.mark.parametrize("counted", [True, False], ids=["any_llm", "sdk"])
def test_answers_that_an_exception_cuts(counted):
    """Requests with status 200 whose stream has an error event."""
    of_minute = of_calls if counted else of_a_plain_sdk
    minute = of_minute(40, {}, {"APIStatusError": 24})
    requests = minute[REQUESTS]
    del requests["left", 0, "APIStatusError", False]
    requests |= {("left", 200, None, False): 40, ("cut", "APIStatusError"): 24}
    finding = top(*[of_minute(40)] * 35, *[minute] * 5)
    assert finding.kind is Kind.CALLS_FAILING
    assert finding.severity is (Severity.ERROR if counted else Severity.WARNING)
    whose = "calls to openai" if counted else "requests in openai/httpx2"
    assert finding.observed == (
        f"120 of 200 {whose} failed in the last 5 min (0% earlier): "
        "120 with APIStatusError. An exception ended the reading of 120 answers."
    )
    assert "overloaded_error" in finding.explanation
    assert "No SDK repeats a request" in finding.advice


def test_failures_before_an_hour_of_calm_are_none_now():
    """Only the last minutes count."""
    assert not kinds(taken(*[of_calls(40, {}, {"503": 30})] * 5, *HOUR))


@pytest.mark.parametrize("counted", [True, False], ids=["any_llm", "sdk"])
def test_earlier_successes_do_not_hide_that_all_calls_fail_now(counted):
    """They fail in the last minute of an hour."""
    of_minute = of_calls if counted else of_a_plain_sdk
    finding = top(*[of_minute(10)] * 59, of_minute(10, {}, {"RuntimeError": 10}))
    assert (finding.kind, finding.severity) == (Kind.CALLS_FAILING, Severity.ERROR)
    assert finding.observed.startswith("10 of 10 ")
    assert "failed in the last 60 s (0% earlier): 10 with RuntimeError" in finding.observed


@pytest.mark.parametrize(("failed", "severity"), [(35, Severity.WARNING), (36, Severity.ERROR)])
def test_sdk_whose_requests_nearly_all_fail_is_an_error(failed, severity):
    """All calls can still succeed if two of three requests fail."""
    minute = of_a_plain_sdk(40, {}, {"RuntimeError": failed})
    assert top(*[minute] * 5).severity is severity


def test_service_with_a_call_a_minute():
    """A finding needs three failures within 15 minutes, and a majority of the calls."""
    fine, failed = of_calls(1), of_calls(1, {}, {"503": 1})
    assert not kinds(taken(*[fine] * 20, failed, failed))
    assert not kinds(taken(*[fine] * 20, *[fine, fine, fine, fine, failed] * 3))
    assert top(*[fine] * 20, *[fine, failed] * 2, *[failed] * 7).kind is Kind.CALLS_FAILING
    nothing = {}
    rarely = [nothing, nothing, nothing, failed, nothing] * 3
    assert top(*[fine] * 20, *rarely).observed.startswith("3 of 3 calls to openai failed in the")
    assert not kinds(taken(*[fine] * 20, *rarely, *[nothing] * 9))


def test_calls_of_source_http_fail_if_more_than_half_do():
    """Each is one attempt, which the application may repeat."""

    def attempts(failed: int) -> dict[Any, dict[Any, float]]:
        minute = of_calls(40, {}, {"401": failed})
        minute["calls", "http", "openai"] = minute.pop(CALLS)
        return minute

    its = {"calls": (the_calls(source="http"),)}
    assert not kinds(taken(*HOUR, *[attempts(20)] * 5, **its))
    assert top(*HOUR, *[attempts(21)] * 5, **its).kind is Kind.CALLS_FAILING


def test_cancelled_calls_are_no_failures_but_many_are_reported():
    """Users who leave cancel less than a third of the calls."""
    some, many = (of_calls(40, cancelled=count) for count in (10, 15))
    assert not kinds(taken(*HOUR, *[some] * 5))
    finding = top(*HOUR, *[many] * 5)
    assert (finding.kind, finding.severity) == (Kind.CALLS_CANCELLED, Severity.WARNING)
    assert "75 of 200 calls to openai were cancelled" in finding.observed
    assert finding.advice.startswith("Does the application cancel them on purpose")


@pytest.mark.parametrize(
    ("phase", "phase_age", "ages", "top"),
    [
        ("reading", 0.1, (0.7, 1.2, 1.9, 2.8, 4.0), None),
        ("unread", 0.1, (0.7, 1.2, 1.9, 2.8, 4.0), None),
        ("awaiting_response", 0.1, (0.7, 1.2, 1.9, 2.8, 4.0), Kind.CALLS_CANCELLED),
        ("reading", 2.1, (2.2, 2.9, 3.4, 4.0, 4.1), Kind.CALLS_CANCELLED),  # no byte was received
        ("reading", 0.1, (3.9, 4.0, 4.0, 4.1, 4.1), Kind.CALLS_CUT_SHORT),
    ],
)
def test_streams_that_are_cancelled_while_they_arrive(phase, phase_age, ages, top):
    """Consumers leave when they have what they need, unless all do so after the same time."""
    cut = [Failure(5.0, "cancelled", age, phase, phase_age, head=0.3) for age in ages]
    cancelled = of_calls(20, cancelled=20)
    cancelled["openai/httpx2", ORIGIN, "openai"]["left", 0, "cancelled", False] = 20
    totals = the_totals(failures=tuple(cut), origin={"provider": "openai"})
    snapshot = a_snapshot(totals, **an_account(cancelled), calls=(the_calls(),))
    assert kinds(snapshot)[:1] == ([top] if top else [])


def test_slower_calls_need_a_baseline():
    """Unstreamed calls of 90 s and 400 s are usual, also as the first ones of a process."""
    for long in (90.0, 400.0):
        slow = of_calls(5, {"requesting": long}, took=long)
        for young in ([], [of_calls(60)] * 2):
            assert not kinds(taken(*young, *[slow] * 3))
    slow = of_calls(20, {"finishing": 30.0}, took=34.0)
    assert not kinds(taken(*HOUR[:4], slow))
    for earlier in (HOUR[:5], HOUR):
        finding = top(*earlier, *[slow] * 5)
        assert (finding.kind, finding.severity) == (Kind.CALLS_SLOW, Severity.ERROR)
        assert "30 s more than earlier: +30 s in finishing" in finding.observed


def test_young_process_is_compared_with_its_minutes_2_to_5():
    """The first minute is left out, and so is the minute before a finding began."""
    slow = of_calls(20, {"finishing": 30.0}, took=34.0)
    cold = [of_calls(60, {"finishing": 60.0}, took=64.0), *[HEALTHY] * 4]
    assert "in the last 60 s (" in top(*cold, slow).observed
    account = an_account(*HOUR[:3], *[slow] * 4)["account"]
    held = replace(account, before=account.rows[:4], before_until=240.0)
    for kept, expected in ((account, []), (held, [Kind.CALLS_SLOW])):
        snapshot = a_snapshot(the_totals(), account=kept, calls=(the_calls(),), uptime=420.0)
        assert kinds(snapshot) == expected


@pytest.mark.parametrize("minutes", [5, 12, 25])
def test_slow_calls_are_compared_with_the_time_before_they_were(minutes):
    """They have been slow for longer than the minutes that are judged."""
    slow = of_calls(30, {"finishing": 4.0}, took=4.3)
    assert kinds(taken(*[HEALTHY] * 35, *[slow] * minutes)) == [Kind.CALLS_SLOW]
    failing = of_calls(40, {}, {"401": 30})
    assert "(0% earlier)" in top(*[HEALTHY] * 60, *[failing] * minutes).observed


@pytest.mark.parametrize(
    ("minute", "part"),
    [
        (of_calls(5, {"preparing": 12.0}, took=17.0), "12 s in preparing"),
        (of_calls(5, {"requesting": 12.0}, connecting=11.0, reading=1.0), "11 s in connect"),
        # With long answers.
        (of_calls(5, {"preparing": 12.0, "requesting": 90.0}, took=137.0), "12 s in prep"),
        (of_calls(5, {"preparing": 9.0, "requesting": 90.0}, took=137.0), ""),
        (of_calls(5, {"finishing": 60.0}, took=69.0), ""),  # tools between two requests
    ],
)
@pytest.mark.parametrize("minutes", [1, 4, 60])
def test_waits_have_an_absolute_limit(minute, part, minutes):
    """Answers can take minutes, but sending a call cannot. This includes young processes."""
    snapshot = taken(*[minute] * minutes)
    assert kinds(snapshot) == ([Kind.CALLS_SLOW] if part else [])
    assert not part or part in diagnose(snapshot)[0].observed


@pytest.mark.parametrize(
    ("number", "oldest", "preparing", "ended", "slow"),
    [
        (7, 12.0, 3.0, 40, True),
        (7, 9.0, 3.0, 40, False),  # as long as in many healthy services
        (4, 12.0, 3.0, 40, False),  # not most of those in flight
        (2, 12.0, 3.0, 40, False),
        (7, 12.0, 0.9, 40, False),  # most of the time goes elsewhere
        (7, 12.0, 3.0, 2, False),  # the first calls, while modules are imported
    ],
)
def test_calls_that_wait_before_they_are_sent(number, oldest, preparing, ended, slow):
    """The mean of all is below the limit. Hosts are named: one of them serves credentials."""
    calls = the_calls(
        now={"preparing": number, "requesting": max(2, 9 - number) if number > 2 else 0},
        oldest={"preparing": oldest, "requesting": 0.4},
    )
    minute = of_calls(ended, {"preparing": preparing})
    items = minute[REQUESTS]
    minute["openai/httpx2", "169.254.170.23:80", "openai"] = {
        ("entered",): 20,
        ("phase", "awaiting_response"): 34.0,
        ("left", 200, None, False): 20,
    }
    assert items["entered",] == ended
    snapshot = taken(minute, calls=(calls,))
    assert kinds(snapshot) == ([Kind.CALLS_SLOW] if slow else [])
    if slow:
        finding = found(Kind.CALLS_SLOW, snapshot)
        assert "s in preparing" in finding.observed
        assert finding.observed.endswith(
            "They sent requests to several hosts: 20 to 169.254.170.23:80 of 1.7 s each, 40 to "
            f"{ORIGIN} of 1.0 s each."
        )
        assert "credentials" in finding.advice


def test_few_long_calls_among_many_are_not_slow():
    """Their mean is five times as high, but 98 % of the calls are as fast as before."""
    mixed = of_calls(60, {"requesting": 6.0}, took=2.0)
    mixed[CALLS] |= {("took", 2.0): 59, ("took", 550.0): 1}
    assert not kinds(taken(*HOUR, *[mixed] * 5))


@pytest.mark.parametrize(("per_item", "fires"), [(0.1, False), (0.4, True)])
def test_longer_streams_are_slow_only_if_their_items_are(per_item, fires):
    """A stream of ten minutes is a long answer, not a slow one."""
    answers = [Answer(30.0, "m", 0.1, 3000 * per_item, 3000)] * 20
    before = [Answer(900.0, "m", 0.1, 1.0, 10)] * 20
    totals = {"answers": tuple(answers), "earlier_answers": tuple(before)}
    long = of_calls(40, {"requesting": 300.0}, took=600.0)
    calls = (the_calls(oldest_silence=0.0),)
    found = kinds(taken(*HOUR, *[long] * 5, totals=totals, calls=calls))
    assert found == ([Kind.SLOW_PROVIDER] if fires else [])


def in_flight(count: int, age: float, **changes: Any) -> CallsSnapshot:
    return the_calls(
        now={"requesting": count},
        ages={longest_of(class_of(round(age * 1e9))): count},
        oldest={"requesting": age},
        **changes,
    )


def test_calls_that_end_do_not_hide_calls_that_hang():
    """All calls that end are fast; five times as many hang."""
    hanging = of_calls(2)
    hanging[CALLS]["stage", "requesting"] = 40 * 60.0
    hanging[REQUESTS]["phase", "awaiting_response"] = 40 * 60.0
    site = "/app/report.py:7 in batch"
    pool = a_pool([a_request("awaiting_response", 300.0, call_site=site)] * 40)
    account = an_account(*HOUR, *[hanging] * 5)
    snapshot = a_snapshot(the_totals(), pool, **account, calls=(in_flight(40, 300.0),))
    finding, *_ = diagnose(snapshot)
    assert finding.observed.startswith("Calls to openai have taken 300 s on average in the last")
    assert "; 40 are in flight)" in finding.observed
    (fact,) = finding.evidence
    assert str(fact) == (
        "Requests in awaiting_response: 40 of 40 from /app/report.py:7 in batch (gpt-4o)."
    )


def test_silent_calls():
    """The limits are those of GlueLLMCallsSilent: reasoning models pause for a minute."""
    for silent, longest, fires in ((1, 700.0, False), (2, 90.0, False), (2, 180.0, True)):
        calls = in_flight(6, longest, silent=silent)
        found = kinds(taken(*HOUR, calls=(calls,)))
        assert (found == [Kind.CALLS_SILENT]) is fires
        assert fires or not found


@pytest.mark.parametrize("leaked", [True, False])
def test_silent_calls_whose_requests_queue(leaked):
    """The provider has not received them. The held connections explain the silence."""
    unread = [a_request("unread", 290.0, leak_suspected=leaked, call_site="a.py:1 in f")] * 4
    answered = [a_request("reading", 1.0)] * 6
    requests = [*unread, *answered, *[a_request("queued", 280.0)] * 5]
    calls = (in_flight(15, 280.0, silent=5),)
    snapshot = a_snapshot(the_totals(), a_pool(requests), **an_account(*HOUR), calls=calls)
    first, *others = diagnose(snapshot)
    assert first.kind is (Kind.LEAK if leaked else Kind.POOL_SATURATED)
    assert first.observed.startswith(
        "5 of 15 calls to openai in flight are silent, the longest for 280 s; 5 requests in queued."
    )
    assert "status page" not in first.advice
    assert Kind.CALLS_SILENT not in [other.kind for other in others]


def test_repeated_requests_of_successful_calls_are_found():
    """Calls succeed, but two of five requests are repetitions."""
    finding = top(*HOUR, *[of_calls(60, {"backoff": 0.5}, {"503": 1}, retries=40)] * 5)
    assert finding.kind is Kind.RETRIES
    assert finding.observed.startswith(
        "In the last 5 min, 300 calls became 500 requests: 200 retries after HTTP 503."
    )
    few = of_calls(60, {"backoff": 0.1}, {"503": 1}, retries=5)
    assert not kinds(taken(*HOUR, *[few] * 5))


def test_reason_to_send_again_comes_before_the_retries():
    """Unread answers hold connections, so other requests time out in the queue."""
    gave_up = {"pool_timeout": 1}
    minute = of_calls(60, {"backoff": 0.5}, gave_up, retries=40, unread=0.9, reading=0.1)
    first, second = (f for f in diagnose(taken(*HOUR, *[minute] * 5)) if f.pool)
    assert (first.kind, second.kind) == (Kind.SLOW_CONSUMER, Kind.RETRIES)
    assert first.observed.startswith("In the last 5 min, 300 calls became 500 requests: 200")


def test_requests_outside_any_call():
    """With the plain openai SDK, the account covers the requests of a pool name."""

    def without_calls(minute):
        return {
            (subject[0], subject[1], None): items
            for subject, items in minute.items()
            if subject[0] != "calls"
        }

    before = [without_calls(HEALTHY)] * 35
    failing = without_calls(of_calls(40, {}, {"401": 30}))
    finding = top(*before, *[failing] * 5, calls=())
    assert finding.kind is Kind.CALLS_FAILING
    assert finding.observed.startswith("150 of 200 requests in openai/httpx2 failed")
    slow = of_calls(40, {"requesting": 30.0}, took=34.0, stream_queued=29.0, reading=1.0)
    finding = top(*before, *[without_calls(slow)] * 5, calls=())
    assert finding.kind is Kind.CALLS_SLOW
    assert "29 s in stream_queued" in finding.observed


# Where did the time go?


@pytest.mark.parametrize(
    ("minute", "where"),
    [
        (of_calls(40, {"limited": 9.0}, took=8.6), "9.0 s in limited"),
        (of_calls(40, {"preparing": 9.0}, took=8.6), "9.0 s in preparing"),
        (
            of_calls(40, {"requesting": 9.0}, took=8.6, connecting=8.0, reading=1.0),
            "8.0 s in connecting (resolving the name)",
        ),
    ],
)
def test_difference_by_part(minute, where):
    """By stage, by phase of the requests, and by step of the set-up."""
    minute[REQUESTS]["step", "resolve"] = 320.0
    assert where in top(*HOUR, *[minute] * 5).observed


def test_back_off_names_the_status():
    minute = of_calls(40, {"backoff": 7.0}, {"429": 1}, retries=60, took=8.6)
    observed = top(*HOUR, *[minute] * 5).observed
    assert "7.0 s in backoff after 429" in observed
    assert "200 calls became 500 requests: 300 retries after HTTP 429" in observed


# Why?

QUEUED = of_calls(40, {"requesting": 9.0}, took=8.6, queued=8.0, reading=1.0)


def expired(minute: dict[Any, dict[Any, float]]) -> dict[Any, dict[Any, float]]:
    """The same minute, in which idle connections expired."""
    closed = {("opened",): 40, ("closed", "keepalive_expired"): 40}
    requests = {**minute[REQUESTS], ("on_new_connection",): 40}
    return {**minute, REQUESTS: requests, ("openai/httpx2", None, None): closed}


def test_finding_that_explains_the_largest_part_begins_with_the_account():
    """The specific finding is the only one."""
    snapshot = taken(*HOUR, *[QUEUED] * 5, totals={"peak_active": 10})
    (finding,) = [f for f in diagnose(snapshot) if f.severity is not Severity.INFO]
    assert finding.kind is Kind.POOL_TOO_SMALL
    assert finding.observed.startswith("Calls to openai took 9.0 s on average")
    assert "Requests spent 89% of their time in the queue" in finding.observed


def test_finding_that_explains_nothing_does_not_come_first():
    """Connections that expire explain neither seconds after the answer nor a refused key."""
    after = of_calls(40, {"finishing": 8.0}, took=8.6, connecting=0.5, reading=0.5)
    refused = of_calls(40, {}, {"401": 30}, connecting=0.5, reading=0.5)
    for minute, kind in ((after, Kind.CALLS_SLOW), (refused, Kind.CALLS_FAILING)):
        first, *others = diagnose(taken(*HOUR, *[expired(minute)] * 5))
        (other,) = [finding for finding in others if finding.kind is Kind.NOT_REUSED]
        assert first.kind is kind
        assert other.severity is Severity.WARNING
        assert not other.observed.startswith(("Calls", "150 of"))


def test_reuse_does_not_explain_the_resolving_of_names():
    """Connections expire, and new ones are slow since the name servers are."""
    resolving = of_calls(40, {"requesting": 9.0}, took=8.6, connecting=8.0, reading=1.0)
    resolving[REQUESTS]["step", "resolve"] = 320.0
    minute, before = expired(resolving), {**HEALTHY, ("openai/httpx2", None, None): {}}
    del minute["openai/httpx2", None, None]["opened",]  # too few for the rule on slow set-ups
    first, *others = diagnose(taken(*[before] * 35, *[minute] * 5))
    assert first.kind is Kind.CALLS_SLOW
    assert "8.0 s in connecting (resolving the name)" in first.observed
    assert "name servers" in first.advice
    assert Kind.NOT_REUSED in [other.kind for other in others]


def test_timeout_of_a_call_is_explained_by_what_took_its_time():
    """The provider's answers take long as well, but the calls spend their time elsewhere."""
    timed_out = of_calls(40, {"requesting": 9.0}, {"timeout": 30}, connecting=8.0, reading=1.0)
    answers = (Answer(30.0, "m", 40.0, 0.1, 0),) * 20
    before = (Answer(900.0, "m", 0.1, 0.1, 0),) * 20
    totals = {"answers": answers, "earlier_answers": before}
    first, *others = diagnose(taken(*HOUR, *[timed_out] * 5, totals=totals))
    assert first.kind is Kind.CALLS_FAILING
    assert Kind.SLOW_PROVIDER in [other.kind for other in others]


def test_every_kind_is_known_to_the_account():
    """A new kind must declare what it can explain, even if that is nothing."""
    assert {*EXPLAINS, *UNEXPLAINED} == set(Kind)


# With an earlier snapshot


def test_earlier_snapshot_replaces_the_account():
    """The time between the two is judged, and compared with all before."""
    before = taken(*HOUR)
    after = taken(*HOUR, of_calls(40, {}, {"503": 30}))
    (finding, *_) = diagnose(after, before)
    assert finding.observed == (
        "30 of 40 calls to openai failed in the last 60 s (0% earlier): 30 with status 503."
    )
    assert not kinds(taken(*HOUR, HEALTHY), before)
    slow = [of_calls(20, {"finishing": 30.0}, took=34.0)] * 5
    assert kinds(taken(*HOUR, *slow), before) == [Kind.CALLS_SLOW]


def test_report_on_a_long_time_has_the_last_minutes_as_well():
    """``doctor --pid`` an hour ago must not hide later problems."""
    slow = of_calls(40, {"finishing": 30.0}, took=34.0)
    before, after = taken(HEALTHY), taken(*HOUR, HEALTHY, *[slow] * 5)
    assert not kinds(after, before)
    assert [finding.kind for finding in report_on(after, before).findings] == [Kind.CALLS_SLOW]
    failing = taken(*HOUR, *[of_calls(40, {}, {"401": 30})] * 20, *[HEALTHY] * 20)
    assert [finding.kind for finding in report_on(failing, before).findings] == [Kind.CALLS_FAILING]


# Text


def test_account_is_in_the_snapshot_as_text_and_for_json():
    """A line has both periods; the rows have lists in place of tuples."""
    snapshot = taken(*HOUR, *[of_calls(40, {}, {"503": 30})] * 5, calls=(the_calls(),))
    lines = " ".join(str(snapshot).split())
    assert "in the last 5 min 200 ended, 150 failed, 1.0 s each; earlier, in 18 min" in lines
    row = json.loads(json.dumps(snapshot.to_dict()))["account"]["rows"][-1]
    assert (row["since"], row["until"]) == (2340.0, 2400.0)
    numbers = [
        (*subject, *item, count) for subject, items in row["numbers"] for item, count in items
    ]
    assert ("calls", "any_llm", "openai", "error", "503", 30) in numbers
    assert ("openai/httpx2", ORIGIN, "openai", "left", 503, None, False, 30) in numbers


def test_evidence_is_in_text_and_dict():
    """A finding without evidence has no such line."""
    fact = Fact("Held", 2, 3, None, "a.py:1 in b")
    texts = {"observed": "o", "explanation": "e", "advice": "a"}
    finding = Finding(kind=Kind.LEAK, severity=Severity.ERROR, **texts, evidence=(fact,))
    assert json.loads(json.dumps(finding.to_dict()))["evidence"] == [asdict(fact)]
    assert "  evidence:    Held: 2 of 3 from a.py:1 in b." in str(finding)
    assert "evidence" not in str(Finding(kind=Kind.LEAK, severity=Severity.ERROR, **texts))


def test_numbers_of_the_account_are_not_repeated():
    """The rule adds only what the account does not state."""
    minutes = [of_calls(50, errors={"connect_timeout": 40})] * 5
    totals = the_totals(300, errors={"connect_timeout": 200})
    snapshot = a_snapshot(totals, **an_account(*minutes), calls=(the_calls(),))
    observed = found(Kind.CONNECT_FAILURES, snapshot).observed
    assert observed.count("connect_timeout") == 1
    assert observed.startswith("200 of 250 calls to openai failed in the last 5 min")


def test_refusals_of_a_plain_sdk_are_counted_once():
    """Some requests failed otherwise, so that the numbers differ."""
    minute = of_a_plain_sdk(50, {}, {"500": 40, "read_timeout": 1})
    snapshot = a_snapshot(the_totals(origin={"provider": "openai"}), **an_account(*[minute] * 5))
    observed = found(Kind.RETRIES, snapshot).observed
    assert "up to max_retries times (default: 2)" in found(Kind.RETRIES, snapshot).explanation
    assert observed.startswith("205 of 250 requests in openai/httpx2 failed in the last 5 min")
    assert observed.count("200") == 1


@pytest.mark.parametrize("plain", [False, True], ids=["any_llm", "plain SDK"])
def test_quota_is_named_once_no_request_succeeds_any_more(plain):
    """A rate limit lets some requests pass in each minute."""
    of_minute = of_a_plain_sdk if plain else of_calls
    limited, refused = (of_minute(50, errors={"429": failed}) for failed in (40, 50))
    for last, used_up in ((limited, False), (refused, True)):
        account = an_account(*[limited] * 4, last)
        calls = () if plain else (the_calls(),)
        totals = the_totals(origin={"provider": "openai"})
        finding = found(Kind.RETRIES, a_snapshot(totals, **account, calls=calls))
        assert ("None of the last 50 requests succeeded" in finding.explanation) is used_up
        assert finding.advice.startswith("Check the account's quota") is used_up


def test_unknown_error_is_named_in_plain_words():
    minutes = [of_calls(50, errors={"_OTHER": 40})] * 5
    snapshot = a_snapshot(the_totals(), **an_account(*minutes), calls=(the_calls(),))
    assert "200 with an unclassified error." in found(Kind.CALLS_FAILING, snapshot).observed


REFUSED = of_calls(40, errors={"connect_timeout": 30})


@pytest.mark.parametrize(("ago", "found"), [(1, True), (4, True), (8, False), (60, False)])
def test_fault_is_found_until_the_last_minutes_are_without_it(ago, found):
    """Traffic goes on. What ended before is no finding, however much of it there was."""
    totals = the_totals(40 * (ago + 5), errors={"connect_timeout": 120})
    minutes = [of_calls(40)] * 10 + [REFUSED] * 4 + [of_calls(40)] * ago
    snapshot = a_snapshot(totals, **an_account(*minutes), calls=(the_calls(),))
    assert (Kind.CONNECT_FAILURES in kinds(snapshot)) is found


def test_fault_in_an_old_process_is_found_at_once():
    """A million good requests do not dilute it."""
    totals = the_totals(1_000_000, errors={"connect_timeout": 30})
    minutes = [*[of_calls(40)] * 59, REFUSED]
    snapshot = a_snapshot(totals, **an_account(*minutes), calls=(the_calls(),))
    assert Kind.CONNECT_FAILURES in kinds(snapshot)


def test_fault_of_hours_is_compared_with_the_time_before_it():
    """All rows of the last hour have it. The rows from before are kept while it lasts."""
    slow = of_calls(40, {"requesting": 30.0}, took=34.0)
    account = an_account(*[slow] * 60)["account"]
    usual = an_account(*[of_calls(40)] * 60)["account"].rows
    assert not kinds(a_snapshot(account=account, uptime=10_000.0, calls=(the_calls(),)))
    later = tuple(
        replace(row, since=row.since + 6_400, until=row.until + 6_400) for row in account.rows
    )
    held = replace(account, rows=later, before=usual, before_until=3_600.0)
    assert kinds(a_snapshot(account=held, uptime=10_000.0, calls=(the_calls(),)))
