"""Behaviour that only aiohttp has: timeouts, retries, limits, the end of connectors."""

import asyncio
import gc
import time
from typing import Any

import aiohttp
import pytest
from aiohttp.client_proto import ResponseHandler

from opentelemetry.instrumentation.gluellm import snapshot
from opentelemetry.instrumentation.gluellm.pool import lease
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from support.clients import Runner
from support.http1 import HTTP1Server
from support.network import unreachable
from support.outcomes import assert_phases, assert_settled
from support.rows import cancelled_in_queue, connect_failed, failed, new, pool_timeout, reused
from support.script import Failure, Reply
from support.waiting import PATIENCE, wait_until, wait_until_collected

pytestmark = pytest.mark.only("aiohttp")


def run(runner: Runner, function: Any, *arguments: Any) -> Any:
    """Call a coroutine function in the runner's loop."""
    assert runner.portal is not None
    return runner.portal.start_task_soon(function, *arguments).result(PATIENCE)


# Timeouts


def test_total_timeout_in_the_queue_is_a_pool_timeout(pool_of_one, server, telemetry):
    """The pool sees a cancellation; aiohttp raises its own timeout error."""
    holder, gate = pool_of_one.hold(server)
    late = pool_of_one.send(server.url(), total=0.15)
    error = late.failure()
    assert isinstance(error, TimeoutError)
    assert telemetry.value(semconv.ACQUIRE_TIMEOUT) == 0.15
    gate.open()
    holder.read()
    assert_settled(telemetry, [holder, late], new(), pool_timeout())
    (note,) = getattr(error.__cause__, "__notes__", [])
    assert "max 1, active 1, idle 0, connecting 0, queued 1" in note
    assert "longest holders: (1)" in note


@pytest.mark.parametrize("timeout", ["pool", "total"])
def test_timeout_while_connecting_is_a_connect_timeout(pool, telemetry, timeout):
    """``connect`` covers queue and set-up together: the phase shows which of them timed out."""
    with unreachable() as url:
        exchange = pool.send(url, **{timeout: 0.15})
        exchange.failure()
    assert_settled(telemetry, [exchange], connect_failed("connect_timeout"))
    assert_phases(telemetry, connecting=exchange.duration)


@pytest.mark.parametrize("where", ["before the head", "in the body"])
def test_total_timeout_in_a_response_is_a_read_timeout(
    pool, runner, server, telemetry, monkeypatch, where
):
    """The status is recorded if a head was received. The test advances the loop's clock."""
    in_body = where == "in the body"
    delay = {"end_after" if in_body else "head_after": server.gate()}
    exchange = pool.send(server.reply("/", Reply(**delay)), total=120)
    rest = exchange.begin_read()
    phase = "reading" if in_body else "awaiting_response"
    wait_until(lambda: telemetry.current(phase) == 1)
    assert [found.read_timeout for found in snapshot().pools] == [120]
    loop = runner.portal.call(asyncio.get_running_loop)
    runner.portal.call(monkeypatch.setattr, loop, "time", lambda: time.monotonic() + 240)
    with pytest.raises(TimeoutError):
        rest.result(PATIENCE) if in_body else exchange.head()
    status = 200 if in_body else None
    assert_settled(telemetry, [exchange], failed("read_timeout", status=status))
    assert telemetry.closed() == {"error": 1}


# More than one request


def test_silent_retry_of_aiohttp_is_a_second_request(pool, server, telemetry):
    """aiohttp retries an idempotent request that failed on a reused connection."""
    pool.raw._retry_connection = True
    server.reply("/", Reply(), Reply(failure=Failure.EOF_BEFORE_HEAD), Reply())
    pool.get(server.url())
    pool.get(server.url())
    assert telemetry.requests() == {(200, None): 2, (None, "protocol_error"): 1}
    telemetry.check(REUSE_FAILURES=1, CONNECTION_OPENED=2, ACTIVE_REQUESTS=0)
    assert "aiohttp sends an idempotent request once more" in semconv.REQUESTS.description


# Limits


def test_limit_per_host_queues_requests_and_is_reported(runner, library, listen, telemetry):
    """Requests wait although the connector has free connections."""
    here, there = listen(HTTP1Server), listen(HTTP1Server)
    pool = runner.pool(library, max_connections=0, limit_per_host=1)
    holder, gate = pool.hold(here)
    waiter = pool.send(here.url())
    wait_until(lambda: telemetry.current("queued") == 1)
    other = pool.get(there.url())
    (found,) = snapshot().pools
    assert found.max_connections is None
    assert found.max_connections_per_origin == 1
    assert telemetry.points(semconv.CONNECTION_MAX) == []
    gate.open()
    holder.read()
    waiter.finish()
    assert_settled(telemetry, [holder, other, waiter], new(), new(), reused())


