"""Findings on requests that wait or take long."""

from dataclasses import replace
from typing import Any

import pytest

from gluellm_diagnosis.diagnose import diagnose
from gluellm_diagnosis.findings import Finding, Kind, Severity
from gluellm_diagnosis.what_if import what_if
from opentelemetry.instrumentation.gluellm.snapshots.parts import (
    Answer,
    Failure,
    Outcome,
    PoolSnapshot,
)
from opentelemetry.instrumentation.gluellm.snapshots.snapshot import Snapshot

from .building import (
    BLOCKED,
    HEALTHY_TIMES,
    ORIGIN,
    a_connection,
    a_pool,
    a_request,
    a_snapshot,
    all_kinds,
    an_account,
    by_callers,
    found,
    kinds,
    leases,
    the_totals,
)

SMALL, SLOW, SATURATED = Kind.POOL_TOO_SMALL, Kind.SLOW_PROVIDER, Kind.POOL_SATURATED
UNANSWERED = Kind.CALLS_SILENT
BASELINE = a_snapshot(the_totals(100), uptime=100.0)
QUICK = {"awaiting_response": -0.29, "reading": -0.49, "connecting": -0.001, "unread": -0.005}
"""Changes to a healthy request that reduce it to 0.02 s."""


def full_pool(
    queued: int = 5, waited: float = 2.0, phase: str = "reading", **changes: Any
) -> PoolSnapshot:
    """A pool of 10 at its limit."""
    held = a_request(phase, 20.0 if phase == "unread" else 0.5, held=0.5)
    requests = [held] * 10 + [a_request("queued", waited)] * queued
    return a_pool(requests, [a_connection("active")] * 10, **changes)


def saturated(queued: float = 1.0) -> Snapshot:
    """100 further requests of 20 callers, each queued for ``queued`` s on top of its 0.806 s."""
    # the_totals spreads it over 200
    totals = the_totals(200, {"queued": queued / 2}, peak_active=10, peak_queued=10)
    now, held, waiting = 9.9, [], []
    times = [time for time in by_callers(20, 10, 0.8, 200) if time[0] < now]
    for arrival, wait, _ in (time for time in times if sum(time) > now):
        age = now - arrival
        if age > wait:
            held.append(a_request(phase_age=age - wait, age=age))
        else:
            waiting.append(a_request("queued", age))
    ring = leases((time for time in times if sum(time) <= now), now)
    pool = a_pool([*held, *waiting], [a_connection("active")] * 10, leases=ring)
    return a_snapshot(totals, pool, uptime=110.0)


def further(requests: int = 200, *pools: PoolSnapshot, uptime: float = 110.0, **more: Any) -> Any:
    """Requests of which 100 are in BASELINE, of a pool that was at its limit."""
    return a_snapshot(the_totals(requests, **{"peak_active": 10, **more}), *pools, uptime=uptime)


def busy(requests: int = 100, uptime: float = 100.0, **changes: Any) -> Snapshot:
    """Requests of a pool that was at its limit, without a baseline."""
    changes = {"peak_active": 10, "peak_queued": 9, **changes}
    return a_snapshot(the_totals(requests, **changes), uptime=uptime)


def test_advice_is_in_the_words_of_the_framework_in_the_process():
    full = saturated()
    process = replace(full.process, any_llm=False, frameworks=("langchain_openai",))
    advice = found(SMALL, replace(full, process=process), BASELINE).advice
    assert advice.startswith("Allow 20 connections: ChatOpenAI(http_async_client=")


def test_queueing_at_unchanged_lease_time_is_a_small_pool():
    """The finding advises a size."""
    finding = found(SMALL, saturated(), BASELINE)
    assert kinds(saturated(), BASELINE) == [SMALL]
    assert SATURATED not in all_kinds(saturated(), BASELINE)  # one finding for one cause
    assert finding.severity is Severity.WARNING
    assert finding.observed == (
        "Requests spent 55% of their time in the queue of the pool, which allows 10 connections. "
        "Requests arrived at 10/s and held a connection for 0.81 s on average (before: 0.81 s). "
        "Of the last 134 requests, 99% waited, the longest for 1.5 s. In a replay with 20 "
        "connections, none would wait."
    )
    assert finding.advice == (
        'Allow 20 connections: configure_pools(provider="openai", max_connections=20, '
        "max_keepalive_connections=20) if any-llm builds the client, or "
        'AnyLLM.create("openai", http_client=openai.DefaultAsyncHttpxClient('
        "limits=httpx2.Limits(max_connections=20)))."
    )
    assert "(before: " not in found(SMALL, saturated()).observed


