"""Snapshots of leases: their contents, and that each request counts once."""

import errno
import gc
import os
from array import array
from base64 import b64decode
from typing import Any

import pytest
from opentelemetry.trace import SpanContext

from opentelemetry.instrumentation.gluellm.pool.call import Call
from opentelemetry.instrumentation.gluellm.pool.call_site import find
from opentelemetry.instrumentation.gluellm.pool.lease import ConnectionView, Lease
from opentelemetry.instrumentation.gluellm.snapshots.collect import collect
from opentelemetry.instrumentation.gluellm.snapshots.parts import (
    OriginTotals,
    PoolSnapshot,
    number_of,
)
from opentelemetry.instrumentation.gluellm.snapshots.snapshot import Snapshot
from opentelemetry.instrumentation.gluellm.vocabulary import (
    ANY_LLM,
    LIMITED,
    PREPARING,
    READING,
    TICKS,
)
from opentelemetry.instrumentation.gluellm.watch.account import Account
from opentelemetry.instrumentation.gluellm.watch.loop_lag import LoopLag
from opentelemetry.instrumentation.gluellm.watch.silent_peers import SilentPeers
from unit.gluellm_diagnosis.building import counted
from unit.pool.fakes import SECOND, FakePool, Scene, Unreadable


def take(scene: Scene, **settings: Any) -> Snapshot:
    """A snapshot; the counting began with the clock, at 1000 s."""
    settings = {"began": 1000 * 10**9, "leak_threshold": 60.0, "loop_lag": None, **settings}
    settings.setdefault("silent_peers", SilentPeers(scene.registry, 30.0))
    settings = {"account": settings.get("account") or Account(scene.registry), **settings}
    return collect(scene.registry, **settings)


def only_pool(snapshot: Snapshot) -> PoolSnapshot:
    """The only pool."""
    (pool,) = snapshot.pools
    return pool


def only_origin(snapshot: Snapshot) -> OriginTotals:
    """The only origin of the only name."""
    ((origin,),) = (total.origins for total in snapshot.totals)
    return origin


def outcomes(snapshot: Snapshot) -> dict[tuple[int | None, str | None], int]:
    """Requests that have ended, by status and error."""
    return {(o.status, o.error): o.count for o in only_origin(snapshot).outcomes}


def serve(scene: Scene) -> Lease:
    """A whole request on an idle connection."""
    lease = scene.acquire()
    scene.serve(lease)
    return lease


# Live pools


def test_snapshot_has_a_pools_limits_and_age(scene):
    """The pool's own limits, and the timeouts of its requests."""
    scene.tracker.read_timeout = 30.0
    scene.tracker.acquire_timeout = 600.0
    scene.enter()
    scene.clock.advance(7)
    pool = only_pool(take(scene))
    assert (pool.name, pool.provider, pool.library) == ("openai", "openai", "httpx2")
    assert (pool.age, pool.requests_entered) == (7.0, 1)
    assert (pool.max_connections, pool.max_idle_connections) == (10, 5)
    assert (pool.keepalive_expiry, pool.tcp_keepalive) == (5.0, False)
    assert (pool.pool_timeout, pool.read_timeout) == (600.0, 30.0)


def test_snapshot_has_the_times_of_requests_that_ended_just_now(scene):
    """They wait in the outbox for the next collection. Requests in flight are not among them."""
    lease = scene.acquire()
    scene.clock.advance(2)
    scene.serve(lease)
    scene.acquire()
    scene.clock.advance(1)
    times = array("i", b64decode(only_pool(take(scene)).leases))
    assert [time / TICKS for time in times] == [3.0, 0.0, 2.0]
    other = FakePool()  # of the same name: thousands of them would make a snapshot slow
    scene.track(other)
    assert [pool.leases for pool in take(scene).pools] == ["", ""]


