"""Verdicts on the numbers of calls and pools."""

from collections import Counter
from dataclasses import replace

import pytest

from gluellm_pools.verdicts import calls_verdict, severity, verdict
from gluellm_pools.view import CallKey, CallsView, PoolKey, PoolView, View

QUEUEING = {"queued": 6.0, "awaiting_response": 3.0, "reading": 1.0}


def full(**more) -> PoolView:
    """A pool with all connections in use, whose requests queue for most of their time."""
    return PoolView(active=2, maximum=2, **{"seconds_by_phase": QUEUEING, "requests": 9, **more})


LATE = {"queued": 5.0, "unread": 3.0, "reading": 2.0}
CHANNELS = PoolView(channels={"connecting": 1}, seconds_by_phase={"connecting": 3.0})
VERDICTS = {
    "run gluellm-pools doctor to find the line": full(leaks_suspected=1),
    "HTTP/2 streams of ended requests": full(streams_orphaned=1),
    "one client": PoolView(pools_opened=10, requests=19),
    "connections are not reused": full(seconds_by_phase={"connecting": 3.0, "queued": 7.0}),
    "most attempts to connect fail": full(
        seconds_by_phase={"connecting": 3.0}, set_ups=3, opened=1
    ),
    "channels are not connected": CHANNELS,
    "held by unread answers": full(seconds_by_phase=LATE),
    "slow consumer or leak": full(requests=0, by_phase={"unread": 2, "queued": 3}),
    "no complete answer for 45 s": full(oldest={"awaiting_response": 45.0}),
    "does not answer in time": full(timeouts={"read": 3}),
    "full, provider takes 20 s: small pool or slow provider": full(oldest={"reading": 20.0}),
    "full, provider takes at most 2.0 s: pool too small": full(oldest={"reading": 2.0}),
}


@pytest.mark.parametrize("expected", VERDICTS)
def test_verdicts_follow_the_table_of_phases(expected):
    """There is one for each line of it; every text fits beside a label in 80 columns."""
    text = verdict(VERDICTS[expected])
    assert expected in text
    assert len(text) <= 80 - 14


@pytest.mark.parametrize(
    "pool",
    [
        PoolView(),
        PoolView(active=1, maximum=2, seconds_by_phase=QUEUEING),  # not full
        PoolView(active=9, seconds_by_phase=QUEUEING),  # no limit
        PoolView(active=2, maximum=2, seconds_by_phase={"reading": 5.0, "queued": 0.4}),
        PoolView(pools_opened=10, requests=30),
        # Answers are read late, but no request waits.
        PoolView(active=1, maximum=2, seconds_by_phase={"unread": 3.0, "reading": 1.0}),
        # Too few requests, or too little time, for a slow consumer; and the pool is not full.
        PoolView(active=1, maximum=2, seconds_by_phase=LATE, requests=4),
        PoolView(active=1, maximum=2, seconds_by_phase=LATE, requests=40),
    ],
)
def test_numbers_without_a_problem_have_no_verdict(pool):
    assert verdict(pool) is None


def test_late_event_loop_suppresses_verdicts_on_times():
    """It makes the pool look small and the provider slow. Leaks are still reported."""
    assert verdict(full(), doubtful=True) is None
    assert verdict(full(leaks_suspected=1), doubtful=True)


def test_pools_are_ordered_by_severity():
    """Leaks, stuck streams, timeouts, long waits, waits; in steps, for a stable order."""
    worst_first = [
        full(leaks_suspected=1),
        full(streams_orphaned=1),
        full(timeouts={"pool": 1}),
        full(oldest={"queued": 12.0}),
        full(oldest={"queued": 2.0}),
        PoolView(),
    ]
    assert sorted(worst_first, key=severity) == worst_first[::-1]
    assert [any(severity(pool)) for pool in worst_first] == [True, True, True, True, True, False]
    assert severity(full(leaks_suspected=1)) == severity(full(leaks_suspected=7))
    assert severity(full(oldest={"queued": 2.0})) == severity(full(oldest={"queued": 4.0}))
    assert severity(full(oldest={"queued": 12.0})) == severity(full(oldest={"queued": 14.0}))


# Calls

CALLS = CallKey("openai", "gluellm")


def some_calls(outcomes: dict[str, int] | None = None, **numbers: dict | float) -> CallsView:
    counters = {
        name: Counter(value) if isinstance(value, dict) else value
        for name, value in numbers.items()
    }
    return CallsView(outcomes=Counter(outcomes or {"succeeded": 20}), **counters)


def beside(calls: CallsView, *pools: PoolView, **process: float) -> View:
    """A view of these calls and pools."""
    named = {PoolKey(str(number), "httpx"): pool for number, pool in enumerate(pools)}
    return View(named, calls={CALLS: calls}, **process)