def test_callers_that_pause_before_their_next_request_may_need_more():
    """Their pauses hide that their number is fixed, and they send more without a queue."""
    ring = leases(by_callers(9, 2, 0.3, 150, pause=0.1)[50:], 24.0)
    pool = a_pool(max_connections=2, leases=ring)
    now = a_snapshot(the_totals(100, {"queued": 1.0}, peak_active=2), pool)
    advice = found(SMALL, now).advice
    assert "Allow 6 connections" in advice
    assert advice.endswith("If a fixed number of workers send the requests, allow 9.")


def test_long_requests_in_flight_do_not_lower_the_time_of_the_ended_ones():
    """In ten seconds, three connections serve eight streams of about four seconds."""
    held = a_pool([a_request("reading", 2.0)] * 3, [a_connection("active")] * 3, max_connections=3)
    times = {"awaiting_response": 3.45, "queued": 5.0}
    streams = the_totals(8, times, peak_active=3, now={"reading": 3})
    observed = found(SMALL, a_snapshot(streams, held)).observed
    assert "held a connection for 4.3 s on average" in observed


def test_a_queue_that_outlives_its_load_is_not_explained_by_the_few_arrivals():
    """All but 5 of the 100 requests had arrived before."""
    totals = the_totals(200, {"queued": 2.0}, peak_active=10, origin={"requests_entered": 105})
    finding = found(SMALL, a_snapshot(totals, full_pool(), uptime=110.0), BASELINE)
    assert "Requests left the queue at 10/s and held a connection for " in finding.observed


@pytest.mark.parametrize(
    ("tool_calls", "each", "queued", "kind", "named"),
    [
        (20, 20.0, 50.0, Kind.ONE_CALLER, True),
        (20, 20.0, 0.5, SMALL, True),  # the others do not queue
        # It has most of the traffic, or is hardly slower.
        (400, 2.0, 50.0, SMALL, False),
        (20, 1.5, 50.0, SMALL, False),
    ],
)
def test_slow_origin_that_holds_a_shared_pool_is_named(tool_calls, each, queued, kind, named):
    """The mean of all origins hides the slow one."""
    totals = the_totals(100, peak_active=10)
    (llm,) = totals.origins
    answers = {"phase_seconds": {**llm.phase_seconds, "queued": queued}}
    left = (Outcome(count=tool_calls, status=200),)
    tool = {"origin": "tool.test:443", "requests_entered": tool_calls, "outcomes": left}
    times = {"phase_seconds": {"queued": 100.0, "awaiting_response": each * tool_calls}}
    origins = (replace(llm, **answers), replace(llm, **tool, **times))
    snapshot = a_snapshot(replace(totals, origins=origins))
    (first,) = diagnose(snapshot)
    assert first.kind is kind
    text = (
        "Of the time that connections were held, requests to tool.test:443 took 83%: 20 s each, "
        "other requests 0.81 s."
    )
    assert (text in first.observed) is named


@pytest.mark.parametrize(
    ("error", "kind"), [(None, Kind.ONE_CALLER), ("cancelled", SMALL), ("pool_timeout", SMALL)]
)
def test_requests_that_only_queue_do_not_make_another_origin_slow(error, kind):
    """A burst to one provider holds the pool while calls fall back to one that is as slow."""
    totals = the_totals(11, origin={"phase_seconds": {"reading": 660.0}}, peak_active=10)
    (first,) = totals.origins
    left = (Outcome(count=10, error=error),)
    times = {"phase_seconds": {"queued": 500.0, "reading": 30.0}}
    second = replace(first, origin="second.test:443", requests_entered=20, outcomes=left, **times)
    running = [a_request("reading", 3.0, origin="second.test:443")] * 10
    pool = a_pool(running, [a_connection("active")] * 10)
    ages = range(10, 60, 5)
    queued = tuple(Failure(5.0, error or "", age, "queued", age) for age in ages)
    totals = replace(totals, origins=(first, second), failures=queued if error else ())
    found = [one for one in kinds(a_snapshot(totals, pool)) if one is not Kind.CALLS_CANCELLED]
    assert found[0] is kind


