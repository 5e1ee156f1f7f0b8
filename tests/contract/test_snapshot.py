"""Snapshots under load, from another thread and in a signal handler."""

import asyncio
import contextlib
import dataclasses
import json
import random
import signal
import threading
import time
import weakref
from collections.abc import Iterator
from typing import Any

import pytest

from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor, Snapshot, snapshot
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from support.clients import PoolUnderTest
from support.listener import Listener
from support.script import Reply
from support.telemetry import Telemetry
from support.waiting import in_time, wait_until, wait_until_collected

MAXIMUM = 3
ROUNDS = 5
AT_ONCE = 12
EVERY = 0.003
"""Seconds from one signal to the next."""


def check(taken: Snapshot) -> None:
    """Assert what must hold at any moment."""
    for pool in taken.pools:
        assert pool.max_connections is not None
        counted = pool.active + pool.idle + pool.connecting
        assert counted == len(pool.connections)
        assert counted <= pool.max_connections
        assert len(pool.requests) <= pool.requests_entered
        for connection in pool.connections:
            assert 0 <= connection.age < 1000
            if connection.streams_active is not None:
                assert connection.streams_max is not None
        for request in pool.requests:
            assert request.phase in semconv.PHASES
            assert 0 <= request.phase_age < 1000
            assert 0 <= request.age < 1000
            assert request.held is None or 0 <= request.held < 1000
            assert request.connection is None or request.connection < len(pool.connections)
    for total in taken.totals:
        for origin in total.origins:
            ended = sum(outcome.count for outcome in origin.outcomes)
            assert ended <= origin.requests_entered
            assert sum(origin.requests_now.values()) <= origin.requests_entered
            assert all(seconds >= 0 for seconds in origin.phase_seconds.values())
    assert json.loads(json.dumps(taken.to_dict()))
    assert str(taken)


def ended(taken: Snapshot) -> int:
    """Number of ended requests in the snapshot."""
    return sum(o.count for total in taken.totals for g in total.origins for o in g.outcomes)


@pytest.mark.modes("sync", "asyncio", "trio")
def test_snapshot_from_another_thread_under_load_is_consistent(runner, library, server, telemetry):
    """Snapshots are taken while requests begin, wait, time out and end."""
    check_under_load(runner.pool(library, max_connections=MAXIMUM), server, telemetry)


@pytest.mark.modes("asyncio", "trio")
def test_snapshot_under_load_on_http2_is_consistent(runner, library, http2_server, telemetry):
    """Streams share connections.

    Not with threads: httpcore lets two that begin at once send on one stream. One waits forever.
    """
    pool = runner.pool(library, max_connections=MAXIMUM, http1=False, http2=True)
    check_under_load(pool, http2_server, telemetry)


def check_under_load(pool: PoolUnderTest, server: Listener, telemetry: Telemetry) -> None:
    """Take snapshots in another thread, as fast as possible."""
    url = server.reply("/", Reply(head_after=0.005, end_after=0.005))
    over = threading.Event()
    failed: list[BaseException] = []
    taken: list[Snapshot] = []

    def watch() -> None:
        try:
            while not over.wait(0.002):
                taken.append(snapshot())
                check(taken[-1])
                del taken[:-1]
        except BaseException as error:
            failed.append(error)

    watching = threading.Thread(target=watch)
    watching.start()
    chance = random.Random(5)
    try:
        wait_until(lambda: taken or failed)
        for _ in range(ROUNDS):
            batch = [pool.send(url, pool=chance.choice((0.02, 30))) for _ in range(AT_ONCE)]
            for exchange in batch:
                exchange.begin_read()
            for exchange in batch:
                exchange.wait()
    finally:
        over.set()
        watching.join(60)
    assert not failed, failed
    assert taken
    # The final counts are exact, before and after a collection.
    for _ in range(2):
        assert ended(snapshot()) == ROUNDS * AT_ONCE
        assert telemetry.value(semconv.REQUESTS) == ROUNDS * AT_ONCE
    assert telemetry.value(semconv.INSTRUMENTATION_ERRORS) == 0


