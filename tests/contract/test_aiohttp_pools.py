"""What only aiohttp does: its timeouts, its retries, its limits, the end of its connectors."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import aiohttp
import pytest

from opentelemetry.instrumentation.gluellm import snapshot
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from support.aiohttp_pools import LIBRARY
from support.clients import Runner
from support.deaf import DeafServer
from support.http1 import HTTP1Server
from support.installation import instrument
from support.listener import Listen
from support.network import unreachable
from support.outcomes import (
    assert_near,
    assert_phases,
    assert_settled,
    cancelled_in_queue,
    connect_failed,
    failed,
    new,
    pool_timeout,
    reused,
)
from support.script import Failure, Reply
from support.telemetry import Telemetry
from support.waiting import PATIENCE, wait_until

pytestmark = pytest.mark.modes("asyncio")


def run(runner: Runner, function: Any, *arguments: Any) -> Any:
    """Call a coroutine function in the runner's loop."""
    assert runner.portal is not None
    return runner.portal.start_task_soon(function, *arguments).result(PATIENCE)


# Timeouts


def test_total_timeout_in_the_queue_is_a_pool_timeout(
    runner: Runner, server: HTTP1Server, telemetry: Telemetry
) -> None:
    """It reaches the pool as a cancellation, and is told with what explains it all the same."""
    pool = runner.pool(LIBRARY, max_connections=1)
    gate = server.gate()
    holder = pool.send(server.reply("/held", Reply(end_after=gate)))
    holder.head()
    late = pool.send(server.url(), total=0.15)
    error = late.failure()
    assert isinstance(error, TimeoutError)
    assert telemetry.value(semconv.ACQUIRE_TIMEOUT) == 0.15
    gate.open()
    holder.read()
    assert_settled(telemetry, [holder, late], new(), pool_timeout())
    notes = getattr(error.__cause__, "__notes__", [])
    assert len(notes) == 1
    assert "max 1, active 1" in notes[0]


def test_connect_timeout_in_the_queue_has_the_note_on_its_cause(
    runner: Runner, server: HTTP1Server, telemetry: Telemetry
) -> None:
    """aiohttp raises its own from it, so that a traceback shows both."""
    pool = runner.pool(LIBRARY, max_connections=1)
    gate = server.gate()
    holder = pool.send(server.reply("/held", Reply(end_after=gate)))
    holder.head()
    error = pool.send(server.url(), pool=0.05).failure()
    assert isinstance(error, aiohttp.ConnectionTimeoutError)
    (note,) = getattr(error.__cause__, "__notes__", [])
    assert "max 1, active 1, idle 0, connecting 0, queued 1" in note
    assert "longest held: (1)" in note
    gate.open()
    holder.read()


@pytest.mark.parametrize("timeout", ["pool", "total"])
def test_timeout_while_connecting_is_a_connect_timeout(
    runner: Runner, telemetry: Telemetry, timeout: str
) -> None:
    """``connect`` covers queue and set-up together: the phase tells which of them it struck."""
    pool = runner.pool(LIBRARY)
    with unreachable() as url:
        exchange = pool.send(url, **{timeout: 0.15})
        exchange.failure()
    assert_settled(telemetry, [exchange], connect_failed("connect_timeout"))
    assert_phases(telemetry, connecting=0.15)


def test_total_timeout_before_the_head(
    runner: Runner, server: HTTP1Server, telemetry: Telemetry
) -> None:
    """The provider was silent: a read timeout."""
    pool = runner.pool(LIBRARY)
    exchange = pool.send(server.reply("/", Reply(head_after=server.gate())), total=0.15)
    assert isinstance(exchange.failure(), TimeoutError)
    assert_settled(telemetry, [exchange], failed("read_timeout"))
    assert telemetry.by(semconv.CONNECTION_CLOSED, "reason") == {"error": 1}