def test_slow_origin_is_that_of_the_last_minute_if_others_do_not_queue():
    """No wait decides between the periods, so the latest numbers count."""

    def minute(each):
        origins = {"tool.test:443": (5, 5 * each, 100.0), ORIGIN: (25, 20.0, 0.0)}
        items = ("entered",), ("left", 200, None, False), ("phase", "reading"), ("phase", "queued")
        return {
            ("openai/httpx2", origin, "openai"): dict(zip(items, (its[0], *its), strict=True))
            for origin, its in origins.items()
        }

    snapshot = a_snapshot(the_totals(), **an_account(*[minute(40.0)] * 19, minute(20.0)))
    observed = found(SMALL, snapshot).observed
    assert "requests to tool.test:443 took 83%: 20 s each, other requests 0.80 s." in observed


GATEWAY = "gateway.test:443"


def through_a_gateway(
    held: Any, queued: Any, gateway: Any, *idle: Any, ring: str = "", **changes: Any
) -> Snapshot:
    """A pool of 100 connections, at most 6 to one origin: requests to the gateway hold all 6.

    ``gateway`` has the fields of its totals that differ from those of the other origin.
    """
    names = {"name": "aiohttp", "provider": None, "library": "aiohttp"}
    totals = the_totals(**{"peak_active": 9, **names, **changes})
    (other,) = totals.origins
    totals = replace(totals, origins=(other, replace(other, origin=GATEWAY, **gateway)))
    limits = {"max_connections": 100, "max_connections_per_origin": 6}
    connections = [a_connection("active", origin=GATEWAY)] * 6 + [*idle]
    pool = a_pool([held] * 6 + queued, connections, leases=ring, **limits, **names)
    return a_snapshot(totals, pool, uptime=70.0)


@pytest.mark.parametrize(
    ("peak", "share", "waits", "judged"),
    [
        (9, 1.0, 0.0, True),
        (9, 1.0, 500.0, True),  # a small share of the other origin's time
        (9, 0.01, 0.0, False),
        (100, 1.0, 0.0, False),  # the pool itself was full
    ],
)
def test_limit_of_each_origin_is_judged_where_requests_queue_for_it(peak, share, waits, judged):
    """The gateway has 30 callers."""
    held = a_request("reading", 0.5, origin=GATEWAY)
    queued = [a_request("queued", 4.0, origin=GATEWAY)] * 24
    gateway = {"phase_seconds": {"queued": 400.0 * share, "awaiting_response": 100.0}}
    other = {"phase_seconds": {"queued": waits, "reading": 10.0 * waits + 80.0}}
    idle = [a_connection()] * 3
    snapshot = through_a_gateway(held, queued, gateway, *idle, peak_active=peak, origin=other)
    (finding,) = diagnose(snapshot)
    if share < 1:
        assert finding.observed.startswith("6 of 6 connections to gateway.test:443 in use and 24")
    elif judged:
        assert finding.observed.endswith(
            "Requests to gateway.test:443 spent 80% of their time in the queue of the pool, which "
            "allows 6 connections to each origin. Requests arrived at 1.4/s and held a connection "
            "for 1.0 s on average."
        )
        assert "TCPConnector(limit_per_host=N)). No size" in finding.advice
    else:
        assert "which allows 100 connections" in finding.observed
        assert "TCPConnector(limit_per_host=N, limit=N)). No size" in finding.advice


@pytest.mark.parametrize("known", ["m2", "m3"])
def test_answers_of_other_origins_do_not_count_for_a_limit_of_each_origin(known):
    """Embeddings of another origin are quick, and both models of this one take 3 s."""
    held = a_request("reading", 3.0, origin=GATEWAY, model="m1")
    queued = [a_request("queued", 4.0, origin=GATEWAY, model="m2")] * 24
    gateway = {"phase_seconds": {"queued": 400.0, "awaiting_response": 300.0}}
    answers = (Answer(5.0, "embed", 0.05, 0.0, 0),) * 99 + (Answer(5.0, known, 1.0, 2.0, 0),) * 9
    # Only one origin has connections now, and the other one is among the recorded requests.
    ring = leases([(i * 0.1, 2.0 * (i % 2), 0.5) for i in range(600)], 70.0)
    snapshot = through_a_gateway(held, queued, gateway, ring=ring, answers=answers)
    (first, *_) = diagnose(snapshot)
    assert first.kind is (SMALL if known == "m2" else Kind.ONE_CALLER)
    if known == "m2":
        assert "No size is advised: the pool limits each origin" in first.advice
        (result,) = what_if(snapshot)
        assert "the pool limits each origin" in result.reason