@pytest.fixture
def interrupted() -> Iterator[list[BaseException | None]]:
    """Take a snapshot in a signal handler every few milliseconds.

    The list has one entry for each snapshot: None, or the error if it failed or took too long.
    """
    results: list[BaseException | None] = []
    over = False

    def handle(*_: Any) -> None:
        began = time.monotonic()
        try:
            check(snapshot())
            assert time.monotonic() - began < 10
        except BaseException as error:
            results.append(error)
        else:
            results.append(None)
        if not over:  # one by one: on a slow machine they would pile up on the stack
            signal.setitimer(signal.ITIMER_REAL, EVERY)

    before = signal.signal(signal.SIGALRM, handle)
    signal.setitimer(signal.ITIMER_REAL, EVERY)
    try:
        yield results
    finally:
        over = True
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.modes("sync")
def test_snapshot_works_in_a_signal_handler(runner, library, server, telemetry, interrupted):
    """The handler can run while the main thread holds the pool's lock."""
    pool = runner.pool(library, max_connections=MAXIMUM)
    url = server.reply("/", Reply(head_after=0.001, end_after=0.001))
    others = [pool.send(url) for _ in range(6)]
    for exchange in others:
        exchange.begin_read()
    requests = 0
    while len(interrupted) < 100 or requests < 50:
        assert pool.call(url) == b"ok"
        requests += 1
    for exchange in others:
        exchange.wait()
    assert [error for error in interrupted if error is not None] == []
    assert ended(snapshot()) == requests + len(others)
    assert telemetry.value(semconv.INSTRUMENTATION_ERRORS) == 0


@pytest.mark.modes("sync")
def test_snapshot_works_in_a_signal_handler_of_an_async_program(
    runner, library, server, telemetry, interrupted
):
    """The event loop runs in the main thread, as it does in most programs."""
    assert runner.mode == "sync"  # so the runner has no event loop
    url = server.reply("/", Reply(head_after=0.001, end_after=0.001))
    requests = 0

    async def main() -> None:
        nonlocal requests

        async def one() -> None:
            nonlocal requests
            response = await pool.handle_async_request(library.request(url))
            assert b"".join([chunk async for chunk in response.stream]) == b"ok"
            await response.aclose()
            requests += 1

        async with library.core.AsyncConnectionPool(max_connections=MAXIMUM) as pool:
            while len(interrupted) < 100 or requests < 50:
                await asyncio.gather(*(one() for _ in range(8)))

    asyncio.run(main())
    assert [error for error in interrupted if error is not None] == []
    assert ended(snapshot()) == requests
    assert telemetry.value(semconv.INSTRUMENTATION_ERRORS) == 0


def test_snapshot_takes_no_lock(pool, server, telemetry):
    """It works while another thread holds the pool's lock or the instrumentation's."""
    pool.get(server.url())
    installation: Any = GlueLLMInstrumentor._installation
    with (
        getattr(pool.core, "_optional_thread_lock", contextlib.nullcontext()),
        GlueLLMInstrumentor._lock,
        installation.drain._lock,
    ):
        taken = in_time(snapshot)
    assert [pool.idle for pool in taken.pools] == [1]
    assert telemetry.value(semconv.POOL_LIVE) == 1


def test_snapshot_keeps_no_pool_alive(runner, library, server, telemetry):
    """It has numbers and text only."""
    pool = runner.pool(library, max_connections=MAXIMUM)
    pool.get(server.url())
    held, _ = pool.hold(server)
    taken = snapshot()
    (requested,) = taken.pools[0].requests
    assert requested.phase == "unread"
    held.close()
    gone = weakref.ref(pool.core)
    pool.close()
    pool.forget()
    runner.pools.clear()
    del held

    wait_until_collected(lambda: gone() is None)
    assert telemetry.value(semconv.POOL_LIVE) == 0
    with pytest.raises(dataclasses.FrozenInstanceError):
        taken.pools[0].requests[0].phase = "reading"  # type: ignore[misc]
    assert snapshot().pools == ()
    check(taken)


def test_snapshot_has_connections_and_requests_with_their_states(pool_of_one, server, telemetry):
    """One connection is being read from, and one request is queued."""
    holder, gate = pool_of_one.hold(server)
    holder.begin_read()
    wait_until(lambda: telemetry.current("reading") == 1)
    waiter = pool_of_one.send(server.url("/waiter"), pool=30)
    wait_until(lambda: telemetry.current("queued") == 1)
    (found,) = snapshot().pools
    assert (found.active, found.idle, found.connecting) == (1, 0, 0)
    reading, queued = found.requests
    assert (reading.phase, reading.connection) == ("reading", 0)
    assert (queued.phase, queued.connection, queued.pool_timeout) == ("queued", None, 30)
    assert queued.held is None
    gate.open()
    waiter.finish()


def test_snapshot_without_instrument_raises_with_advice():
    with pytest.raises(RuntimeError, match=r"instrument\(\) first"):
        snapshot()