def test_total_timeout_in_the_body(
    runner: Runner, server: HTTP1Server, telemetry: Telemetry
) -> None:
    """The same, with the status that came."""
    pool = runner.pool(LIBRARY)
    exchange = pool.send(server.reply("/", Reply(end_after=server.gate())), total=0.15)
    exchange.head()
    with pytest.raises(TimeoutError):
        exchange.read()
    assert_settled(telemetry, [exchange], failed("read_timeout", status=200))
    assert telemetry.by(semconv.CONNECTION_CLOSED, "reason") == {"error": 1}


def test_total_timeout_while_sending(runner: Runner, listen: Listen, telemetry: Telemetry) -> None:
    """A body that the server doesn't take: aiohttp sends it in a task and waits for the head."""
    pool = runner.pool(LIBRARY)
    exchange = pool.send(listen(DeafServer).url(), body=bytes(64_000_000), total=0.3)
    assert isinstance(exchange.failure(), TimeoutError)
    assert_settled(telemetry, [exchange], failed("read_timeout"))


# More than one request


def test_request_that_is_tried_again_is_a_further_request(
    runner: Runner, server: HTTP1Server, telemetry: Telemetry
) -> None:
    """aiohttp tries an idempotent request again that failed on a reused connection, silently."""
    pool = runner.pool(LIBRARY)
    pool.raw._retry_connection = True
    server.reply("/", Reply(), Reply(failure=Failure.EOF_BEFORE_HEAD), Reply())
    first, second = pool.get(server.url()), pool.get(server.url())
    assert first.duration
    assert second.duration
    assert telemetry.by(semconv.REQUESTS, "status", "error") == {
        (200, None): 2,
        (None, "protocol_error"): 1,
    }
    assert telemetry.value(semconv.REUSE_FAILURES) == 1
    assert telemetry.value(semconv.CONNECTION_OPENED) == 2
    assert telemetry.value(semconv.ACTIVE_REQUESTS) == 0


def test_redirect_that_the_session_follows_is_two_requests(
    runner: Runner, server: HTTP1Server, telemetry: Telemetry
) -> None:
    """The pool sees what went over the wire."""
    pool = runner.pool(LIBRARY, follow_redirects=True)
    server.reply("/old", Reply(status=302, headers=(("Location", "/new"),), chunks=()))
    pool.get(server.url("/old"))
    assert telemetry.by(semconv.REQUESTS, "status", "error") == {(302, None): 1, (200, None): 1}
    assert telemetry.count(semconv.LEASE_DURATION) == 2
    assert telemetry.value(semconv.ACTIVE_REQUESTS) == 0


# Limits


def test_limit_for_each_host(runner: Runner, listen: Listen, telemetry: Telemetry) -> None:
    """It lets a request wait though the connector has room, and shows beside the other limit."""
    here, there = listen(HTTP1Server), listen(HTTP1Server)
    pool = runner.pool(LIBRARY, max_connections=0, limit_per_host=1)
    gate = here.gate()
    holder = pool.send(here.reply("/held", Reply(end_after=gate)))
    holder.head()
    waiter = pool.send(here.url())
    wait_until(lambda: telemetry.current("queued") == 1)
    other = pool.get(there.url())
    (told,) = snapshot().pools
    assert told.max_connections is None
    assert told.max_connections_per_origin == 1
    assert telemetry.points(semconv.CONNECTION_MAX) == []
    gate.open()
    holder.read()
    waiter.head()
    waiter.read()
    assert_settled(telemetry, [holder, other, waiter], new(), new(), reused())


def test_idle_connections_are_beside_the_limit(
    runner: Runner, listen: Listen, telemetry: Telemetry
) -> None:
    """Those to other origins stay open, so there can be more connections than the limit says."""
    servers = [listen(HTTP1Server) for _ in range(3)]
    pool = runner.pool(LIBRARY, max_connections=1)
    exchanges = [pool.get(server.url()) for server in servers]
    assert_settled(telemetry, exchanges, new(), new(), new())
    assert telemetry.value(semconv.CONNECTION_MAX) == 1
    assert telemetry.value(semconv.OPEN_CONNECTIONS, state="idle") == 3
    assert telemetry.value(semconv.PEAK_ACTIVE) == 1
    assert telemetry.value(semconv.OCCUPANCY_RATIO) == 0