def test_leak_that_takes_all_connections_to_one_origin_is_an_error():
    """Most requests go to another origin, so that few of all requests queue."""
    unread = a_request("unread", 100.0, origin=GATEWAY, leak_suspected=True)
    queued = [a_request("queued", 80.0, origin=GATEWAY)] * 14
    gateway = {"requests_entered": 20, "phase_seconds": {"queued": 400.0, "unread": 600.0}}
    snapshot = through_a_gateway(unread, queued, {"outcomes": (), **gateway}, requests=5000)
    finding = found(Kind.LEAK, snapshot)
    assert finding.severity is Severity.ERROR
    assert "6 of 6 connections to gateway.test:443 held by unread" in finding.observed


QUEUED = {"each": {"queued": 0.5}}


@pytest.mark.parametrize(
    ("snapshot", "before", "fires"),
    [
        (saturated(0.05), BASELINE, False),  # below a tenth, the pool's own glitches can explain it
        (saturated(0.12), BASELINE, True),
        (busy(each={"queued": 0.088}), None, False),  # beside 0.806 s of the rest
        (busy(each={"queued": 0.091}), None, True),
        (busy(each={**QUICK, "queued": 0.0095}), None, False),  # a third of the time
        (busy(each={**QUICK, "queued": 0.0105}), None, True),
        # 0.96 s and 1.02 s in total: one burst, or repeated queues.
        (busy(6, each={**QUICK, "queued": 0.16}), None, False),
        (busy(6, each={**QUICK, "queued": 0.17}), None, True),
        (busy(4, each={"queued": 1.0}), None, False),  # may have come at once by chance
        (busy(5, each={"queued": 1.0}), None, True),
        # httpcore 1.0.9 lets requests queue for a busy connection while others could be made. The
        # peak of the last 75 s says nothing about the hour before.
        (further(peak_active=4, **QUEUED), BASELINE, False),
        (further(peak_active=4, uptime=1000.0, **QUEUED), BASELINE, True),
        (busy(uptime=75.0, peak_active=4, **QUEUED), None, False),
        (busy(uptime=76.0, peak_active=4, **QUEUED), None, True),
        (busy(100, errors={"pool_timeout": 1}), None, True),  # one in a hundred
        (busy(101, errors={"pool_timeout": 1}), None, False),
        (further(400, errors={"pool_timeout": 1}), BASELINE, False),
        (further(200, a_pool(max_connections=None), **QUEUED), BASELINE, False),
        # Connections are not busy during their set-up: the limit is half of the held time.
        (busy(each={"connecting": 0.8, "queued": 0.5}), None, True),
        (busy(each={"connecting": 0.81, "queued": 0.5}), None, False),
        (further(each={"queued": 0.5, "connecting": 2.0}), BASELINE, False),
    ],
)
def test_when_a_pool_is_too_small(snapshot, before, fires):
    assert (SMALL in kinds(snapshot, before)) is fires


def test_pool_timeouts_make_it_an_error():
    """These requests failed, however small their share of all time. Without a request that got
    through, no size is advised.
    """
    finding = found(SMALL, further(errors={"pool_timeout": 2}), BASELINE)
    assert finding.severity is Severity.ERROR
    assert "; 2 gave up waiting" in finding.observed
    half = found(SMALL, busy(100, errors={"pool_timeout": 50}, each={"queued": 1.0})).observed
    assert "held a connection for 1.6 s on average" in half  # 0.81 s over all requests
    nothing_held = {phase: -time for phase, time in HEALTHY_TIMES.items()}
    nothing = busy(10, errors={"pool_timeout": 10}, each={**nothing_held, "queued": 10.0})
    advice = found(SMALL, nothing).advice
    assert "Allow N connections" in advice
    assert "No size is advised: a replay needs 50 requests of this pool" in advice


def test_load_on_several_pools_is_shared():
    """Two event loops have two pools, and a replay does not know the pool of each request."""
    pools = full_pool(), full_pool()
    snapshot = further(200, *pools, peak_active=20, peak_queued=10, pools_live=2, **QUEUED)
    finding = found(SMALL, snapshot, BASELINE)
    assert finding.observed.endswith("held a connection for 0.81 s on average (before: 0.81 s).")
    assert "No size is advised: 2 live pools of this name" in finding.advice


