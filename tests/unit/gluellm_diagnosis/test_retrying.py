"""Calls that back off, and the layers that retry."""

from dataclasses import replace
from typing import Any

import pytest

from gluellm_diagnosis.findings import Kind, Severity
from opentelemetry.instrumentation.gluellm.snapshots.parts import Answer, Failure, Outcome
from opentelemetry.instrumentation.gluellm.snapshots.snapshot import Snapshot

from .building import (
    a_snapshot,
    all_kinds,
    an_account,
    counted,
    found,
    kinds,
    the_calls,
    the_totals,
)


def refused(
    left: dict[int | str, int], /, provider: str | None = "openai", **calls: Any
) -> Snapshot:
    """Requests with these statuses or errors among 100, and the calls that made them."""
    count = {
        "outcomes": tuple(
            Outcome(count=n, error=what)
            if isinstance(what, str) and what.islower()
            else Outcome(count=n, status=what)
            for what, n in {200: 100 - sum(left.values()), **left}.items()
        )
    }
    made = (the_calls(provider=provider, **calls),) if calls else ()
    return a_snapshot(the_totals(origin={"provider": "openai", **count}), calls=made)


def times(backoff: float, requesting: float = 10.0) -> dict[str, float]:
    return {"backoff": backoff, "requesting": requesting}


def ended(succeeded: int, failed: int = 0) -> dict[str, int]:
    return {"succeeded": succeeded, "abandoned": 0, "cancelled": 0, "failed": failed}


MUCH: dict[str, Any] = {"stage_seconds": times(30.0), "outcomes": ended(35), "retries": 65}


@pytest.mark.parametrize(
    ("snapshot", "fires"),
    [
        (refused({429: 65}, **MUCH), True),
        # Little time and few further requests: retries are for single failures.
        (refused({429: 9}, stage_seconds=times(1.0), outcomes=ended(91), retries=9), False),
        (refused({429: 4}, stage_seconds=times(3.0), outcomes=ended(96), retries=4), False),
        (refused({429: 30}, stage_seconds=times(0.1), outcomes=ended(70), retries=30), True),
        # Without retries.
        (refused({429: 30}, outcomes=ended(70, 30), errors={"429": 30}), True),
        (refused({429: 3}, outcomes=ended(97, 3), errors={"429": 3}), False),
        (refused({429: 50}, source="http", outcomes=ended(50, 50), errors={"429": 50}), False),
        (refused({429: 51}, source="http", outcomes=ended(49, 51), errors={"429": 51}), True),
        (refused({400: 30}, outcomes=ended(70, 30), errors={"400": 30}), False),
        # No calls are counted, or those of another provider.
        (refused({503: 30}), True),
        (refused({503: 30}, provider="groq", retries=0), True),
        (refused({503: 4}), False),
        (refused({404: 30}), False),
    ],
)
def test_retries(snapshot, fires):
    assert (Kind.RETRIES in kinds(snapshot)) is fires


def test_amplification_status_and_both_layers_are_named():
    both = {"pauses": 40, "pauses_requested": 30, "attempts_repeated": 20}
    finding = found(Kind.RETRIES, refused({429: 60, 503: 5}, **MUCH, **both))
    assert finding.observed.endswith(
        "75% of the calls' time was back-off after failed requests (60 with 429, 5 with 503); "
        "35 calls became 100 requests; for 30 of 40 pauses, the provider sent Retry-After."
    )
    assert "limits the rate" in finding.explanation
    assert "(40 pauses) inside GlueLLM's retries (20 further attempts)" in finding.explanation
    assert (
        "on average, one call is 2.9 requests, 1.6 attempts by GlueLLM x 1.8 requests by the SDK."
    ) in finding.explanation
    assert "asyncio.Semaphore" in finding.advice
    assert "Retry in one layer only" in finding.advice
    assert finding.severity is Severity.WARNING


def test_call_site_of_what_is_sent_again_is_named():
    site = {"model": "gpt-4o", "call_site": "app.py:12 in ask"}
    failed = [Failure(9.0, one, 1.0, "reading", 1.0, **site) for one in ("429",) * 3 + ("404",)]
    snapshot = refused({429: 65}, **MUCH)
    totals = replace(snapshot.totals[0], failures=tuple(failed))
    finding = found(Kind.RETRIES, replace(snapshot, totals=(totals,)))
    (fact,) = finding.evidence
    assert str(fact) == "The last failed requests: 3 of 3 from app.py:12 in ask (gpt-4o)."


ONE_AFTER_ANOTHER = (30.0, 29.0, 27.0, 20.0, 19.0, 17.0)
"""Begins of two rows of three calls, in seconds before now."""
ONE_CALL = "requests for one call at app.py:12 in ask:"
LOOP = "a loop or decorator around it, such as tenacity"
LONGER_AGO = tuple(began + far for far in (60, 40, 20, 0) for began in ONE_AFTER_ANOTHER[:3])


