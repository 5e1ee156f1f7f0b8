"""Findings on connections that are held without being used."""

import dataclasses
from pathlib import Path

import pytest

from gluellm_diagnosis.findings import Fact, Kind, Severity
from opentelemetry.instrumentation.gluellm.snapshots.parts import RequestSnapshot
from opentelemetry.instrumentation.gluellm.snapshots.snapshot import Snapshot

from .building import (
    BLOCKED,
    a_connection,
    a_pool,
    a_request,
    a_snapshot,
    all_kinds,
    found,
    kinds,
    the_totals,
)


def leaked(age: float = 80.0, call_site: str = "/srv/app/chat.py:17 in answer") -> RequestSnapshot:
    return a_request("unread", age, leak_suspected=True, call_site=call_site, trace_id="ab" * 16)


def test_leak_names_model_call_site_and_time():
    """Of many call sites the first three are named."""
    pool = a_pool([leaked(70.0), leaked(80.0), leaked(65.0, "/srv/app/other.py:3 in go")])
    finding = found(Kind.LEAK, a_snapshot(the_totals(leaks=3), pool))
    assert finding.severity is Severity.WARNING
    assert finding.observed == (
        "3 of 10 connections held by unread answers: 2 requested at /srv/app/chat.py:17 in answer "
        "(the oldest unread for 80 s, provider openai, model gpt-4o, trace "
        "abababababababababababababababab); 1 requested at /srv/app/other.py:3 in go (unread for "
        "65 s, provider openai, model gpt-4o, trace abababababababababababababababab)."
    )
    assert "contextlib.aclosing(stream)" in finding.advice
    pool = a_pool([leaked(call_site=f"a{number}.py:1 in f") for number in range(5)])
    seen = found(Kind.LEAK, a_snapshot(the_totals(leaks=5), pool)).observed
    assert seen.endswith("; and 2 more call sites.")


def test_leak_explains_the_queue():
    """A larger pool would only leak more."""
    pool = a_pool([leaked()] * 10 + [a_request("queued", 20.0)], [a_connection("active")] * 10)
    totals = the_totals(100, {"queued": 1.0, "unread": 8.0}, peak_active=10, peak_queued=9)
    snapshot = a_snapshot(totals, pool)
    assert kinds(snapshot) == [Kind.LEAK]
    assert found(Kind.LEAK, snapshot).severity is Severity.ERROR
    assert "requests queue" in found(Kind.LEAK, snapshot).explanation


@pytest.mark.parametrize(
    ("call_site", "trace", "waits", "nested"),
    [
        ("tool.py:5 in lookup", "cd" * 16, (79.9, 79.85), True),
        ("tool.py:5 in lookup", "cd" * 16, (79.9, 70.0), False),
        ("tool.py:5 in lookup", "cd" * 16, (80.1, 80.1), False),
        # Many calls of one call site may begin at once.
        ("/srv/app/chat.py:17 in answer", "cd" * 16, (79.9, 79.85), False),
        ("/srv/app/chat.py:17 in answer", "ab" * 16, (70.0, 60.0), True),
    ],
)
def test_streams_whose_readers_wait_for_the_same_pool(call_site, trace, waits, nested):
    inner = [a_request("queued", wait, call_site=call_site, trace_id=trace) for wait in waits]
    pool = a_pool([*[leaked()] * 3, *inner], [a_connection("active")] * 3, max_connections=3)
    finding = found(Kind.LEAK, a_snapshot(the_totals(leaks=3, peak_active=3), pool))
    assert ("each waits for the other" in finding.explanation) is nested
    assert finding.advice.startswith("Close the stream before these calls") is nested
    if nested:
        text = f"2 requests (2 of 2 from {call_site} (gpt-4o)) queued just when answers became"
        assert text in finding.explanation


def test_readme_shows_the_finding_of_a_leak():
    """Its example is of an SDK without any-llm, so the model is unknown."""
    place = "/srv/bot/app.py:11 in chat"
    unread = [a_request("unread", 72.0, leak_suspected=True, call_site=place)] * 2
    requests = [*unread, a_request("queued", 73.0)]
    pool = a_pool(requests, [a_connection("active")] * 2, max_connections=2)
    totals = the_totals(leaks=2, peak_active=2, peak_queued=1)
    finding = found(Kind.LEAK, a_snapshot(totals, pool, any_llm=False))
    readme = " ".join((Path(__file__).parents[3] / "README.md").read_text().split())
    assert f"observed: {finding.observed.replace(', provider openai, model gpt-4o', '')}" in readme
    assert f"explanation: {finding.explanation}" in readme
    assert f"advice: {finding.advice.partition(' This closes')[0]}" in readme


