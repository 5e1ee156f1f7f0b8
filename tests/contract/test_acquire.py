"""Acquiring a connection: immediately, after a wait, not at all."""

import threading
import time

import pytest

from opentelemetry.instrumentation.gluellm.adapters.httpcore.reading import HttpcoreReader
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from support.clients import PoolUnderTest
from support.http1 import HTTP1Server
from support.installation import installed, instrument
from support.outcomes import SLACK, assert_near, assert_settled
from support.rows import failed, new, pool_timeout, reused
from support.script import Reply
from support.telemetry import Telemetry
from support.waiting import LATENESS, PATIENCE, wait_until


@pytest.mark.modes("sync", "asyncio", "trio")
def test_queued_acquire_lasts_until_the_release(pool_of_one, server, telemetry):
    """The second request waits until the first response has been read."""
    first, gate = pool_of_one.hold(server, "/first")
    body = first.begin_read()
    second = pool_of_one.send(server.url("/second"), pool=30)
    wait_until(lambda: pool_of_one.queued == 1)
    assert telemetry.current("queued") == 1
    queued_at = time.monotonic()
    wait_until(lambda: telemetry.current("reading") == 1)
    assert telemetry.value(semconv.OPEN_CONNECTIONS, state="active") == 1
    telemetry.check(ACTIVE_REQUESTS=2, OCCUPANCY_RATIO=1)
    wait_until(lambda: time.monotonic() > queued_at + 0.15)
    oldest = telemetry.value(semconv.REQUEST_OLDEST_AGE, phase="queued")
    assert 0.15 < oldest < time.monotonic() - second.entered
    gate.open()
    assert body.result(60) == b"ok"
    second.finish()
    assert_settled(telemetry, [first, second], new(), reused())
    waited = telemetry.total(semconv.ACQUIRE_DURATION)
    late = LATENESS.beside(SLACK)
    assert waited > server.timeline.at("body_end", "/first") - second.entered - late
    assert waited < server.timeline.at("request", "/second") - second.entered + late
    assert_near(telemetry.phases()["queued"], waited)
    telemetry.check(PEAK_QUEUED=1, PEAK_ACTIVE=1, ACQUIRE_TIMEOUT=30)
    assert telemetry.value(semconv.REQUEST_OLDEST_AGE, phase="queued") == 0


@pytest.mark.modes("sync", "asyncio", "trio")
def test_pool_timeout_is_an_acquire_without_a_lease(pool_of_one, library, server, telemetry):
    holder, gate = pool_of_one.hold(server)
    late = pool_of_one.send(server.url(), pool=0.15)
    error = late.failure()
    assert isinstance(error, library.raises("pool_timeout"))
    (note,) = getattr(error.__cause__ if library.name == "aiohttp" else error, "__notes__", ())
    assert "max 1, active 1" in note
    assert telemetry.current("queued") == 0
    assert telemetry.value(semconv.ACTIVE_REQUESTS) == 1
    assert_near(telemetry.total(semconv.ACQUIRE_DURATION, error="pool_timeout"), late.duration)
    assert_near(telemetry.phases()["queued"], late.duration)
    gate.open()
    holder.read()
    assert_settled(telemetry, [holder, late], new(), pool_timeout())
    assert telemetry.value(semconv.ACQUIRE_TIMEOUT) == 0.15
    assert server.timeline.count("request") == 1


@pytest.mark.all_pairs
def test_two_waiters_for_one_idle_connection_have_one_acquire_each(
    pool_of_one, library, server, telemetry
):
    """httpcore 1.0.9 assigns it to both, and one queues again; httpcore2 reserves it for one.

    Either way, each has one acquire, which ends with the assignment that is not refused.
    """
    gates = [server.gate(), server.gate(), server.gate()]
    holder = pool_of_one.send(server.reply("/held", *(Reply(end_after=gate) for gate in gates)))
    holder.head()
    waiters = [pool_of_one.send(server.url("/held")) for _ in range(2)]
    wait_until(lambda: pool_of_one.queued == 2)
    assert telemetry.current("queued") == 2
    gates[0].open()
    holder.read()
    server.timeline.wait_for("head", "/held", count=2)
    # The loser is in the queue again.
    wait_until(lambda: telemetry.current("queued") == 1, "one waiter left in the queue")
    wait_until(lambda: telemetry.value(semconv.REQUEUES) == library.assigns_twice)
    wait_until(lambda: any(waiter.answered for waiter in waiters))
    winner, loser = sorted(waiters, key=lambda waiter: not waiter.answered)
    winner.head()
    body = winner.begin_read()
    # The response is the winner's, although the connection was last assigned to the loser.
    wait_until(lambda: telemetry.current("reading") == 1, "the winner is reading")
    gates[1].open()
    body.result(60)
    loser.head()
    gates[2].open()
    loser.read()
    assert_settled(telemetry, [holder, winner, loser], new(), reused(), reused())
    assert telemetry.value(semconv.REQUEUES) == library.assigns_twice
    ends = [server.timeline.at("body_end", "/held", nth=n) for n in range(2)]
    waited = (ends[0] - winner.entered) + (ends[1] - loser.entered)
    assert_near(telemetry.total(semconv.ACQUIRE_DURATION), waited, slack=0.1)
    assert_near(telemetry.phases()["queued"], waited, slack=0.1)
    assert server.timeline.count("accept") == 1