@pytest.mark.parametrize(
    ("begun", "attempts", "source", "layers"),
    [
        ((*LONGER_AGO, 15.0), 3, "sdk", f"Up to 9 {ONE_CALL} 3 by {LOOP} x 3 by the SDK."),
        ((*LONGER_AGO, 15.0), 1, "http",
         f"Up to 3 {ONE_CALL} 3 by the client's own retries or {LOOP}."),
        # A layer alone, too few rows, and calls that overlap.
        ((*LONGER_AGO, 15.0), 1, "sdk", ""),
        (ONE_AFTER_ANOTHER, 3, "sdk", ""),
        ((*LONGER_AGO, 29.8, 15.0), 3, "sdk", ""),
        # Each repeats, or none does: inputs that all fail.
        (tuple(map(float, range(30))), 3, "sdk", ""),
    ],
)  # fmt: skip
def test_requests_of_one_call_by_layer(begun, attempts, source, layers):
    failed = [
        Failure(began - 0.1 * number - 0.1, "429", 0.1 * number + 0.1, "reading", 0.1,
                call_site="app.py:12 in ask")
        for began in begun for number in range(attempts)
    ]  # fmt: skip
    calls = {"source": source, "outcomes": ended(0, 35), "errors": {"429": 35}, "retries": 65}
    snapshot = refused({429: 65}, **{**MUCH, **calls}, pauses=65)
    totals = replace(snapshot.totals[0], failures=tuple(failed))
    finding = found(Kind.RETRIES, replace(snapshot, totals=(totals,)))
    assert f"(65 pauses). {layers}".rstrip() in finding.explanation
    assert ("requests for one call" in finding.explanation) is bool(layers)
    assert ("Retry in one layer only" in finding.advice) is bool(layers)


def test_requests_of_gluellm_and_the_sdk_are_one_number_for_a_call_site():
    failed = [
        Failure(9.0 - n, "503", 1.0 + n, "reading", 1.0, None, "a.py:1 in f") for n in range(6)
    ]
    snapshot = refused({503: 65}, **MUCH, source="gluellm", pauses=40, attempts_repeated=9)
    totals = replace(snapshot.totals[0], failures=tuple(failed))
    finding = found(Kind.RETRIES, replace(snapshot, totals=(totals,)))
    assert (
        "6 requests for one call at a.py:1 in f: 6 by GlueLLM and the SDK." in finding.explanation
    )


@pytest.mark.parametrize(
    ("more", "whose"),
    [
        ({"pauses": 40}, "The SDK retries (40 pauses)"),
        ({"attempts_repeated": 9}, "GlueLLM retries (9 further attempts)"),
    ],
)
def test_layer_that_retries_is_named(more, whose):
    finding = found(Kind.RETRIES, refused({503: 65}, **MUCH, **more))
    assert whose in finding.explanation
    assert "retr" not in finding.advice  # without retries, the calls that they save would fail
    assert "answers with errors" in finding.explanation


@pytest.mark.parametrize(
    ("left", "full"),
    [({503: 65}, True), ({529: 65}, True), ({500: 65}, False), ({503: 100}, False)],
)
def test_server_that_refuses_excess_requests(left, full):
    """It answers other requests."""
    finding = found(Kind.RETRIES, refused(left, **MUCH))
    assert ("arrive at a time than it allows" in finding.explanation) is full
    assert ("Make fewer calls at a time (asyncio.Semaphore), or raise" in finding.advice) is full
    assert finding.advice.startswith("Check the provider's status page") is not full
    assert "as many calls arrive" not in finding.observed


@pytest.mark.parametrize(
    ("another", "full"),
    [({"status": 200}, False), ({"error": "protocol_error"}, False), ({"status": 503}, True)],
)
def test_server_that_refuses_all_requests_is_not_full_if_another_serves(another, full):
    snapshot = refused({503: 100})
    (totals,) = snapshot.totals
    left = (Outcome(count=50, **another), Outcome(count=50, status=200))
    well = replace(totals.origins[0], origin="b.test:443", outcomes=left)
    both = a_snapshot(replace(totals, origins=(*totals.origins, well)))
    finding = found(Kind.RETRIES, both)
    assert ("It serves some requests" in finding.explanation) is full


def test_retries_of_far_more_calls_than_before():
    before = a_snapshot(the_totals(20, origin={"provider": "openai"}), uptime=90.0)
    finding = found(Kind.RETRIES, refused({500: 65}, **MUCH), before)
    assert "; 32 times as many calls arrive as before" in finding.observed
    assert "most likely more arrive at a time than it allows" in finding.explanation
    assert finding.advice.startswith("Make fewer calls at a time")