def test_idle_connections_of_aiohttp_can_exceed_the_limit(pool_of_one, listen, telemetry):
    """Idle connections to other origins stay open."""
    servers = [listen(HTTP1Server) for _ in range(3)]
    exchanges = [pool_of_one.get(server.url()) for server in servers]
    assert_settled(telemetry, exchanges, new(), new(), new())
    assert telemetry.value(semconv.CONNECTION_MAX) == 1
    assert telemetry.value(semconv.OPEN_CONNECTIONS, state="idle") == 3
    telemetry.check(PEAK_ACTIVE=1, OCCUPANCY_RATIO=0)


def test_force_close_closes_the_connection_of_each_request(runner, library, server, telemetry):
    """The connector keeps no idle connection, so this is a normal close."""
    pool = runner.pool(library, force_close=True, keepalive_expiry=None)
    exchanges = [pool.get(server.url()) for _ in range(2)]
    assert_settled(telemetry, exchanges, new(), new(), closed={"connection_close": 2})
    assert [found.keepalive_expiry for found in snapshot().pools] == [0]


@pytest.mark.usefixtures("quick_watch")
def test_waiter_of_a_full_connector_is_no_anomaly(runner, library, listen, telemetry, monkeypatch):
    """A connector that is at its limit may have idle connections to other origins."""
    here, there = listen(HTTP1Server), listen(HTTP1Server)

    def there_first(queues: list[Any]) -> None:
        queues.sort(key=lambda key: key.port != there.port)

    monkeypatch.setattr(aiohttp.connector.random, "shuffle", there_first)
    pool = runner.pool(library, max_connections=2)
    (first, gate), (second, other_gate), end = pool.hold(here), pool.hold(there), there.gate()
    waiter = pool.send(here.url())
    wait_until(lambda: pool.queued == 1)
    slow = pool.send(there.reply("/slow", Reply(head_after=0.4, end_after=end)))
    wait_until(lambda: pool.queued == 2)
    gate.open()
    first.read()
    there.timeline.wait_for("request", "/slow")
    assert telemetry.current("queued") == 1
    assert telemetry.value(semconv.OPEN_CONNECTIONS, state="idle", port=here.port) == 1
    slow.head()
    assert telemetry.current("queued") == 1
    assert telemetry.value(semconv.ANOMALIES) == 0
    end.open()
    slow.read()
    other_gate.open()
    second.read()
    waiter.finish()


# Responses


@pytest.mark.parametrize("to_its_end", [True, False])
def test_cancelled_read_is_no_failure_of_the_request(pool, runner, server, telemetry, to_its_end):
    """An application that reads with its own timeout can continue to read."""
    gate, end = server.gate(), server.gate()
    url = server.reply("/", Reply(chunks=((gate, b"late"),), end_after=end))

    async def read_twice() -> None:
        async with pool.raw.get(url) as response:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(response.content.readany(), 0.05)
            gate.open()
            assert await response.content.readany() == b"late"
            if to_its_end:
                end.open()
                await response.content.read()

    run(runner, read_twice)
    assert telemetry.requests() == {(200, None): 1}
    closed = {} if to_its_end else {"response_incomplete": 1}
    assert telemetry.closed() == closed


def test_response_ends_when_its_body_is_received(pool, server, telemetry):
    """aiohttp reads ahead and releases the connection before the body is read."""
    exchange = pool.send(server.url())
    exchange.head()
    wait_until(lambda: telemetry.value(semconv.OPEN_CONNECTIONS, state="idle") == 1)
    assert telemetry.value(semconv.ACTIVE_REQUESTS) == 0
    assert exchange.read() == b"ok"


# The end of a connector


def test_closed_connector_cancels_waiting_requests(pool_of_one, server, telemetry):
    """A response in flight ends when its reader drops it."""
    holder, _ = pool_of_one.hold(server)
    waiter = pool_of_one.send(server.url())
    wait_until(lambda: pool_of_one.queued == 1)
    pool_of_one.close()
    waiter.wait()
    holder.close()
    assert_settled(telemetry, [holder, waiter], new(), cancelled_in_queue())
    assert telemetry.closed() == {"pool_closed": 1}
    assert telemetry.by(semconv.POOL_DISCARDED, "discard") == {"closed": 1}