def test_size_of_the_only_full_pool_of_several_is_advised():
    """Two modules build clients of one provider, with different limits and loads."""
    full = a_pool([a_request("queued", 3.0)] * 3, [a_connection("active")] * 10)
    other = a_pool([], [a_connection("active")] * 2, max_connections=50)
    finding = found(SMALL, further(200, full, other, pools_live=2, **QUEUED), BASELINE)
    assert finding.observed.endswith(
        "Of 2 clients, one is full: 10 of 10 connections in use, 3 requests queued, the longest "
        "for 3.0 s; the others use 2 of 50."
    )
    assert "raise the limit of the full one. Allow 13 connections" in finding.advice


def test_size_of_a_short_period_is_that_of_all_recorded_requests():
    """In 10 s, only 25 requests of 4 s end on 10 connections."""
    times = by_callers(30, 10, 4.0, 150)
    ring = leases(times, now=max(arrival + wait + hold for arrival, wait, hold in times))
    full = a_pool([a_request("queued", 3.0)] * 3, [a_connection("active")] * 10, leases=ring)
    finding = found(SMALL, further(200, full, each={"queued": 3.0}), BASELINE)
    assert "Of the last 153 requests" in finding.observed
    assert "Allow 3" in finding.advice


def test_no_size_is_advised_if_the_replay_shows_no_queue():
    """They queue for another reason, such as a connection that the pool has lost."""
    ring = leases([(0.1 * i, 0.0, 0.5) for i in range(90)], now=9.9)
    snapshot = further(200, a_pool(leases=ring), each={"queued": 0.5})
    advice = found(SMALL, snapshot, BASELINE).advice
    assert "No size is advised: a replay of 90 requests shows no queue" in advice


def test_only_the_pool_whose_requests_queue_longest_is_replayed():
    """And at most 500 of its requests, since a replay of all takes long."""
    totals = the_totals(200, {"queued": 3.0}, peak_active=10)
    times = by_callers(30, 10, 0.8, 900)
    ring = leases(times, now=max(map(sum, times)))
    pool = a_pool([a_request("queued", 1.6)] * 3, [a_connection("active")] * 10, leases=ring)
    pools = [replace(pool, name=name) for name in ("openai", "worse")]
    worse = the_totals(200, {"queued": 6.0}, peak_active=10)
    findings = diagnose(a_snapshot([totals, replace(worse, name="worse")], *pools, uptime=110.0))
    small = {one.pool: one for one in findings if one.kind is SMALL}
    assert "Of the last 500 requests" in small["worse/httpx2"].observed
    assert "Allow 3" in small["worse/httpx2"].advice
    reason = "No size is advised: only the pool whose requests queue longest is replayed"
    assert reason in small["openai/httpx2"].advice


def slower(by: float, *, requests: int = 200, queued: float = 0.0) -> Snapshot:
    """Further requests for which the provider took ``by`` s longer than 0.8 s."""
    times = {"awaiting_response": by * (requests - 100) / requests, "queued": queued}
    return further(requests, each=times)


def after_few(requests: int) -> tuple[Snapshot, Snapshot]:
    """A hundred slow requests after few."""
    slow = the_totals(requests + 100, {"awaiting_response": 3.0})
    return a_snapshot(slow, uptime=110.0), a_snapshot(the_totals(requests), uptime=100.0)


def quicker(more: float) -> tuple[Snapshot, Snapshot]:
    """Requests of 20 ms that become ``more`` s longer."""
    times = {**QUICK, "reading": QUICK["reading"] + more / 2}
    return a_snapshot(the_totals(200, times)), a_snapshot(the_totals(100, QUICK), uptime=50.0)


HANGING = the_totals(100, {"awaiting_response": 80.6 / 100}, now={"awaiting_response": 8})


@pytest.mark.parametrize(
    ("snapshot", "before", "fires"),
    [
        (slower(0.75), BASELINE, False),  # other questions can explain less than twice the time
        (slower(0.85), BASELINE, True),
        (slower(20.0, requests=104), BASELINE, False),  # four long questions
        (slower(20.0, requests=105), BASELINE, True),
        (slower(1.6, queued=1.0), BASELINE, True),  # a larger pool would only send more to it
        (further(200, full_pool(), each={"reading": 0.8}), BASELINE, True),
        (*quicker(0.099), False),  # too short to matter
        (*quicker(0.101), True),
        (*after_few(9), False),  # too few for a baseline
        (*after_few(10), True),
        # Hanging requests count with their time so far.
        (a_snapshot(HANGING, uptime=110.0), BASELINE, True),
        *((a_snapshot(the_totals(n, errors={"read_timeout": 2})), None, False) for n in (10, 50)),
        *((a_snapshot(the_totals(n, errors={"read_timeout": 3})), None, True) for n in (10, 50)),
        (a_snapshot(the_totals(100, errors={"read_timeout": 4})), None, False),  # one in twenty
    ],
)
def test_when_a_provider_is_slow(snapshot, before, fires):
    """The provider also causes the queueing."""
    assert kinds(snapshot, before) == [SLOW] * fires
    assert SATURATED not in all_kinds(snapshot, before)


