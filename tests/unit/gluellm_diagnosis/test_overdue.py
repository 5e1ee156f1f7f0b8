"""A young process: answers that became slower, and requests that take far too long."""

from typing import Any

import pytest

from gluellm_diagnosis.findings import Fact, Kind, Severity
from opentelemetry.instrumentation.gluellm.snapshots.parts import Answer, Failure
from opentelemetry.instrumentation.gluellm.snapshots.snapshot import Snapshot

from .building import a_connection, a_pool, a_request, a_snapshot, found, kinds, the_totals

ASK, REASON = "app.py:3 in ask", "app.py:9 in reason"
SLOW, SILENT, STALLED = Kind.SLOW_PROVIDER, Kind.CALLS_SILENT, Kind.STALLED_STREAMS


def times(
    ago: float, head: float, number: int = 20, model: str | None = "gpt-4o", **more: Any
) -> tuple[Answer, ...]:
    """Answers of one group that ended ``ago`` seconds ago."""
    whole = {"rest": 0.1, "items": 0, "call_site": ASK, **more}
    return (Answer(ago, model, head, **whole),) * number


FIRST = times(80, 0.5)


def young(*answers: Answer, requests: Any = (), origin: Any = None, **changes: Any) -> Snapshot:
    """A process in its second minute, with these answers and requests in flight."""
    totals = the_totals(100, answers=answers, origin=origin, **changes)
    return a_snapshot(totals, a_pool(requests, [a_connection("active")] * 10), uptime=90.0)


def in_flight(number: int, age: float, phase: str = "awaiting_response", **its: Any) -> Any:
    fed = min(age, 0.8) if phase == "reading" else age
    one = a_request(phase, fed, **{"held": age, "age": age, "call_site": ASK, **its})
    return [one] * number


# Slower than at first


@pytest.mark.parametrize(
    ("answers", "slower"),
    [
        ((*times(70, 0.5), *times(5, 7.0)), True),
        # One model, or one call site of an unknown one.
        ((*times(70, 0.5), *times(70, 1.0, model="o3"), *times(5, 9.0, model="o3")), True),
        ((*times(70, 0.5, model=None), *times(5, 7.0, model=None)), True),
        # Too few answers at first or now, or more answers of the same length.
        ((*times(70, 0.5, 9), *times(5, 7.0)), False),
        ((*times(70, 0.5), *times(5, 7.0, 9)), False),
        ((*times(70, 0.5, 10), *times(5, 0.5, 90)), False),
        # Another caller's or another model's answers.
        ((*times(70, 0.5), *times(5, 7.0, call_site=REASON)), False),
        ((*times(70, 0.5), *times(5, 7.0, model="o3")), False),
        # Some answers are longer, and such long ones could have ended before.
        ((*FIRST, *times(60, 0.5, 40), *times(10, 7.0, 10), *times(10, 0.5, 10)), True),
        ((*FIRST, *times(60, 0.5, 40), *times(10, 7.0, 4), *times(10, 0.5, 16)), False),
        ((*FIRST, *times(78, 0.5, 40), *times(10, 7.0, 10), *times(10, 0.5, 10)), False),
    ],
)
def test_group_that_became_slower(answers, slower):
    assert kinds(young(*answers)) == ([SLOW] if slower else [])


def test_slow_model_is_named_with_its_call_site():
    o3 = {"model": "o3", "call_site": REASON}
    answers = (*times(70, 0.3), *times(70, 1.0, **o3), *times(5, 0.3), *times(5, 18.0, **o3))
    observed = found(SLOW, young(*answers)).observed
    assert (
        f"Slower now: calls from {REASON} (o3), median 18 s to the headers (before: 1.0 s)"
        in observed
    )
    assert f"as fast as before: calls from {ASK} (gpt-4o)" in observed


def test_slow_provider_is_blamed_for_a_full_pool():
    full = {"each": {"queued": 5.0}, "errors": {"pool_timeout": 20}, "peak_active": 10}
    assert kinds(young(*times(70, 0.5), *times(5, 7.0), **full)) == [SLOW]
    assert kinds(young(*times(70, 0.5), *times(5, 0.5), **full)) == [Kind.POOL_TOO_SMALL]


# Overdue

QUICK = times(5, 0.3)
STREAMED = times(5, 0.3, items=9, rest=0.6)
AT_ONCE = in_flight(9, 0.2)


