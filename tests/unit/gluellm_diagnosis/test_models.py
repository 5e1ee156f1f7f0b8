"""A provider that is slow for one model, and one caller that holds the pool."""

from dataclasses import replace
from typing import Any

import pytest

from gluellm_diagnosis.diagnose import diagnose
from gluellm_diagnosis.findings import Kind
from opentelemetry.instrumentation.gluellm.snapshots.parts import Answer
from opentelemetry.instrumentation.gluellm.snapshots.snapshot import Snapshot

from .building import a_connection, a_pool, a_request, a_snapshot, found, kinds, the_totals

SLOW = Kind.SLOW_PROVIDER


def answers(ago: float, number: int = 20, /, **models: tuple[float, float, int]) -> Any:
    """``number`` answers of each model: time to the headers, time after them, items."""
    return tuple(
        Answer(ago, model, *times) for model, times in models.items() for _ in range(number)
    )


BEFORE = answers(150.0, small=(0.5, 2.0, 20), large=(1.0, 4.0, 20), raw=(0.5, 2.0, 0))


def now(more: dict[str, float] | None = None, **models: tuple[float, float, int]) -> Snapshot:
    """A snapshot whose last 100 s have ``more`` seconds per request and phase."""
    totals = the_totals(200, more, answers=BEFORE + answers(20.0, **models))
    return a_snapshot(totals, uptime=200.0)


MUCH = {"awaiting_response": 3.0, "reading": 3.0}


@pytest.mark.parametrize(
    ("snapshot", "expected"),
    [
        # One model's head, or its speed. Its share of the traffic may be small.
        (
            now(small=(2.0, 2.0, 20), large=(1.0, 4.0, 20)),
            "Slower now: calls (small), median 2.0 s to the headers (before: 0.50 s",
        ),
        (
            now(small=(0.5, 6.0, 20), large=(1.0, 4.0, 20)),
            "Slower now: calls (small), median 0.30 s per item (before: 0.10 s",
        ),
        (
            now(MUCH, small=(3.0, 2.0, 20), large=(6.0, 4.0, 20)),
            "calls (small), median 3.0 s to the headers",
        ),
        # Longer answers at the same speed, and more calls of the larger model.
        (now(MUCH, small=(0.5, 20.0, 200), large=(1.0, 4.0, 20)), ""),
        (now(MUCH, large=(1.0, 4.0, 20)), ""),
        (now(small=(0.59, 2.0, 20), large=(1.0, 4.0, 20)), ""),
        # Without items, a longer answer cannot be distinguished from a slower one.
        (
            now(raw=(0.5, 9.0, 0), large=(1.0, 4.0, 20)),
            "Slower now: calls (raw), median 9.0 s for the rest (before: 2.0 s",
        ),
        # A model without earlier answers is compared with the mean of all.
        (now(MUCH, other=(9.0, 2.0, 20)), "(before: 0.80 s for both)"),
        (now(other=(9.0, 2.0, 20)), ""),
    ],
)
def test_slow_model_is_named(snapshot, expected):
    before = a_snapshot(the_totals(100))
    assert kinds(snapshot, before) == ([SLOW] if expected else [])
    if expected:
        assert expected in found(SLOW, snapshot, before).observed