def test_younger_unread_responses_of_a_leaking_call_site_count():
    """They hold connections as well. Without a queue, the finding mentions none."""
    ages = (62.0, 58.0, 55.0, 52.0)
    place = "app.py:11 in answer"
    unread = [a_request("unread", age, leak_suspected=age > 60, call_site=place) for age in ages]
    other = a_request("unread", 50.0, call_site="app.py:30 in slow")
    short_pause = a_request("unread", 4.0, call_site=place)
    finding = found(Kind.LEAK, a_snapshot(the_totals(leaks=1), a_pool(unread, max_connections=4)))
    assert finding.severity is Severity.ERROR
    assert finding.observed == (
        "4 of 4 connections held by unread answers: 4 requested at app.py:11 in answer (the "
        "oldest unread for 62 s, provider openai, model gpt-4o)."
    )
    assert finding.explanation.endswith("possibly forever.")
    pool = a_pool([*unread, other, short_pause])
    finding = found(Kind.LEAK, a_snapshot(the_totals(leaks=1), pool))
    assert finding.severity is Severity.WARNING
    assert finding.observed.startswith("4 of 10 connections")
    assert finding.observed.endswith("model gpt-4o); 2 more unread, but for at most 50 s.")


def test_leaks_are_those_of_the_watch_and_of_the_interval():
    """Only the watch applies the threshold. Leaks known at `previous` are left out."""
    unread = a_pool([a_request("unread", 59.0)])
    assert not all_kinds(a_snapshot(the_totals(), unread))
    before = a_snapshot(the_totals(leaks=2), uptime=50.0)
    snapshot = a_snapshot(the_totals(leaks=3))
    assert "Unread answers held 1 connection for" in found(Kind.LEAK, snapshot, before).observed
    known = a_snapshot(the_totals(leaks=3, leaked_at="/srv/app.py:11 in chat"))
    end = "or more, the last one requested at /srv/app.py:11 in chat. None does now."
    assert found(Kind.LEAK, known, before).observed.endswith(end)
    assert not kinds(a_snapshot(the_totals(leaks=2)), before)
    # A loop that was blocked for 7 s did not read meanwhile.
    late = {"event_loop_lag": 7.0, "event_loop_late": 40.0, "event_loop_late_share": 0.9}
    assert kinds(a_snapshot(the_totals(leaks=3), **late)) == [Kind.BLOCKED_EVENT_LOOP]


QUICK = {"awaiting_response": -0.28, "reading": -0.48}
FULL = {"peak_active": 10, "peak_queued": 9}
TWO_UNREAD = a_pool([a_request("unread", 50.0)] * 2)


@pytest.mark.parametrize(
    ("snapshot", "fires"),
    [
        (a_snapshot(the_totals(each={"unread": 0.33})), False),  # three tenths of the held time
        (a_snapshot(the_totals(each={"unread": 0.36})), True),
        (a_snapshot(the_totals(each={**QUICK, "unread": 0.09})), False),  # too little time
        (a_snapshot(the_totals(each={**QUICK, "unread": 0.1})), True),
        (a_snapshot(the_totals(4, {"unread": 5.0})), False),  # perhaps one caller only
        (a_snapshot(the_totals(5, {"unread": 5.0})), True),
        # Answers that are unread now may never be read.
        (a_snapshot(the_totals(100, {"unread": 1.0}, now={"unread": 2}), TWO_UNREAD), False),
        (a_snapshot(the_totals(100, {"unread": 2.0, "queued": 3.0}, **FULL)), True),
    ],
)
def test_slow_consumer_explains_the_queue(snapshot, fires):
    assert kinds(snapshot) == [Kind.SLOW_CONSUMER] * fires


def test_time_unread_before_the_interval_does_not_hide_a_slow_consumer():
    """Of an answer that is still unread, only the interval's part is excluded."""
    before = a_snapshot(the_totals(0, now={"unread": 1}), uptime=90.0)
    lasting = a_pool([a_request("unread", 90.0)])
    snapshot = a_snapshot(the_totals(100, {"unread": 1.0}, now={"unread": 1}), lasting)
    assert kinds(snapshot, before) == [Kind.SLOW_CONSUMER]
    assert found(Kind.SLOW_CONSUMER, snapshot, before).evidence[0].call_site is None


def test_slow_consumer_names_its_call_site():
    unread = [a_request("unread", 0.5, call_site="chat.py:3 in show")] * 3
    pool = a_pool([*unread, a_request("reading", call_site="b.py:1 in f")])
    totals = the_totals(100, {"unread": 2.0}, now={"unread": 3, "reading": 1})
    name, site = "The answers that are unread now", "chat.py:3 in show"
    assert found(Kind.SLOW_CONSUMER, a_snapshot(totals, pool)).evidence == (
        Fact(name, 3, 3, "gpt-4o", site),
    )


@pytest.mark.parametrize(("left", "advice"), [(50, "Read the answer"), (51, "Write `async with")])
def test_streams_that_are_left_unread_have_to_be_closed(left, advice):
    totals = the_totals(100, {"unread": 2.0}, connections_closed={"response_incomplete": left})
    finding = found(Kind.SLOW_CONSUMER, a_snapshot(totals))
    assert finding.advice.startswith(advice)
    assert ("read in the end" in finding.observed) is (left == 50)