def test_provider_that_became_slow_is_a_finding():
    """It takes more than twice its earlier time."""
    finding = found(SLOW, slower(1.6), BASELINE)
    assert finding.severity is Severity.WARNING
    assert finding.observed == (
        "Mean wait for the provider: 1.9 s for the response headers, 0.50 s for the "
        "rest (before: 0.80 s for both); 8 times as many requests arrive as before."
    )
    assert "requests queue" in found(SLOW, slower(1.6, queued=1.0), BASELINE).observed
    now = slower(1.6)
    (totals,) = now.totals
    (origin,) = totals.origins
    origins = (replace(origin, requests_now={"awaiting_response": 2}),)
    running = replace(now, totals=(replace(totals, origins=origins),))
    assert "provider: at least 1.9 s for the" in found(SLOW, running, BASELINE).observed


@pytest.mark.parametrize(("more", "busier"), [(250, True), (249, False)])
def test_provider_that_gets_far_more_requests_is_overloaded(more, busier):
    slow = the_totals(100 + more, {"awaiting_response": 3.0})
    finding = found(SLOW, a_snapshot(slow, uptime=200.0), BASELINE)
    assert ("2.5 times as many requests arrive as before" in finding.observed) is busier
    assert finding.advice.startswith("First, reduce the load.") is busier
    repeated = the_totals(100 + more, {"awaiting_response": 3.0}, origin={"requests_resent": 5})
    observed = found(SLOW, a_snapshot(repeated, uptime=200.0), BASELINE).observed
    assert "as many requests" not in observed


@pytest.mark.parametrize(("age", "busier"), [(200.0, True), (150.0, False)])
def test_time_before_the_first_request_is_no_lower_traffic(age, busier):
    slow = the_totals(400, {"awaiting_response": 3.0})
    finding = found(SLOW, a_snapshot(slow, a_pool(age=age), uptime=200.0), BASELINE)
    assert ("3 times as many requests arrive as before" in finding.observed) is busier


def test_slow_reasoning_models_are_no_finding():
    """A silence of 300 s is normal for them."""
    snapshot = a_snapshot(the_totals(5, {"awaiting_response": 300.0}), uptime=3000.0)
    assert all_kinds(snapshot) == []


@pytest.mark.parametrize(
    ("waited", "severity"), [(2.0, Severity.WARNING), (1.0, Severity.WARNING), (0.9, Severity.INFO)]
)
def test_full_pool_is_a_state_where_no_cause_is_known(waited, severity):
    """There was too little queueing to blame the size. A wait of less than 1 s is INFO."""
    finding = found(SATURATED, a_snapshot(the_totals(), full_pool(3, waited)))
    assert finding.severity is severity
    if waited == 2.0:
        assert finding.observed == (
            "10 of 10 connections in use and 3 requests queued, the longest for 2.0 s; requests "
            "that hold connections: 10 reading."
        )


def test_saturation_needs_a_queue_and_no_free_connection():
    room = a_pool([a_request("queued", 2.0)], [a_connection("active")] * 9)
    assert not all_kinds(a_snapshot(the_totals(), room))
    assert not all_kinds(a_snapshot(the_totals(), full_pool(0)))


def test_unread_response_below_the_leak_threshold_is_no_small_pool():
    """Connections of unread responses are not busy, whatever the leak threshold is."""
    times, now = {"unread": 2.0, "queued": 0.75}, {"unread": 10, "queued": 5}
    snapshot = a_snapshot(
        the_totals(100, times, now=now, peak_active=10), full_pool(5, 15.0, "unread")
    )
    assert kinds(snapshot) == [SATURATED]