@pytest.mark.parametrize(
    ("lag", "share", "model", "fires"),
    [
        (0.9, 0.4, {"raw": (0.5, 12.0, 0)}, True),
        (1.0, 0.4, {"raw": (0.5, 12.0, 0)}, False),  # ten such pauses are as long
        (0.1, 0.84, {"raw": (0.5, 12.0, 0)}, False),  # it was late for as long in that time
        (0.9, 0.4, {"small": (0.5, 12.0, 20)}, True),  # 0.6 s per item, of which 0.1 s before
        (0.9, 0.4, {"small": (12.0, 2.0, 20)}, True),
        (0.9, 0.4, {"other": (9.0, 12.0, 20)}, False),  # no earlier answers
    ],
)
def test_slowdown_that_late_loops_do_not_explain_comes_first(lag, share, model, fires):
    """Slowdowns that the late loop may explain are still withheld."""
    late = {"event_loop_lag": lag, "event_loop_late": 100 * share, "event_loop_late_share": share}
    process = replace(now().process, **late)
    snapshot = replace(now(MUCH, large=(1.0, 9.0, 20), **model), process=process)
    expected = [SLOW] * fires + [Kind.BLOCKED_EVENT_LOOP]
    before = a_snapshot(the_totals(100))
    assert [f.kind for f in diagnose(snapshot, before) if f.kind in expected] == expected
    assert SLOW in expected or SLOW not in kinds(snapshot, before)
    if fires:
        finding = found(SLOW, snapshot, before)
        assert "large" not in finding.observed
        assert finding.explanation.endswith("of up to 0.90 s, do not explain it.")


@pytest.mark.parametrize(
    ("before", "after", "means"),
    [
        # If streams are buffered, time moves from the rest to the head.
        ((0.4, 6.0, 20), (6.4, 0.001, 20), "buffers streams"),
        ((0.4, 6.0, 20), (5.0, 1.5, 20), "buffers streams"),
        ((0.4, 6.0, 20), (5.0, 1.6, 20), "path to it is slow"),
        ((0.4, 6.0, 20), (8.1, 0.001, 20), "path to it is slow"),
        # Only the rest is longer, of answers whose items are not observed.
        ((0.5, 1.5, 0), (0.5, 15.0, 0), "longer at the same speed"),
        ((0.5, 1.5, 0), (1.0, 15.0, 0), "path to it is slow"),
        ((0.5, 1.5, 20), (0.5, 15.0, 20), "path to it is slow"),
    ],
)
def test_change_of_the_times_of_answers_is_explained(before, after, means):
    totals = the_totals(200, MUCH, answers=answers(150.0, m=before) + answers(20.0, m=after))
    finding = found(SLOW, a_snapshot(totals, uptime=200.0), a_snapshot(the_totals(100)))
    assert means in finding.explanation
    assert ("proxy_buffering off" in finding.advice) is ("buffers" in means)
    assert ("max_tokens" in finding.advice) is ("longer" in means)


def test_requests_of_a_model_that_hangs_count_before_they_end():
    waiting = [a_request("awaiting_response", 9.0, model="small")] * 5
    totals = the_totals(200, answers=BEFORE + answers(20.0, large=(1.0, 4.0, 20)))
    hangs = a_snapshot(totals, a_pool(waiting, [a_connection("active")] * 5), uptime=200.0)
    observed = found(SLOW, hangs, a_snapshot(the_totals(100))).observed
    assert "Slower now: calls (small), median 9.0 s to the headers" in observed
    assert "as fast as before: calls (large)" in observed


def test_pauses_of_the_application_are_not_blamed_on_a_model():
    paused = now({"unread": 4.0}, small=(0.5, 9.0, 20), large=(1.0, 9.0, 20))
    assert kinds(paused, a_snapshot(the_totals(100))) == [Kind.SLOW_CONSUMER]


@pytest.mark.parametrize(
    ("slow", "late", "fires"),
    [
        (20, (), True),
        (20, range(0, 100, 8), False),
        (9, (), False),
        # A batch of long answers has ended, or its answers are the latest ones.
        (20, range(55, 59), False),
        (20, range(96, 100), True),
    ],
)
def test_slow_replica_is_seen_where_other_answers_are_as_fast_as_before(slow, late, fires):
    """The test compares 80 answers with 100 earlier ones.

    It is not reported if the process had that mix before, or if chance explains it.
    """
    heads = [6.0 if number in late else 0.5 for number in range(100)]
    was = [answers(190.0 - 0.8 * n, 1, m=(head, 0.1, 0)) for n, head in enumerate(heads)]
    latest = answers(20.0, slow, m=(6.0, 0.1, 0)) + answers(20.0, 80 - slow, m=(0.5, 0.1, 0))
    snapshot = a_snapshot(the_totals(100, answers=(*sum(was, ()), *latest)), uptime=200.0)
    earlier = a_snapshot(the_totals(100))
    assert kinds(snapshot, earlier) == ([SLOW] if fires else [])
    if fires:
        finding = found(SLOW, snapshot, earlier)
        assert "25% took about 6.0 s to the headers (before: median" in finding.observed
        assert "replicas" in finding.explanation


