"""The account of the process on a fake clock: its rows, their bound and their size."""

import sys
import threading
from typing import Any

import pytest

from opentelemetry.instrumentation.gluellm import thresholds
from opentelemetry.instrumentation.gluellm.pool.call import FAILED
from opentelemetry.instrumentation.gluellm.vocabulary import AWAITING_RESPONSE
from opentelemetry.instrumentation.gluellm.watch.account import Account, count_outbox, read_ledgers
from opentelemetry.instrumentation.gluellm.watch.watch import Watch
from unit.pool.fakes import SECOND, FakePool, Scene

CALLS = ("calls", "any_llm", "openai")
REQUESTS = ("openai/httpx2", "api.test:443", "openai")
NAME = ("openai/httpx2", None, None)


@pytest.fixture
def account(scene: Scene) -> Account:
    """An account that only a test writes."""
    return Account(scene.registry)


def minutes(account: Account, scene: Scene) -> list[Any]:
    """The rows of a snapshot: begin, end, and added numbers by subject and item."""
    now, registry = scene.clock(), scene.registry
    count_outbox(registry)
    reading = read_ledgers(registry, registry.calls.state(), registry.state(now)[1], now)
    return [
        ((since - 1000 * SECOND) / SECOND, (until - 1000 * SECOND) / SECOND, added)
        for since, until, added in account.minutes(now, reading)
    ]


def call(scene: Scene, seconds: float, error: str | None = None) -> None:
    """A call that spends ``seconds``, all of them ``preparing``."""
    made = scene.registry.calls.begin("any_llm", "chat", provider="openai")
    made.start()
    scene.clock.advance(seconds)
    made.end(FAILED if error else 0, error)


def test_each_minute_has_what_was_added_in_it(scene, account):
    """Calls, requests and their time; requests in flight count with their time so far."""
    call(scene, 2.0)
    lease = scene.acquire()
    scene.clock.advance(58.0)
    account.look()
    call(scene, 3.0, "429")
    scene.clock.advance(7.0)
    scene.serve(lease)
    (_, _, first), (since, until, second) = minutes(account, scene)
    assert (since, until) == (60.0, 70.0)
    assert first[CALLS, ("outcome", "succeeded")] == 1
    assert first[CALLS, ("stage", "preparing")] == 2 * SECOND
    assert first[REQUESTS, ("phase", "awaiting_response")] == 58 * SECOND
    assert first[REQUESTS, ("entered",)] == 1
    assert first[NAME, ("opened",)] == 1
    assert second[CALLS, ("outcome", "failed")] == second[CALLS, ("error", "429")] == 1
    assert (CALLS, ("outcome", "succeeded")) not in second
    assert second[REQUESTS, ("phase", "awaiting_response")] == 10 * SECOND
    assert second[REQUESTS, ("left", 200, None, False)] == 1
    assert second[REQUESTS, ("took", 68.719)] == 1


def test_phase_that_begins_during_a_reading_has_no_negative_time(scene):
    """Requests of other threads continue while a reading is taken."""
    registry, now = scene.registry, scene.clock()
    scene.clock.advance(0.001)
    scene.acquire()
    reading = read_ledgers(registry, registry.calls.state(), registry.state(now)[1], now)
    assert not [value for value in reading.values() if value < 0]
    assert reading[REQUESTS, ("entered",)] == 1


def test_phase_that_ends_during_a_reading_is_counted_once(scene, account):
    """Another thread ends it after the ended phases and before the requests in flight are read."""

    class Read(dict[Any, int]):
        def items(self):
            lease.enter(AWAITING_RESPONSE, scene.clock())
            return super().items()

    pool = FakePool()
    lease = scene.track(pool).begin(b"api.test", None, b"https", None)
    for connections in ({}, Read(), {}):
        scene.pool.active = connections
        scene.clock.advance(60.0)
        account.look()
    item = REQUESTS, ("phase", "queued")
    assert sum(added.get(item, 0) for _, _, added in minutes(account, scene)) == 120 * SECOND


def test_durations_are_counted_by_class(scene, account):
    """A class covers twice the time of the one before."""
    for seconds in (0.001, 2.0, 2.1, 2.2, 90.0):
        call(scene, seconds)
    ((_, _, row),) = minutes(account, scene)
    took = {item[1]: count for (_, item), count in row.items() if item[0] == "took"}
    assert took == {0.017: 1, 2.147: 2, 4.295: 1, 137.439: 1}