def test_connector_closed_while_connecting_fails_the_request(
    runner, library, listen, certificates, telemetry
):
    """The connection is closed as soon as it is established."""
    server = listen(HTTP1Server, tls=certificates.server())
    server.setup_after = gate = server.gate()
    pool = runner.pool(library, ssl_context=certificates.client())
    exchange = pool.send(server.url())
    server.timeline.wait_for("accept")
    pool.close()
    gate.open()
    assert isinstance(exchange.failure(), aiohttp.ClientConnectionError)
    assert telemetry.value(semconv.CONNECTION_OPENED) == telemetry.value(semconv.CONNECTION_CLOSED)
    telemetry.check(ACTIVE_REQUESTS=0, OPEN_CONNECTIONS=0)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_abandoned_response_is_unread_until_the_server_has_sent_it(pool, server, telemetry):
    """The event loop keeps the response and its connector, so it can become a leak."""
    exchange, gate = pool.hold(server, "/")
    exchange.abandon()
    del exchange
    pool.forget()
    for _ in range(3):
        gc.collect()
    assert telemetry.current("unread") == 1
    assert telemetry.value(semconv.OPEN_CONNECTIONS, state="active") == 1
    gate.open()

    wait_until_collected(lambda: telemetry.value(semconv.POOL_DISCARDED) == 1)
    assert telemetry.requests() == {(200, None): 1}
    assert telemetry.closed() == {"garbage_collected": 1}
    assert telemetry.value(semconv.ACTIVE_REQUESTS) == 0


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_unclosed_session_and_response_end_with_their_loop(server, telemetry):

    async def main() -> None:
        session = aiohttp.ClientSession()
        await session.get(server.reply("/", Reply(end_after=server.gate())))

    asyncio.run(main())

    wait_until_collected(lambda: telemetry.value(semconv.POOL_DISCARDED) == 1)
    telemetry.check(ACTIVE_REQUESTS=0, OPEN_CONNECTIONS=0)
    assert telemetry.requests() == {(200, None): 1}


def test_connector_closed_in_another_loop_has_no_connections(server, telemetry):
    """Its own loop is gone, so aiohttp closes no connection itself."""
    sessions = []

    async def main() -> None:
        sessions.append(session := aiohttp.ClientSession())
        async with session.get(server.url()) as response:
            await response.read()

    async def close() -> None:
        await sessions[0].close()

    asyncio.run(main())
    assert telemetry.value(semconv.OPEN_CONNECTIONS, state="idle") == 1
    asyncio.run(close())
    assert telemetry.closed() == {"pool_closed": 1}
    assert telemetry.by(semconv.POOL_DISCARDED, "discard") == {"closed": 1}
    assert telemetry.value(semconv.OPEN_CONNECTIONS) == 0


def test_connection_found_between_two_moments_unlisted_is_not_dropped(
    pool, server, telemetry, monkeypatch
):
    """A connection that is being taken is not listed, and an export may run at that moment."""
    pool.get(server.url())
    monkeypatch.setattr(lease, "_MISSING_TIME", 0)
    is_connected = ResponseHandler.is_connected

    def collect_and_check(self):
        monkeypatch.setattr(ResponseHandler, "is_connected", is_connected)
        telemetry.collect()
        return is_connected(self)

    for _ in range(2):
        monkeypatch.setattr(ResponseHandler, "is_connected", collect_and_check)
        pool.get(server.url())
        telemetry.collect()
    assert telemetry.closed() == {}


def test_call_site_is_known_although_the_proxy_was_looked_up_in_a_thread(
    pool, runner, server, telemetry
):
    """A look-up that finds no proxy raises in the request's task, which hides outer frames."""
    pool.raw._trust_env = True
    gate = server.gate()
    url = server.reply("/held", Reply(head_after=gate))

    async def fetch() -> None:
        response = await pool.raw.get(url)
        await response.read()

    async def outer() -> None:
        await fetch()

    done = runner.portal.start_task_soon(outer)
    wait_until(lambda: telemetry.current("awaiting_response") == 1)
    (request,) = [request for pool in snapshot().pools for request in pool.requests]
    assert request.call_site is not None
    assert request.call_site.endswith("<locals>.fetch")
    gate.open()
    done.result(PATIENCE)