def test_a_few_long_answers_do_not_make_a_model_slow():
    """Unstreamed calls of one model take 1 s or 90 s, as before."""
    before = answers(900.0, 30, mixed=(1.0, 0.0, 0)) + answers(900.0, 20, mixed=(90.0, 0.0, 0))
    now = answers(20.0, 4, mixed=(1.0, 0.0, 0)) + answers(20.0, 8, mixed=(90.0, 0.0, 0))
    assert kinds(a_snapshot(the_totals(100, answers=now, earlier_answers=before))) == []


@pytest.mark.parametrize(("head", "slower"), [(9.0, False), (20.0, True)])
def test_last_calls_that_are_long_as_ever_are_not_slower(head: float, *, slower: bool):
    """The short ones have ended, and too few are left to compare each model."""
    before = a_snapshot(the_totals(100), uptime=100.0)
    kept = answers(150.0, 4, think=(15.0, 0.0, 0)) + answers(20.0, 4, think=(head, 0.0, 0))
    thinking = a_pool([a_request("awaiting_response", 1.0, model="think")])
    more = {"awaiting_response": 3.0 if not slower else 17.0}
    totals = the_totals(200, more, answers=kept)
    snapshot = a_snapshot(totals, thinking, uptime=200.0)
    assert kinds(snapshot, before) == [SLOW] * slower


def test_long_calls_that_are_left_when_short_ones_end_are_not_slower():
    """The model may be unknown. Earlier, callers also waited for long calls most of the time."""
    short = sum((answers(30.0 + n, 4, mixed=(0.2, 0.0, 0)) for n in range(25)), ())
    long, latest = (answers(ago, 5, mixed=(22.0, 0.0, 0)) for ago in (38.0, 5.0))
    more = {"awaiting_response": 0.9}  # in the last 10 s, 19 s for each
    totals = the_totals(105, more, answers=(*short, *long, *latest))
    assert kinds(a_snapshot(totals, uptime=110.0), a_snapshot(the_totals(100))) == []


def test_earlier_samples_are_the_baseline_of_a_busy_pool():
    """No earlier snapshot is needed, although all latest answers are from the incident."""
    latest = answers(20.0, 100, small=(2.0, 2.0, 20), large=(1.0, 4.0, 20))
    sampled = answers(900.0, 12, small=(0.5, 2.0, 20), large=(1.0, 4.0, 20))
    totals = the_totals(100, answers=latest, earlier_answers=sampled)
    assert "Slower now: calls (small)" in found(SLOW, a_snapshot(totals)).observed


BATCH = {"model": "report", "call_site": "batch.py:9 in batch_report"}
FULL = {"peak_active": 10, "peak_queued": 9}


def held_by_a_batch(share: int, wait: float = 3.0, others: int = 4, **changes: Any) -> Snapshot:
    """A batch holds ``share`` of ten connections; it and others queue."""
    requests = [a_request("reading", 20.0, **BATCH)] * share
    requests += [a_request("reading", 0.5, call_site="chat.py:3 in chat")] * (10 - share)
    requests += [a_request("queued", 30.0, **BATCH)] * 30
    requests += [a_request("queued", wait, call_site="chat.py:3 in chat")] * others
    totals = the_totals(100, {"queued": 5.0}, **FULL, **changes)
    return a_snapshot(totals, a_pool(requests, [a_connection("active")] * 10))