LIMITED = some_calls(by_stage={"limited": 12}, oldest={"limited": 3.0})
BACKING_OFF = some_calls(
    by_stage={"backoff": 1, "requesting": 3},
    seconds_by_stage={"backoff": 5.0, "requesting": 20.0},
    retries=5,
)
STALLED = some_calls(
    by_stage={"requesting": 2}, oldest={"requesting": 80.0}, silent=2, silence=75.0
)
UNANSWERED = some_calls(
    by_stage={"requesting": 1}, oldest={"requesting": 640.0}, silent=1, silence=0.3
)
FAILING = some_calls({"failed": 31, "succeeded": 69}, errors={"429": 28, "read_timeout": 3})


def pool_of(provider: str = "openai", **numbers: dict) -> PoolView:
    counters = {name: Counter(value) for name, value in numbers.items()}
    return PoolView(providers=frozenset({provider}), **counters)


READING = {"by_phase": {"reading": 2}}
CALLS_VERDICTS = {
    "the pool is idle: 12 calls wait in GlueLLM's rate limiter": beside(LIMITED, pool_of()),
    "12 calls wait in GlueLLM's rate limiter": beside(LIMITED, pool_of(by_phase={"reading": 1})),
    "the pool is idle: 1 call waits to retry after 429": beside(
        BACKING_OFF, pool_of(errors={"429": 4, "read_timeout": 3}), pool_of("other", **READING)
    ),
    "1 call waits to retry": beside(
        BACKING_OFF, pool_of(errors={"429": 4, "500": 4}, by_phase={"queued": 1})
    ),
    # Behind a gateway, all pools count.
    "1 call waits to retry after 503": beside(
        BACKING_OFF, pool_of("gateway", errors={"503": 4}, **READING)
    ),
    "the pool is idle: calls wait 20% of their time to retry": beside(
        replace(BACKING_OFF, by_stage=Counter())
    ),
    "bytes arrive, but no item for up to 75 s in 2 silent calls": beside(
        STALLED, pool_of(**READING, oldest={"reading": 14.0})
    ),
    "nothing arrives for up to 75 s in 2 silent calls": beside(
        STALLED, pool_of(**READING, oldest={"reading": 74.0})
    ),
    "no answer for up to 640 s in 1 silent call": beside(
        UNANSWERED, pool_of(by_phase={"awaiting_response": 1})
    ),
    "31 calls fail, most with 429, 69 succeed": beside(FAILING),
    "31 calls fail, 69 succeed": beside(
        replace(FAILING, errors=Counter({"429": 15, "500": 16, "a": 9}))
    ),
    "3 calls fail with 401, 2 succeed; 20% of time in back-off": beside(
        some_calls(
            {"failed": 3, "succeeded": 2, "cancelled": 90},
            errors={"401": 3},
            seconds_by_stage={"backoff": 1.0, "requesting": 4.0},
        )
    ),
}


@pytest.mark.parametrize("expected", CALLS_VERDICTS)
def test_verdict_on_calls_names_where_they_are_or_how_they_fail(expected):
    """Every text fits beside a label in 80 columns."""
    found = calls_verdict(CALLS_VERDICTS[expected], CALLS)
    assert found.text == expected
    assert len(expected) <= 80 - 14


def test_verdict_on_calls_names_its_owner():
    """The program owns the limiter's settings. The owner of a failure can be unknown."""
    for calls, owner in (
        (LIMITED, "the program"),
        (BACKING_OFF, "the provider"),
        (STALLED, "the provider"),
        (FAILING, "the provider"),
        (replace(FAILING, errors=Counter({"401": 31})), ""),
    ):
        assert calls_verdict(beside(calls), CALLS).at_fault == owner


@pytest.mark.parametrize(
    "calls",
    [
        CallsView(),
        some_calls(),
        # A burst in the limiter, and a retry or two.
        replace(LIMITED, oldest={"limited": 0.9}),
        replace(BACKING_OFF, retries=4),
        replace(BACKING_OFF, seconds_by_stage=Counter(backoff=1.0, requesting=20.0)),
        some_calls({"failed": 9, "succeeded": 9}),
        some_calls({"failed": 10, "succeeded": 200}),
        some_calls({"failed": 2}),
        some_calls({"cancelled": 100, "abandoned": 100}),
    ],
)
def test_calls_without_a_problem_have_no_verdict(calls):
    assert calls_verdict(beside(calls), CALLS) is None
    assert not any(severity(calls))


def test_late_event_loop_suppresses_verdicts_on_the_pauses_of_calls():
    """Failed and silent calls are still reported."""
    late = {"loop_late": 30.0, "over": 60.0}
    found = [calls_verdict(beside(calls, **late), CALLS) for calls in (LIMITED, BACKING_OFF)]
    assert found == [None, None]
    assert calls_verdict(beside(FAILING, **late), CALLS)
    assert calls_verdict(beside(STALLED, **late), CALLS)


def test_calls_are_ordered_by_severity():
    """Failing, silent, waiting; in steps, for a stable order."""
    worst_first = [FAILING, STALLED, LIMITED, some_calls()]
    assert sorted(worst_first, key=severity) == worst_first[::-1]
    assert severity(LIMITED) == severity(BACKING_OFF)
    assert severity(STALLED) == severity(replace(STALLED, silent=9))