@pytest.mark.parametrize(("age", "likely"), [(6.0, True), (4.0, False)])
def test_unread_responses_of_one_call_site_are_likely_a_leak(age, likely):
    """Below the leak threshold, the finding has the call site and a command to confirm it."""
    unread = a_request("unread", age, held=age, call_site="app.py:11 in answer")
    requests = [unread] * 5 + [a_request("reading", 0.5, held=0.5)] * 5
    pool = a_pool([*requests, a_request("queued", 2.0)], [a_connection("active")] * 10)
    finding = found(SATURATED, a_snapshot(the_totals(), pool))
    assert ("Likely a leak" in finding.explanation) is likely
    assert ("5 requested at app.py:11 in answer (" in finding.explanation) is likely
    assert finding.advice.endswith("gluellm-pools doctor --pid 17 --for 60")


def test_anomalies_are_those_of_the_interval():
    """Anomalies before `previous` are already known."""
    totals = the_totals(anomalies={"orphaned_connection": 2, "pool_timeout_overrun": 0})
    before = a_snapshot(the_totals(anomalies={"orphaned_connection": 1}), uptime=50.0)
    snapshot = a_snapshot(totals)
    assert found(Kind.ANOMALY, snapshot, before).observed == "orphaned_connection 1."
    assert kinds(a_snapshot(totals, **BLOCKED)) == [Kind.BLOCKED_EVENT_LOOP]
    assert not kinds(a_snapshot(totals, uptime=200.0), snapshot)


@pytest.mark.parametrize(
    ("library", "lost", "queued", "fires"),
    [
        ("httpx", 3, 3, True),
        ("httpx2", 3, 3, True),
        # The client that lost them was replaced.
        ("httpx", -3, 3, False),
        # Less than a quarter of the limit, or nothing queues for it.
        ("httpx", 2, 3, False),
        ("httpx", 3, 0, False),
    ],
)
def test_lost_slots_come_before_the_size_of_the_pool(library, lost, queued, fires):
    """A larger pool would only lose more of them."""
    requests = [a_request("queued", 4.0)] * queued
    totals = the_totals(
        50,
        each={"queued": 2.0 if queued else 0.0},
        errors={"pool_timeout": 10} if queued else None,
        now={"queued": queued},
        library=library,
        peak_active=10,
        peak_queued=8,
        anomalies={"orphaned_connection": abs(lost)},
    )
    connections = [a_connection("connecting" if lost > 0 else "idle")] * 10
    snapshot = a_snapshot(totals, a_pool(requests, connections, library=library))
    first = diagnose(snapshot)[0]
    assert (first.kind is Kind.ANOMALY and first.severity is Severity.ERROR) is fires
    if fires:
        sizes = {SMALL, SATURATED, Kind.ONE_CALLER}
        assert sizes.isdisjoint(all_kinds(snapshot))
        assert "orphaned_connection 3 (the pool's limit is 10)" in first.observed
        assert first.advice.startswith("Replace the client now")
        assert ("httpcore 1.0 loses them" in first.advice) is (library == "httpx")


ONE_LOOP = "Run all calls in one event loop: asyncio.run(main()) once for the program"


@pytest.mark.parametrize(
    ("library", "process", "instead"),
    [
        ("httpx2", {}, ", or use any-llm's sync API: llm.completion(...)"),
        (
            "httpx",
            {"gluellm": True},
            (
                ", or await gluellm.close_providers() before a loop ends, or use any-llm's sync "
                "API: llm.completion(...)"
            ),
        ),
        (
            "httpx",
            {"any_llm": False},
            ", or build a client in each loop and close it before the loop ends",
        ),
        ("aiohttp", {}, ", or build a client in each loop and close it before the loop ends"),
    ],
)
def test_second_loop_is_a_fault_of_the_application(library, process, instead):
    """The finding is an ERROR, and separate from anomalies of the library."""
    sites = ("app.py:1 in first", "")
    counts = {"wrong_event_loop": 20, "orphaned_connection": 1}
    totals = the_totals(library=library, anomalies=counts, two_event_loops=sites)
    snapshot = a_snapshot(totals, a_pool(library=library), **process)
    finding = found(Kind.WRONG_EVENT_LOOP, snapshot)
    assert finding.severity is Severity.ERROR
    assert finding.observed == (
        "20 requests failed with RuntimeError in another event loop than that of the client's "
        "connections. The last one was sent at an unknown call site; connections were established "
        "at app.py:1 in first."
    )
    assert finding.advice == f"{ONE_LOOP}{instead}."
    assert found(Kind.ANOMALY, snapshot).observed == "orphaned_connection 1."
    earlier = a_snapshot(the_totals(library=library, anomalies=counts), uptime=50.0, **process)
    assert Kind.WRONG_EVENT_LOOP not in all_kinds(snapshot, earlier)