@pytest.mark.parametrize(
    ("heads", "answer", "retries", "timed"),
    [
        ([20.0, 20.01, 20.02, 20.0, 19.9, 14.0], 8.0, 6, True),
        ([20.0, 20.01, 20.02, 20.0, 19.9, 14.0], 30.0, 6, False),  # others take longer
        ([20.0, 24.0, 28.0, 20.0, 12.0, 14.0], 8.0, 6, False),
        ([0.2] * 6, 0.1, 6, False),  # refused at once
        ([20.0] * 4, 8.0, 6, False),
        ([20.0] * 6, 8.0, 4, False),  # 4 % of the calls, which retries repair
    ],
)
def test_time_limit_of_a_gateway(heads, answer, retries, timed):
    """All refusals come after the same time, which is found before a call has failed."""
    refusals = [Failure(9.0, "504", 20.0, "unread", 0.0, head=head) for head in heads]
    calls = {"outcomes": ended(100), "retries": retries, "pauses": retries}
    snapshot = refused({504: 6}, **calls)
    (totals,) = snapshot.totals
    kept = {"failures": tuple(refusals), "answers": (Answer(9.0, "gpt-4o", answer, 0.1, 0),)}
    snapshot = replace(snapshot, totals=(replace(totals, **kept),))
    assert kinds(snapshot) == ([Kind.RETRIES] if timed else [])
    if timed:
        finding = found(Kind.RETRIES, snapshot)
        assert finding.observed.endswith("; no Retry-After was sent; each 504 came after 20 s.")
        assert "time limit of a gateway" in finding.explanation
        assert finding.advice.startswith("Stream the answers")


def test_status_of_grpc_that_also_means_a_large_message_is_no_proof_of_a_rate_limit():
    finding = found(Kind.RETRIES, refused({"RESOURCE_EXHAUSTED": 65}, **MUCH))
    assert "or a message is larger than the client (4 MB by default)" in finding.explanation
    assert "grpc.max_receive_message_length" in finding.advice


def test_provider_is_not_blamed_for_requests_without_an_answer():
    """The finding on what makes them fail comes first."""
    failing = {**MUCH, "outcomes": ended(15, 20), "errors": {"name_resolution_error": 20}}
    snapshot = refused({"name_resolution_error": 65}, **failing)
    assert all_kinds(snapshot)[:2] == [Kind.CONNECT_FAILURES, Kind.RETRIES]
    finding = found(Kind.RETRIES, snapshot)
    assert "provider" not in finding.explanation
    assert finding.severity is Severity.WARNING


def test_provider_is_not_blamed_for_calls_that_fail_after_their_answer():
    """All of their requests were answered."""
    failing = {**MUCH, "outcomes": ended(0, 35), "errors": {"ValidationError": 35}}
    finding = found(Kind.RETRIES, refused({}, **failing))
    assert finding.severity is Severity.WARNING
    assert "were answered" in finding.explanation
    assert "status page" not in finding.advice


def test_retries_before_the_period_do_not_count():
    before = refused({429: 65}, **MUCH)
    later = {**MUCH, "outcomes": ended(200)}
    now = a_snapshot(before.totals, uptime=200.0, calls=(the_calls(**later),))
    assert Kind.RETRIES not in kinds(now, before)


@pytest.mark.parametrize(
    ("library", "paused", "fires"),
    [("urllib3", 6.0, True), ("urllib3", 5.0, False), ("httpx", 6.0, True)],
)
def test_pauses_are_named_where_no_calls_are_counted(library, paused, fires):
    """The limit is a tenth of the last minute. So few refusals alone are no finding."""
    refused = (Failure(9.0, "503", 0.1, "unread", 0.1, None, "app.py:7 in ask"),) * 5
    totals = the_totals(60, name=library, provider=None, library=library, failures=refused)
    (origin,) = totals.origins
    outcomes = (*origin.outcomes, Outcome(count=5, status=503))
    totals = replace(totals, origins=(replace(origin, outcomes=outcomes),))
    whose = (f"{library}/{library}", origin.origin, None)
    items = {("pauses",): 5, ("paused",): paused}
    minute = {whose: {**counted([totals], [])[whose], **items}}
    snapshot = a_snapshot(totals, **an_account(minute))
    assert Kind.RETRIES not in kinds(a_snapshot(totals, **an_account(minute, {}, {})))
    assert (Kind.RETRIES in kinds(snapshot)) is fires
    if fires:
        finding = found(Kind.RETRIES, snapshot)
        who = "Retry-After made urllib3 pause" if library == "urllib3" else "SDKs paused"
        assert finding.observed == (
            f"5 of 65 requests (8%) were refused: 5 with 503; {who} 5 times, for 6.0 s summed "
            "over all requests."
        )
        assert finding.evidence[0].shared == "5 of 5 from app.py:7 in ask"
        of_urllib3 = "retry_after_max (2.6.3 or newer) of urllib3's Retry" in finding.advice
        assert of_urllib3 is (library == "urllib3")