def test_two_waiters_of_a_silent_server_time_out_on_their_own_connections(
    pool_of_one, library, server, telemetry
):
    """Both connections are closed with an error."""
    gate, never = server.gate(), server.gate()
    holder = pool_of_one.send(server.reply("/held", Reply(end_after=gate)))
    holder.head()
    url = server.reply("/silent", Reply(head_after=never))
    waiters = [pool_of_one.send(url, read=0.1) for _ in range(2)]
    wait_until(lambda: pool_of_one.queued == 2)
    gate.open()
    holder.read()
    for waiter in waiters:
        assert isinstance(waiter.failure(), library.raises("read_timeout"))
    on_reused, on_new = failed("read_timeout", created=False), failed("read_timeout")
    assert_settled(telemetry, [holder, *waiters], new(), on_reused, on_new, closed={"error": 2})
    assert telemetry.value(semconv.REUSE_FAILURES) == 0


@pytest.mark.only("httpx", "httpx2")
@pytest.mark.modes("sync")
def test_request_may_end_before_its_assigning_thread_continues(
    runner, library, server, untouched, monkeypatch
):
    """The thread that releases a connection assigns one to the request of another thread."""
    request = library.core._sync.connection_pool.PoolRequest
    assigns = request.assign_to_connection

    def assign_to_connection(self, connection):
        assigns(self, connection)
        time.sleep(0.2)

    monkeypatch.setattr(request, "assign_to_connection", assign_to_connection)
    instrument(untouched)
    pool = runner.pool(library, max_connections=1)
    gate = server.gate()
    closing = Reply(headers=(("Connection", "close"),), end_after=gate)
    holder = pool.send(server.reply("/held", closing))
    holder.head()
    waiter = pool.send(server.url())
    wait_until(lambda: pool.queued == 1)
    gate.open()
    holder.finish()
    waiter.finish()
    assert_settled(untouched, [holder, waiter], new(), new())


def assert_second_connects(
    pool: PoolUnderTest,
    server: HTTP1Server,
    telemetry: Telemetry,
    reached: threading.Event,
    goes_on: threading.Event,
) -> None:
    """Assert that a request counts which connects while the pool's first one is being tracked."""
    first = pool.send(server.url())
    assert reached.wait(PATIENCE)
    gate = server.gate()
    second = pool.send(server.reply("/second", Reply(head_after=gate)))
    server.timeline.wait_for("request")
    telemetry.check(OPEN_CONNECTIONS=1)
    gate.open()
    second.finish()
    goes_on.set()
    first.finish()
    assert_settled(telemetry, [first, second], new(), reused())


@pytest.mark.only("httpx", "httpx2")
@pytest.mark.modes("sync")
def test_request_may_connect_before_the_first_thread_has_tracked_the_pool(
    pool, server, telemetry, monkeypatch
):
    """One thread looks for the pool's connections while another opens one."""
    looks, goes_on = threading.Event(), threading.Event()
    adopt = HttpcoreReader.adopt

    def adopt_later(*args):
        looks.set()
        goes_on.wait(PATIENCE)
        adopt(*args)

    monkeypatch.setattr(HttpcoreReader, "adopt", adopt_later)
    assert_second_connects(pool, server, telemetry, looks, goes_on)


@pytest.mark.only("httpx", "httpx2")
@pytest.mark.modes("sync")
def test_request_may_connect_before_the_first_thread_has_opened_the_tracker(
    pool, server, telemetry
):
    """The second thread finds the tracker in the registry, where the first has just put it."""
    registered, goes_on = threading.Event(), threading.Event()

    class Trackers(dict):
        def setdefault(self, key, made):
            found = super().setdefault(key, made)
            registered.set()
            goes_on.wait(PATIENCE)
            return found

    installed().registry.trackers = Trackers()
    assert_second_connects(pool, server, telemetry, registered, goes_on)