def test_each_pool_has_the_call_site_that_built_it(scene):
    """Two pools of one name, built on two lines; the totals count both."""
    scene.pool = None
    sites = [find()]
    sites.append(find())
    kept = [FakePool() for _ in sites]
    for pool, site in zip(kept, sites, strict=True):
        tracker = scene.track(pool, built_at=site)
        tracker.released(tracker.begin(b"api.test", None, b"https"))
    snapshot = take(scene)
    assert [pool.built_at for pool in snapshot.pools] == [str(site) for site in sites]
    (origin,) = snapshot.totals[0].origins
    assert origin.pools_built_at == {str(site): 1 for site in sites}


def test_snapshot_has_each_connection(scene):
    """State, age, requests served; on HTTP/2 its streams."""
    plain = scene.connection(established=True)
    scene.clock.advance(5)
    multiplexed = scene.connection(established=True, protocol="2")
    multiplexed.streams = {1: scene.acquire(multiplexed), 3: scene.acquire(multiplexed)}
    multiplexed.orphans[5] = None
    scene.clock.advance(2)
    scene.pool.views = [
        ConnectionView(plain, "idle", False, None),
        ConnectionView(multiplexed, "active", True, 100),
    ]
    pool = only_pool(take(scene))
    first, second = pool.connections
    assert (first.origin, first.state, first.protocol) == ("api.test:443", "idle", "1.1")
    assert (first.age, first.requests_served) == (7.0, 1)
    assert (first.streams_active, first.streams_max, first.streams_orphaned) == (None, None, None)
    assert (second.protocol, second.age) == ("2", 2.0)
    assert (second.streams_active, second.streams_max, second.streams_orphaned) == (2, 100, 1)
    assert (pool.active, pool.idle, pool.connecting) == (1, 1, 0)


def test_snapshot_has_each_request(scene):
    """Its phase, ages, connection and call."""
    record = scene.connection(established=True)
    scene.pool.views = [ConnectionView(record, "active", True, None)]
    lease = scene.enter(Call("groq", "llama", "chat", find(), "id-1"))
    lease.observed = SpanContext(0xABC, 1, is_remote=False)
    scene.tracker.waiting(lease, 600.0)
    scene.clock.advance(1)
    scene.tracker.assigned(lease, record)
    scene.clock.advance(2)
    scene.tracker.answered(lease, 200)
    scene.clock.advance(4)
    lease.enter(READING, scene.clock())
    scene.clock.advance(8)
    (request,) = only_pool(take(scene, leak_suspects=(lease,))).requests
    assert (request.origin, request.phase) == ("api.test:443", "reading")
    assert (request.phase_age, request.age, request.held) == (8.0, 15.0, 14.0)
    assert (request.connection, request.pool_timeout) == (0, 600.0)
    assert (request.provider, request.model, request.operation) == ("groq", "llama", "chat")
    assert (request.trace_id, request.correlation_id) == ("0" * 29 + "abc", "id-1")
    assert request.call_site.startswith(__file__)
    assert request.stack == ()
    assert request.leak_suspected


def test_request_without_a_listed_connection_has_its_ages(scene):
    """A requeued request is queued since it entered; a connection may be unlisted."""
    lease = scene.enter()
    for _ in range(3):
        scene.tracker.waiting(lease, 5.0)
        scene.clock.advance(2)
        scene.tracker.assigned(lease, scene.connection(established=True))
        scene.tracker.requeued(lease)
    (request,) = only_pool(take(scene)).requests
    assert (request.phase, request.phase_age) == ("queued", 6.0)
    assert (request.held, request.connection, request.provider) == (None, None, "openai")
    # An ended request is left out, although a finalizer has not removed it yet.
    lease.ended_at = scene.clock()
    scene.acquire()
    (request,) = only_pool(take(scene)).requests
    assert (request.held, request.connection) == (0.0, None)