def test_pause_belongs_to_no_minute(scene, account):
    """A row before an hour without requests ends when that hour begins."""
    call(scene, 5.0)
    account.rest()
    scene.clock.advance(3600.0)
    ((since, until, _),) = minutes(account, scene)
    assert (since, until) == (0.0, 5.0)
    call(scene, 1.0)
    account.look()
    call(scene, 2.0)
    (before, after) = minutes(account, scene)
    assert before[:2] == (0.0, 5.0)
    assert before[2][CALLS, ("outcome", "succeeded")] == 1
    assert after[0] == 3606.0
    assert after[2][CALLS, ("outcome", "succeeded")] == 2


def test_short_pause_ends_no_minute(scene, account):
    """Rows cover minutes, not bursts, so the account covers an hour of bursts."""
    for _ in range(60):
        call(scene, 1.0)
        account.look()
        account.rest()
        scene.clock.advance(29.0)
    assert len(minutes(account, scene)) <= 31


def held_rows(account: Account) -> int:
    return 0 if account.held is None else len(account.held[1])


def test_rows_before_a_problem_are_kept_while_it_lasts(scene, account):
    """Three hours of a problem replace all rows of the last hour, but not these."""
    for _ in range(10):
        call(scene, 60.0)
        account.look()
    account.hold(True)
    for _ in range(180):
        call(scene, 60.0, "429")
        account.look()
        account.hold(True)
    assert account.held is not None
    kept = [added for _, _, added in account.added_in(account.held[1])]
    assert len(kept) == 10
    assert not any((CALLS, ("error", "429")) in added for added in kept)
    account.hold(False)
    assert held_rows(account) == 0


def test_rows_before_a_problem_are_kept_for_a_day_at_most(scene, account):
    call(scene, 60.0)
    account.look()
    account.hold(True)
    scene.clock.advance(thresholds.ACCOUNT_HELD)
    account.hold(True)
    assert account.held is None


def test_no_answers_are_sampled_while_a_problem_lasts(scene, account):
    def sampled_after_an_answer() -> int:
        scene.clock.advance(60.0)
        lease = scene.acquire()
        scene.serve(lease)
        lease.account()
        return len(scene.ledger.sampled)

    assert sampled_after_an_answer() == 1
    account.hold(True)
    assert sampled_after_an_answer() == 1
    account.hold(False)
    assert sampled_after_an_answer() == 2


def test_watch_writes_the_account(scene):
    """One row a minute while requests are in flight."""
    watch = Watch(scene.registry, leak_threshold=0.0, loop_lag=None)
    scene.acquire()
    for _ in range(125):
        scene.clock.advance(1.0)
        watch.run_pass()
    assert [row[:2] for row in minutes(watch.account, scene)] == [(0, 60), (60, 120), (120, 125)]


def test_watch_rests_with_the_account(scene):
    """The minute ends with the thread."""
    watch = Watch(scene.registry, leak_threshold=0.0, loop_lag=None)
    watch._thread.current = threading.current_thread()
    call(scene, 5.0)
    assert not watch._rests()
    assert watch._rests()
    scene.clock.advance(600.0)
    assert [row[:2] for row in minutes(watch.account, scene)] == [(0, 5)]


def test_fork_begins_a_new_account(scene):
    """The parent keeps what it has counted."""
    watch = Watch(scene.registry, leak_threshold=0.0, loop_lag=None)
    call(scene, 61.0)
    watch.account.look()
    scene.registry.forget()
    watch.after_fork_in_child()
    assert [row[2] for row in minutes(watch.account, scene)] == [{}]


def test_memory_is_bounded(scene, account):
    """The account keeps an hour of the ledgers' names, origins and errors."""
    for hour in range(2):
        for minute in range(60):
            for number in range(200):
                tracker = scene.track(FakePool(), name=f"pool {number % 60}", provider=None)
                host = b"host-%d.test" % number
                lease = tracker.begin(host, None, b"https", None)
                tracker.failed(lease, f"error {hour} {minute} {number}")
                tracker.discard("closed")
            scene.clock.advance(60.0)
            account.look()
            scene.registry.outbox.items.clear()
    rows = account._state.rows
    assert len(rows) == thresholds.ACCOUNT_ROWS
    keys = account._keys
    assert len(keys) < 20_000
    held = sum(sys.getsizeof(row.keys) + sys.getsizeof(row.added) for row in rows)
    assert held < 6_000_000


def test_memory_of_a_usual_process_is_small(scene, account):
    """Three providers for an hour: some tens of kilobytes."""
    names = ("openai", "anthropic", "mistral")
    trackers = [scene.track(FakePool(), name=name, provider=name) for name in names]
    for _ in range(60):
        for tracker in trackers:
            lease = tracker.begin(b"api.test", None, b"https", None)
            scene.clock.advance(1.0)
            tracker.failed(lease, "read_timeout")
            call(scene, 1.0)
        scene.clock.advance(54.0)
        account.look()
    held = sum(sys.getsizeof(row.keys) + sys.getsizeof(row.added) for row in account._state.rows)
    assert held < 60_000