def multiplexed(orphaned: int, active: int = 5, waiting: float = 0.0, **process: float) -> Snapshot:
    connection = a_connection(
        "active", protocol="2", streams_active=active, streams_max=100, streams_orphaned=orphaned
    )
    requests = [a_request("stream_queued", waiting)] if waiting else []
    return a_snapshot(the_totals(), a_pool(requests, [connection]), **process)


WANT_OF_STREAMS = the_totals(100, errors={"protocol_error": 5}, origin={"reuse_failures": 5})


@pytest.mark.parametrize(
    ("snapshot", "fires"),
    [
        (multiplexed(0), False),
        (multiplexed(9), False),  # a few cancelled requests are normal
        (multiplexed(10), True),
        # httpcore raises "Max outbound streams is 100, 100 open" on the reused connection.
        (dataclasses.replace(multiplexed(50), totals=(WANT_OF_STREAMS,)), True),
        (multiplexed(0, 100, 4.9), False),
        (multiplexed(0, 99, 8.0), False),
        (multiplexed(0, 100, 5.0), True),
        (multiplexed(0, 100, 5.0, **BLOCKED), False),  # the loop may explain the wait
        (multiplexed(0, 100, 5.1, **BLOCKED), True),
    ],
)
def test_orphaned_and_exhausted_streams_are_a_finding(snapshot, fires):
    """The limits are a tenth of the streams, and a request that has waited for 5 s."""
    expected = [Kind.HTTP2_STUCK] * fires
    assert [kind for kind in kinds(snapshot) if kind is not Kind.BLOCKED_EVENT_LOOP] == expected


def test_waiting_for_an_orphaned_stream_is_an_error():
    """An orphaned stream is never released."""
    finding = found(Kind.HTTP2_STUCK, multiplexed(40, 60, 8.0))
    assert finding.severity is Severity.ERROR
    assert finding.observed == (
        "40 of 100 HTTP/2 streams are orphaned, on 1 connection; 1 request waiting for a stream, "
        "the longest for 8.0 s."
    )
    assert "http2=False" in finding.advice


def lowered(now: int, most: int = 100, each: float = 0.5, active: int = 2) -> Snapshot:
    """The streams of one connection, and the time that each request waited for one."""
    connection = a_connection("active", protocol="2", streams_active=active, streams_max=now)
    totals = the_totals(100, {"stream_queued": each}, streams_most=most)
    return a_snapshot(totals, a_pool([], [connection]))


@pytest.mark.parametrize(
    ("snapshot", "fires"),
    [
        (lowered(2), True),
        (lowered(2, active=1), True),
        (lowered(2, most=2), True),  # all are in use, though no fewer than before
        (lowered(2, most=2, active=1), False),
        (lowered(100), False),
        (lowered(2, each=0.08), False),
    ],
)
def test_lowered_limit_on_streams(snapshot, fires):
    """No size of the pool is advised."""
    assert kinds(snapshot) == [Kind.HTTP2_STUCK] * fires
    if fires:
        finding = found(Kind.HTTP2_STUCK, snapshot)
        changed = snapshot.totals[0].streams_most == 100
        assert ("the peer lowered its limit from 100 to 2" in finding.observed) is changed
        assert "a larger pool does not help" in finding.explanation


@pytest.mark.parametrize(
    ("snapshot", "advice"),
    [
        (lowered(2), "max_connections=3))). Or spread the calls over 2 clients."),
        (multiplexed(100, 0), "max_connections=3))). Until then"),
    ],
)
def test_connections_of_http1_are_enough_for_the_load(snapshot, advice):
    """The limit of an HTTP/2 pool is that of connections which carry many requests each."""
    (pool,) = snapshot.pools
    of_http2 = dataclasses.replace(snapshot, pools=(dataclasses.replace(pool, max_connections=1),))
    assert advice in found(Kind.HTTP2_STUCK, of_http2).advice


def test_limit_of_another_origin_is_not_lowered():
    """The higher limit may be that of the other origin."""
    (totals,) = lowered(2).totals
    (origin,) = totals.origins
    other = dataclasses.replace(origin, origin="other.test:443", provider="other", phase_seconds={})
    two = dataclasses.replace(
        lowered(2), totals=(dataclasses.replace(totals, origins=(origin, other)),)
    )
    assert "lowered" not in str(found(Kind.HTTP2_STUCK, two))


def test_limit_that_the_peer_has_not_named_yet_is_not_lowered():
    new = a_connection("active", protocol="2", streams_active=1, streams_max=1, requests_served=0)
    totals = the_totals(100, {"stream_queued": 0.5}, streams_most=100)
    finding = found(Kind.HTTP2_STUCK, a_snapshot(totals, a_pool([], [new])))
    assert "lowered" not in str(finding)