def test_force_close(runner: Runner, server: HTTP1Server, telemetry: Telemetry) -> None:
    """A connector that keeps nothing: a connection for each request, closed as agreed."""
    pool = runner.pool(LIBRARY, force_close=True, keepalive_expiry=None)
    exchanges = [pool.get(server.url()) for _ in range(2)]
    assert_settled(telemetry, exchanges, new(), new())
    assert telemetry.by(semconv.CONNECTION_CLOSED, "reason") == {"connection_close": 2}
    assert [told.keepalive_expiry for told in snapshot().pools] == [0]


def test_waiter_beside_an_idle_connection_of_a_full_connector_is_no_anomaly(
    runner: Runner, listen: Listen, telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """aiohttp serves whichever origin comes up, and a limit that is reached is reached for all."""
    here, there = listen(HTTP1Server), listen(HTTP1Server)

    def there_first(queues: list[Any]) -> None:
        queues.sort(key=lambda key: key.port != there.port)

    monkeypatch.setattr(aiohttp.connector.random, "shuffle", there_first)
    pool = runner.pool(LIBRARY, max_connections=2)
    gates, end = [here.gate(), there.gate()], there.gate()
    holders = [
        pool.send(server.reply("/held", Reply(end_after=gate)))
        for server, gate in zip((here, there), gates, strict=True)
    ]
    for holder in holders:
        holder.head()
    waiter = pool.send(here.url())
    wait_until(lambda: pool.queued == 1)
    slow = pool.send(there.reply("/slow", Reply(head_after=3.5, end_after=end)))
    wait_until(lambda: pool.queued == 2)
    gates[0].open()
    holders[0].read()
    there.timeline.wait_for("request", "/slow")
    assert telemetry.current("queued") == 1
    assert telemetry.value(semconv.OPEN_CONNECTIONS, state="idle", port=here.port) == 1
    slow.head()
    assert telemetry.current("queued") == 1
    assert telemetry.value(semconv.ANOMALIES) == 0
    end.open()
    slow.read()
    gates[1].open()
    holders[1].read()
    waiter.head()
    waiter.read()


# Responses


@pytest.mark.parametrize("to_its_end", [True, False])
def test_read_that_is_given_up_is_no_failure_of_the_response(
    runner: Runner, server: HTTP1Server, telemetry: Telemetry, to_its_end: bool
) -> None:
    """An application that reads with a timeout of its own can read on."""
    pool = runner.pool(LIBRARY)
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
    assert telemetry.by(semconv.REQUESTS, "status", "error") == {(200, None): 1}
    closed = {} if to_its_end else {"response_incomplete": 1}
    assert telemetry.by(semconv.CONNECTION_CLOSED, "reason") == closed


def test_response_is_over_once_its_body_has_come(
    runner: Runner, server: HTTP1Server, telemetry: Telemetry
) -> None:
    """aiohttp reads ahead, and gives the connection back though nobody has read the body yet."""
    pool = runner.pool(LIBRARY)
    exchange = pool.send(server.url())
    exchange.head()
    wait_until(lambda: telemetry.value(semconv.OPEN_CONNECTIONS, state="idle") == 1)
    assert telemetry.value(semconv.ACTIVE_REQUESTS) == 0
    assert exchange.read() == b"ok"


@pytest.mark.parametrize("method", ["HEAD", "GET"])
def test_response_without_a_body(
    runner: Runner, server: HTTP1Server, telemetry: Telemetry, method: str
) -> None:
    """Its head is its end."""
    pool = runner.pool(LIBRARY)
    url = server.reply("/", Reply(status=204, chunks=()))

    async def ask() -> None:
        async with pool.raw.request(method, url) as response:
            assert response.status == 204

    run(runner, ask)
    assert telemetry.by(semconv.REQUESTS, "status", "error") == {(204, None): 1}
    assert telemetry.value(semconv.ACTIVE_REQUESTS) == 0


def test_leak_is_found_and_a_silent_stream_is_none(
    runner: Runner, server: HTTP1Server, untouched: Telemetry
) -> None:
    """On a connection that was there before us as on a new one."""
    pool = runner.pool(LIBRARY)
    pool.get(server.url())
    instrument(untouched, leak_threshold=2)
    gate = server.gate()
    url = server.reply("/held", Reply(chunks=((0.0, b"ok"), (gate, b"late"))))
    leaked = pool.send(url)
    leaked.head()
    silent = pool.send(url)
    silent.head()
    body = silent.begin_read()
    wait_until(lambda: untouched.value(semconv.LEAK_SUSPECTED) == 1, "the leak")
    wait_until(lambda: untouched.value(semconv.REQUEST_OLDEST_AGE, phase="reading") > 4)
    assert untouched.value(semconv.LEAK_SUSPECTED) == 1
    assert untouched.value(semconv.LEAKS) == 1
    assert untouched.value(semconv.CONNECTION_OPENED) == 1
    gate.open()
    assert body.result(10) == b"oklate"
    leaked.close()
    assert untouched.value(semconv.LEAK_SUSPECTED) == 0
    assert untouched.value(semconv.LEAKS) == 1


@pytest.mark.parametrize("who", ["client", "server"])
def test_websocket(runner: Runner, listen: Listen, telemetry: Telemetry, who: str) -> None:
    """It is one request of status 101, whose connection goes with it."""
    from aiohttp import web

    async def serve(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_str("hello")
        if who == "server":
            await socket.close()
        else:
            await socket.receive()
        return socket

    pool = runner.pool(LIBRARY)

    async def talk() -> None:
        application = web.Application()
        application.router.add_get("/", serve)
        running = web.AppRunner(application)
        await running.setup()
        site = web.TCPSite(running, "127.0.0.1", 0)
        await site.start()
        port = running.addresses[0][1]
        async with pool.raw.ws_connect(f"http://127.0.0.1:{port}/") as socket:
            assert (await socket.receive()).data == "hello"
            told = await asyncio.to_thread(telemetry.by, semconv.OPEN_CONNECTIONS, "protocol")
            assert told == {"websocket": 1}
            if who == "server":
                await socket.receive()
        await running.cleanup()

    run(runner, talk)
    assert telemetry.by(semconv.REQUESTS, "status", "error") == {(101, None): 1}
    assert telemetry.by(semconv.CONNECTION_CLOSED, "reason") == {"connection_close": 1}
    assert telemetry.value(semconv.ACTIVE_REQUESTS) == 0
    assert telemetry.value(semconv.INSTRUMENTATION_ERRORS) == 0


# The end of a connector


def test_connector_that_is_closed_cancels_who_waits(
    runner: Runner, server: HTTP1Server, telemetry: Telemetry
) -> None:
    """And the response that was under way ends when its reader lets go of it."""
    pool = runner.pool(LIBRARY, max_connections=1)
    holder = pool.send(server.reply("/held", Reply(end_after=server.gate())))
    holder.head()
    waiter = pool.send(server.url())
    wait_until(lambda: pool.queued == 1)
    pool.close()
    waiter.wait()
    holder.close()
    assert_settled(telemetry, [holder, waiter], new(), cancelled_in_queue())
    assert telemetry.by(semconv.CONNECTION_CLOSED, "reason") == {"pool_closed": 1}
    assert telemetry.by(semconv.POOL_DISCARDED, "discard") == {"closed": 1}


def test_connector_that_is_closed_while_it_connects(
    runner: Runner, listen: Listen, certificates: Any, telemetry: Telemetry
) -> None:
    """The connection that stands then is closed at once, and the request fails."""
    server = listen(HTTP1Server, tls=certificates.server(), setup_after=0.2)
    pool = runner.pool(LIBRARY, ssl_context=certificates.client())
    exchange = pool.send(server.url())
    server.timeline.wait_for("accept")
    pool.close()
    assert isinstance(exchange.failure(), aiohttp.ClientConnectionError)
    assert telemetry.value(semconv.CONNECTION_OPENED) == telemetry.value(semconv.CONNECTION_CLOSED)
    assert telemetry.value(semconv.ACTIVE_REQUESTS) == 0
    assert telemetry.value(semconv.OPEN_CONNECTIONS) == 0


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_abandoned_response_is_held_until_the_server_is_done(
    runner: Runner, server: HTTP1Server, telemetry: Telemetry
) -> None:
    """The loop keeps it and its connector, so it stays what it is: unread, and a leak some day."""
    gate = server.gate()
    pool = runner.pool(LIBRARY)
    exchange = pool.send(server.reply("/", Reply(end_after=gate)))
    exchange.head()
    exchange.abandon()
    del exchange
    pool.forget()
    for _ in range(3):
        gc.collect()
    assert telemetry.current("unread") == 1
    assert telemetry.value(semconv.OPEN_CONNECTIONS, state="active") == 1
    gate.open()

    def gone() -> bool:
        gc.collect()
        return telemetry.value(semconv.POOL_DISCARDED) == 1

    wait_until(gone)
    assert telemetry.by(semconv.REQUESTS, "status", "error") == {(200, None): 1}
    assert telemetry.by(semconv.CONNECTION_CLOSED, "reason") == {"garbage_collected": 1}
    assert telemetry.value(semconv.ACTIVE_REQUESTS) == 0


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_session_that_is_left_behind_by_its_loop(server: HTTP1Server, telemetry: Telemetry) -> None:
    """A response and a session that nobody closed, and a loop that is closed: all of it ends."""

    async def main() -> None:
        session = aiohttp.ClientSession()
        await session.get(server.reply("/", Reply(end_after=server.gate())))

    asyncio.run(main())

    def gone() -> bool:
        gc.collect()
        return telemetry.value(semconv.POOL_DISCARDED) == 1

    wait_until(gone)
    assert telemetry.value(semconv.ACTIVE_REQUESTS) == 0
    assert telemetry.value(semconv.OPEN_CONNECTIONS) == 0
    assert telemetry.by(semconv.REQUESTS, "status", "error") == {(200, None): 1}


def test_connector_that_is_closed_in_another_loop(
    server: HTTP1Server, telemetry: Telemetry
) -> None:
    """Its own is gone, so aiohttp closes none of its connections; they are gone all the same."""
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
    assert telemetry.by(semconv.CONNECTION_CLOSED, "reason") == {"pool_closed": 1}
    assert telemetry.by(semconv.POOL_DISCARDED, "discard") == {"closed": 1}
    assert telemetry.value(semconv.OPEN_CONNECTIONS) == 0


# Connectors of somebody else's


class OwnWay(aiohttp.TCPConnector):
    """A connector that takes its time, and does without the library's own set-up."""

    async def _create_connection(self, req: Any, traces: Any, timeout: Any) -> Any:
        await asyncio.sleep(0.15)
        _, protocol = await self._loop.create_connection(self._factory, req.host, req.port)
        return protocol


def test_connector_that_connects_in_its_own_way(
    runner: Runner, server: HTTP1Server, telemetry: Telemetry
) -> None:
    """It is seen from its first request on."""

    async def ask() -> None:
        async with aiohttp.ClientSession(connector=OwnWay()) as session:
            for _ in range(2):
                async with session.get(server.url()) as response:
                    await response.read()

    run(runner, ask)
    assert telemetry.by(semconv.REQUESTS, "status", "error") == {(200, None): 2}
    assert telemetry.value(semconv.CONNECTION_OPENED) == 1
    assert_near(telemetry.phases()["connecting"], 0.15)
    assert_near(telemetry.total(semconv.CONNECTION_CREATE_DURATION), 0.15)
    assert telemetry.phases()["queued"] == 0