@pytest.mark.parametrize(
    ("snapshot", "fires"),
    [
        (held_by_a_batch(8), True),
        (held_by_a_batch(7), False),  # it may have most of the traffic
        (held_by_a_batch(8, wait=0.9), True),  # the queue matters over all
        (held_by_a_batch(8, others=0), False),  # the pool is too small for its only caller
    ],
)
def test_caller_that_holds_the_pool(snapshot, fires):
    assert kinds(snapshot) == [Kind.ONE_CALLER if fires else Kind.POOL_TOO_SMALL]


def test_caller_that_held_the_pool_in_the_last_minutes():
    """At the moment of the snapshot, others hold it as well: the batch comes in waves."""
    ended = Answer(20.0, "report", 11.0, 1.0, 0, call_site=BATCH["call_site"])
    others = Answer(20.0, "gpt-4o", 0.8, 0.0, 0, call_site="chat.py:3 in chat")
    waves = held_by_a_batch(5, answers=(ended,) * 40 + (others,) * 150)
    assert "83% of the connections' time was taken by calls from batch.py:9" in (
        found(Kind.ONE_CALLER, waves).observed
    )
    assert Kind.POOL_TOO_SMALL not in kinds(waves)
    few = held_by_a_batch(5, answers=(ended,) * 10 + (others,) * 150)
    assert kinds(few) == [Kind.POOL_TOO_SMALL]


def test_caller_with_most_of_the_traffic_is_not_to_blame():
    """Its requests take no longer than those of the others, so that the pool is too small."""
    others = (Answer(5.0, "gpt-4o", 8.0, 3.0, 0),) * 20
    assert kinds(held_by_a_batch(10, answers=others)) == [Kind.POOL_TOO_SMALL]
    # Those that hold connections now may have begun together.
    ended = Answer(5.0, "report", 30.0, 3.0, 0, call_site=BATCH["call_site"])
    assert kinds(held_by_a_batch(10, answers=(*others, ended))) == [Kind.ONE_CALLER]
    others = (Answer(5.0, "gpt-4o", 8.0, 1.0, 0),) * 20
    assert kinds(held_by_a_batch(10, answers=others)) == [Kind.ONE_CALLER]


def test_provider_that_became_slow_for_a_caller_comes_first():
    slow = answers(20.0, report=(9.0, 9.0, 0), **{"gpt-4o": (0.2, 0.3, 0)})
    slow = tuple(one._replace(call_site=BATCH["call_site"]) for one in slow)
    before = tuple(one._replace(ago=900.0, head=0.5, rest=0.5) for one in slow)
    assert kinds(held_by_a_batch(9, answers=slow, earlier_answers=before)) == [SLOW]


def test_older_half_of_the_earlier_answers_counts():
    """More than half of the earlier answers were already slow."""
    latest = answers(20.0, 60, small=(2.0, 2.0, 20))
    slow, well = (answers(ago, 30, small=(head, 2.0, 20)) for ago, head in ((500, 2.0), (990, 0.5)))
    totals = the_totals(100, answers=latest, earlier_answers=(*well[:25], *slow))
    assert "2.0 s to the headers (before: 0.50 s)" in found(SLOW, a_snapshot(totals)).observed


def test_advised_size_is_what_other_callers_need():
    finding = found(Kind.ONE_CALLER, held_by_a_batch(9))
    assert finding.observed.endswith(
        "9 of 10 connections are held by calls from batch.py:9 in batch_report (report); 4 "
        "requests of other callers queued, the longest for 3.0 s."
    )
    # Their number in the queue is not the number that they need.
    assert finding.advice.endswith("limit its calls (asyncio.Semaphore).")
    quick = (Answer(5.0, "gpt-4o", 0.2, 0.3, 0),) * 56
    finding = found(Kind.ONE_CALLER, held_by_a_batch(9, answers=quick))
    assert finding.advice.endswith("The others need about 1 connection.")