@pytest.mark.parametrize(
    ("answers", "requests", "kind"),
    [
        (QUICK, in_flight(2, 43), SILENT),
        (QUICK, in_flight(1, 43), None),
        (QUICK, in_flight(2, 29), None),
        (times(5, 4.2), in_flight(2, 43), None),  # less than ten times as long
        (times(60, 0.3, 9), in_flight(2, 43), None),
        (QUICK, in_flight(2, 43) + AT_ONCE, None),
        (QUICK, in_flight(3, 43) + AT_ONCE, SILENT),
        # Unstreamed calls of 90 s and 400 s, also the first ones, beside short calls.
        (QUICK, in_flight(2, 400, model="o3") + in_flight(2, 90, call_site=REASON), None),
        (QUICK, in_flight(2, 43, "unread"), None),
        # The time in which it waited to be sent is not the provider's.
        (QUICK, [a_request("awaiting_response", 9, held=90.0, call_site=ASK)] * 2, None),
        # One call site can ask several models, if they are unknown.
        (times(5, 0.3, model=None), in_flight(4, 43, model=None), None),
        (times(5, 0.3, model=None), in_flight(5, 43, model=None), SILENT),
        # Bytes without items, or without an end.
        (STREAMED, in_flight(2, 46, "reading", item_wait=45.0), STALLED),
        (STREAMED, in_flight(2, 46, "reading", item_wait=0.5), None),
        (STREAMED, in_flight(2, 600, "reading"), None),
        (times(5, 0.3, model=None), in_flight(5, 46, "reading", model=None), STALLED),
        (times(5, 0.3, rest=600.0), in_flight(2, 600, "reading"), None),
        # A connection that is known to be lost has a finding of its own.
        (QUICK, in_flight(2, 43, peer="closed"), Kind.SILENT_CONNECTIONS),
    ],
)
def test_requests_that_take_far_too_long(answers, requests, kind):
    assert kinds(young(*answers, requests=requests)) == ([kind] if kind else [])


def test_silence_that_was_ever_answered_counts_for_an_unknown_model():
    requests = in_flight(5, 43, model=None)
    answered = {"longest_silence_answered": 44.0}
    assert kinds(young(*times(5, 0.3, model=None), requests=requests, origin=answered)) == []


def test_silence_that_was_ever_answered_counts_if_answers_are_no_longer_kept():
    answered = {"longest_silence_answered": 44.0}
    all_kept, some = (
        young(*times(5, 0.3, number), requests=in_flight(2, 43), origin=answered)
        for number in (199, 200)
    )
    assert (kinds(all_kept), kinds(some)) == ([SILENT], [])


def test_overdue_requests_are_described():
    finding = found(SILENT, young(*QUICK, requests=in_flight(3, 43) + in_flight(2, 0.2)))
    assert finding.severity is Severity.WARNING
    assert finding.observed == (
        "3 of 5 requests in flight have waited for their answer for up to 43 s. Earlier answers of "
        "the same model and call site took at most 0.40 s; the newest ended 5.0 s ago."
    )
    assert finding.evidence == (Fact("The overdue requests", 3, 3, "gpt-4o", ASK),)
    assert "Other requests are answered" in finding.explanation


@pytest.mark.parametrize(
    ("sending", "others", "fires"), [(4, 3, True), (1, 0, False), (2, 2, False)]
)
def test_requests_that_are_still_being_sent(sending, others, fires):
    """The provider has not seen them completely, so it is not slow."""
    unsent = in_flight(sending, 23.0, peer="sending")
    snapshot = young(*times(70, 0.5), requests=[*unsent, *in_flight(others, 12.0, peer="unknown")])
    assert (Kind.SLOW_UPLOAD in kinds(snapshot)) is fires
    if fires:
        finding = found(Kind.SLOW_UPLOAD, snapshot)
        assert finding.observed.startswith("4 of 7 requests that wait for an answer are not")
        assert "the longest after 23 s" in finding.observed
        assert finding.evidence[0].call_site == ASK
        assert SLOW not in kinds(snapshot)


@pytest.mark.parametrize(("peer", "known"), [("unknown", True), (None, False)])
def test_silence_of_all_requests_is_not_blamed_on_the_provider_alone(peer, known):
    """A gateway that takes requests and passes nothing on looks the same."""
    requests = in_flight(3, 43, peer=peer)
    finding = found(Kind.CALLS_SILENT, young(*times(44, 0.3), requests=requests))
    assert kinds(young(*times(44, 0.3), requests=requests)) == [Kind.CALLS_SILENT]
    assert finding.severity is Severity.ERROR
    assert "both look alike" in finding.explanation
    assert ("TCP state shows no lost connection" in finding.explanation) is known
    # An answer to another call, or a refusal, shows that the path works; also among few calls.
    for ended in (times(5, 0.3, model="o3"), times(40, 0.3, 1), ()):
        refused = () if ended else (Failure(5.0, "429", 0.1, "awaiting_response", 0.1),)
        some = young(*times(44, 0.3), *ended, requests=requests, failures=refused)
        assert "Other requests are answered" in found(SILENT, some).explanation