def test_held_time_is_consistent_if_the_lease_is_refused_during_the_snapshot(scene):
    account = Account(scene.registry)  # reads the leases as well
    scene.refuse_meanwhile()
    scene.clock.advance(3)
    (request,) = only_pool(take(scene, account=account)).requests
    assert request.held == 3.0


def test_requests_beyond_the_bound_are_counted_and_the_longest_are_listed(scene):
    """Half of the list is of requests that hold a connection; every count stays exact."""
    models = "gpt-4o", "gpt-4o-mini"
    record = scene.connection(established=True)
    held = []
    for number in range(300):
        call = Call("openai", models[number % 2], "chat", find())
        held.append(scene.acquire(scene.connection(established=True), call))
        scene.queue(10.0, call)
        scene.clock.advance(0.1)
    scene.tracker.answered(held[299], 200)
    scene.pool.views = [ConnectionView(record, "active", True, None)]
    pool = only_pool(take(scene, leak_suspects=(held[299],)))
    listed = [request for request in pool.requests if request.number == 1]
    assert [request.phase for request in listed[:200]].count("queued") == 100
    assert listed[0].leak_suspected
    assert {request.number for request in pool.requests[:200]} == {1}
    assert max(request.age for request in pool.requests) == 30.0
    assert listed[100].phase_age == pool.longest_wait == 30.0
    assert len(pool.requests) < 230
    assert (pool.in_flight, pool.queued) == (600, 300)
    for model in models:
        assert number_of(request for request in pool.requests if request.model == model) == 300
    ages = [request.number * request.age for request in pool.requests]
    assert sum(ages) == pytest.approx(2 * sum(0.1 * number for number in range(1, 301)))
    for least in (1.0, 5.0, 10.0):  # bounds of classes of age
        older = number_of(request for request in pool.requests if request.age >= least)
        assert older == 2 * (301 - round(10 * least))


def test_number_of_entries_is_bounded_where_each_request_is_another_callers(scene):
    """Beyond a bound on entries, the model and the call site are left out."""
    for number in range(1000):
        scene.queue(10.0, Call("openai", f"model-{number}", "chat"))
    pool = only_pool(take(scene))
    assert len(pool.requests) <= 401
    assert pool.in_flight == pool.queued == 1000