# A provider that answers no request


def unanswered(*ages: float, queued: int = 0, **changes: Any) -> Finding | None:
    """The finding on requests of these ages in a process of 10 minutes without an answer."""
    requests = [a_request("awaiting_response", age) for age in ages]
    requests += [a_request("queued", 5.0)] * queued
    snapshot = a_snapshot(the_totals(0, **changes), a_pool(requests), uptime=600.0)
    return next((one for one in diagnose(snapshot) if one.kind is UNANSWERED), None)


def test_provider_that_answers_no_request_is_a_finding():
    """New requests arrive every second, so that the youngest have not waited for long."""
    finding = unanswered(*range(60), queued=1)
    assert finding.severity is Severity.WARNING
    assert "Reasoning models" in finding.explanation
    for part in ("30 requests to", "the longest for 59 s", "1 queued"):
        assert part in finding.observed


@pytest.mark.parametrize(
    ("ages", "severity"),
    [
        ([29.0] * 40, None),
        ([49.0] * 40, Severity.INFO),
        ([30.0, 30.0, 50.0], Severity.WARNING),
        ([1.0, 29.0, 50.0], Severity.INFO),  # one question that takes long
        ([40.0, 449.0], Severity.INFO),
        ([450.0], Severity.WARNING),
        # A batch for a reasoning model has its first answers after minutes.
        ([179.0] * 40, Severity.WARNING),
        ([30.0] * 9 + [180.0], Severity.ERROR),
        ([449.0] * 9, Severity.WARNING),
        ([30.0, 30.0, 450.0], Severity.ERROR),
    ],
)
def test_unanswered_requests_have_absolute_limits(ages, severity):
    """They hold from a process's first request on. Few requests may all be long questions."""
    finding = unanswered(*ages)
    assert (finding and finding.severity) is severity


def test_answers_that_take_as_long_are_no_silence():
    """So long ago that no minute of the account has them."""
    for longest, severity in ((89.0, Severity.ERROR), (91.0, Severity.INFO)):
        origin = {"longest_silence_answered": longest}
        assert unanswered(*[180.0] * 10, origin=origin).severity is severity


ANSWER, REFUSAL = Answer(75.0, "gpt-4o", 0.3, 0.1, 0), Failure(45.0, "500", 0.3, "reading", 0.1)


@pytest.mark.parametrize(
    ("life", "number"),
    [
        ({}, 20),
        ({"answers": (ANSWER,)}, 10),
        ({"answers": (ANSWER._replace(ago=45.0),)}, 0),
        ({"failures": (REFUSAL,)}, 0),
        ({"failures": (REFUSAL._replace(result="read_timeout"),)}, 20),
    ],
)
def test_only_requests_without_a_later_answer_count(life, number):
    """An answer to any request, with any status, shows that the provider is there."""
    finding = unanswered(*[60.0] * 10, *[80.0] * 10, **life)
    assert (finding.observed.split()[0] if finding else "0") == str(number)


def test_bytes_of_another_answer_are_a_sign_of_life():
    """A response that hangs or is not read any more hides nothing."""
    waiting = [a_request("awaiting_response", 60.0)] * 3
    for phase in ("reading", "unread"):
        for ago, silent in ((59.0, False), (61.0, True)):
            pool = a_pool([*waiting, a_request(phase, ago, held=100.0)])
            assert (UNANSWERED in all_kinds(a_snapshot(the_totals(0), pool))) is silent


@pytest.mark.parametrize(("ago", "silent"), [(50.0, True), (20.0, False)])
def test_provider_that_has_stopped_answering_is_no_small_pool(ago, silent):
    """A few requests were answered before; the others hold the pool and queue for it."""
    requests = [a_request("awaiting_response", 40.0)] * 10 + [a_request("queued", 38.0)] * 8
    pool = a_pool(requests, [a_connection("active")] * 10)
    before = (Answer(ago, "gpt-4o", 0.3, 0.1, 0),) * 4
    totals = the_totals(4, {"queued": 60.0}, peak_active=10, answers=before)
    assert (UNANSWERED in kinds(a_snapshot(totals, pool))) is silent
    if silent:
        assert SMALL not in kinds(a_snapshot(totals, pool))


def test_answer_that_is_not_kept_is_a_sign_of_life():
    pool = a_pool([a_request("awaiting_response", 60.0)] * 3)
    assert UNANSWERED not in all_kinds(a_snapshot(the_totals(1), pool))