def test_pools_beyond_ten_share_the_number_of_listed_requests(scene):
    """Every count stays exact."""
    pools = [FakePool() for _ in range(40)]
    for pool in pools:
        scene.tracker = scene.track(pool)
        for _ in range(100):
            scene.queue(10.0)
    found = [pool for pool in take(scene).pools if pool.requests]
    assert [pool.queued for pool in found] == [100] * 40
    assert {sum(one.number == 1 for one in pool.requests) for pool in found} == {2_000 // 40}


def test_pool_that_can_not_be_read_is_left_out(scene):
    """The others are reported."""
    pool = Unreadable()
    scene.track(pool, "groq")
    assert only_pool(take(scene)).name == "openai"


# Counts


def test_requests_in_the_outbox_are_counted_once(scene):
    """A request is in the outbox twice, answered and ended, and can be drained in between."""
    first, second = serve(scene), serve(scene)
    items = scene.registry.outbox.items
    assert list(items) == [first, first, second, second]
    for _ in range(5):
        assert outcomes(take(scene)) == {(200, None): 2}
        if items:
            items.popleft().account()


@pytest.mark.parametrize("first", [True, False], ids=["before the reading", "after it"])
def test_outbox_drained_during_the_snapshot_counts_once(scene, first):
    """A collection in another thread drains it while the ledger is read."""
    serve(scene)
    serve(scene)
    drain = scene.drain

    class Busy(dict[Any, int]):
        def items(self):
            if first:
                drain()
            found = tuple(super().items())
            drain()
            return found

    scene.origin.requests = Busy(scene.origin.requests)
    assert outcomes(take(scene)) == {(200, None): 2}


def test_running_and_suppressed_requests_are_not_outcomes(scene):
    """One has not ended, the other counts in the state only."""
    running = scene.acquire()
    scene.tracker.answered(running, 200)
    suppressed = scene.acquire()
    suppressed.accounted = True
    scene.serve(suppressed)
    snapshot = take(scene)
    assert outcomes(snapshot) == {}
    assert only_origin(snapshot).requests_now["unread"] == 1
    assert only_origin(snapshot).requests_entered == 2


def test_answer_has_the_call_site_of_its_request(scene):
    lease = scene.acquire()
    lease.own_call_site = find()
    scene.serve(lease)
    ((answer,),) = (total.answers for total in take(scene).totals)
    assert answer.call_site == str(lease.own_call_site)


def test_answer_has_the_longest_gap_of_its_stream(scene):
    of = scene.registry.calls.begin(ANY_LLM, "chat", "openai")
    of.gap = 31 * SECOND
    scene.serve(scene.acquire(call=Call("openai", counted=of)))
    ((answer,),) = (total.answers for total in take(scene).totals)
    assert answer.gap == 31


def test_first_answers_of_a_busy_pool_stay_known(scene):
    for _ in range(100 * 10):
        scene.serve(scene.acquire())
        scene.clock.advance(0.1)
    (total,) = take(scene).totals
    ages = [round(answer.ago) for answer in total.earlier_answers]
    assert ages[:3] == [100, 100, 99]
    assert (len(total.answers), len(ages)) == (200, 100 + 7)


def test_first_streams_among_short_answers_are_sampled(scene):
    """Their heads are in the outbox long before they end."""
    streams = []
    for _ in range(20):
        streams.append(scene.acquire())
        scene.tracker.answered(streams[-1], 200)
        scene.clock.advance(1)
        scene.serve(scene.acquire())
        if len(streams) > 5:
            scene.tracker.released(streams[-6])
    (total,) = take(scene).totals
    assert len(total.answers) == 20 + 15
    assert len(total.earlier_answers) >= 30


def test_later_answers_of_a_burst_are_sampled_as_well(scene):
    """The first answers of a burst are the short ones."""
    for pause in (10.0, *[0.01] * 9) * 40:
        scene.clock.advance(pause)
        scene.serve(scene.acquire())
    (total,) = take(scene).totals
    assert len(total.earlier_answers) == 40
    assert sum(answer.ago % 10.09 > 0.085 for answer in total.earlier_answers) < 10


def test_failures_in_the_outbox_are_counted(scene):
    """Timeouts, and the silence after which a reused connection failed."""
    waiter = scene.queue(5.0)
    scene.clock.advance(5)
    scene.tracker.failed(waiter, "pool_timeout")
    broken = scene.acquire()
    scene.clock.advance(130)
    scene.tracker.failed(broken, "read_error")
    before = only_origin(take(scene))
    scene.drain()
    after = only_origin(take(scene))
    assert before == after
    assert before.timeouts == {"pool": 1, "connect": 0, "read": 0, "write": 0}
    assert (before.reuse_failures, before.longest_silence_failed) == (1, 130.0)


def test_outcomes_of_a_snapshot_are_bounded_like_those_of_a_collection(scene):
    """A server that keeps answering with new statuses adds no keys."""
    scene.registry.ledgers.outcomes.left = 1
    for status in range(400, 410):
        lease = scene.acquire()
        scene.tracker.answered(lease, status)
        scene.tracker.released(lease)
    before = outcomes(take(scene))
    scene.drain()
    assert before == outcomes(take(scene)) == {(400, None): 1, (None, "_OTHER"): 9}


def test_snapshot_leaves_the_durations_to_the_collection(scene):
    """It counts ended requests, skips records and takes nothing from the outbox."""
    record = (object(), 1.0, {}, None)
    scene.registry.outbox.put(record)
    lease = serve(scene)
    assert outcomes(take(scene)) == {(200, None): 1}
    assert lease.recorded == 0
    assert list(scene.registry.outbox.items) == [record, lease, lease]


def test_totals_outlive_the_pool(scene):
    """Counts remain after the pool is collected."""
    serve(scene)
    scene.pool = None
    gc.collect()
    snapshot = take(scene)
    assert snapshot.pools == ()
    (total,) = snapshot.totals
    assert (total.pools_opened, total.pools_live, total.pools_discarded) == (1, 0, 1)
    assert total.connections_closed == {"garbage_collected": 1}
    assert outcomes(snapshot) == {(200, None): 1}


def test_account_counts_what_the_totals_have(scene):
    """Rules read only the account. This also holds for snapshots that other tests build."""
    serve(scene)
    scene.tracker.failed(scene.acquire(), "read_timeout")
    scene.tracker.connection_closed(scene.connection(established=True), "server_closed")
    scene.ledger.leaks = scene.origin.lost_peers = scene.origin.reuse_failures = 2
    scene.ledger.anomalies["orphaned_connection"] = 1
    scene.origin.resent = scene.origin.on_new_connection = 1
    scene.origin.set_up_time[0] = 10**9
    scene.clock.advance(3.0)
    lease = scene.acquire()
    scene.clock.advance(2.0)
    assert not lease.ended_at
    snapshot = take(scene)
    total = {
        subject: {item: value for item, value in items.items() if item[0] != "took"}
        for subject, items in snapshot.account.total.items()
    }
    assert total == counted(snapshot.totals, snapshot.process.calls)


# The process


def test_snapshot_has_what_affects_the_processs_pools(scene, monkeypatch):
    """It has descriptors, event-loop lag, and variables that no library reads."""
    monkeypatch.setenv("HTTPX_MAX_CONNECTIONS", "500")
    monkeypatch.delenv("HTTPX_MAX_KEEPALIVE_CONNECTIONS", raising=False)
    monkeypatch.setattr("resource.getrlimit", lambda _: (1024, 4096))
    lag = LoopLag(scene.registry, 75.0)
    scene.registry.ledgers.late_time += 15_000_000_000
    scene.clock.advance(600)
    lag._peak.raise_to(250_000_000, scene.clock())
    process = take(scene, loop_lag=lag).process
    assert process.pid == os.getpid()
    assert process.ignored_variables == ("HTTPX_MAX_CONNECTIONS",)
    late = "event_loop_lag event_loop_late event_loop_late_share".split()
    assert [getattr(process, name) for name in late] == [0.25, 15.0, 0.25]
    off = take(scene).process
    assert [getattr(off, name) for name in late] == [None] * 3
    assert process.descriptor_limit == 1024  # the soft limit, which applies
    read, write = os.pipe()
    try:
        assert take(scene).process.open_descriptors == process.open_descriptors + 2
    finally:
        os.close(read)
        os.close(write)


def test_number_of_descriptors_is_known_where_none_is_free(scene, monkeypatch):
    """Listing them needs a free one."""
    limit = take(scene).process.descriptor_limit

    def full(_path):
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(os, "scandir", full)
    assert take(scene).process.open_descriptors == limit


# Calls


def test_limiter_has_the_waits_of_calls_by_provider(scene):
    """It counts calls that wait and that have waited, not those that pass at once."""
    call = scene.registry.calls.begin("gluellm", "chat", "openai")
    call.start()
    found = [*take(scene).process.calls]
    for seconds in (2.0, 0.001):
        call.enter(LIMITED)
        scene.clock.advance(seconds)
        found += take(scene).process.calls
        call.enter(PREPARING)
    found += take(scene).process.calls
    assert [(one.waiting, one.limited, one.stage_seconds["limited"]) for one in found] == [
        (0, 0, 0.0),
        (1, 0, 2.0),
        (0, 1, 2.001),
        (0, 1, 2.001),
    ]
    assert take(scene, calls_per_minute=60).process.calls_per_minute == 60
