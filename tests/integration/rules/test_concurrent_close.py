"""Requests that end, or release their connection, concurrently with others."""

import asyncio
import threading

import pytest

from opentelemetry.instrumentation.gluellm.telemetry import semconv
from support.http1 import HTTP1Server
from support.http2 import HTTP2Server
from support.script import Reply
from support.telemetry import Telemetry
from support.waiting import until, wait_until

from .conftest import BOTH


def assert_answered(telemetry: Telemetry) -> None:
    """Assert that the request ended at the close, not with the later failure of its read."""
    assert telemetry.by(semconv.REQUESTS, "status", "error") == {(200, None): 1}


@pytest.mark.parametrize("http2", [False, True], ids=["1.1", "2"])
def test_close_by_another_task_during_a_read_is_no_error(library, http2, listen, telemetry):
    """The read fails after the close."""
    server = listen(HTTP2Server) if http2 else listen(HTTP1Server)
    server.reply("/", Reply(end_after=server.gate()))

    async def ask() -> None:
        pool = library.core.AsyncConnectionPool(http1=not http2, http2=http2)
        response = await pool.handle_async_request(library.request(server.url()))
        reading = asyncio.create_task(response.aread())
        await until(lambda: telemetry.current("reading") == 1)
        await response.aclose()
        server.hang_up(reset=True)
        await asyncio.wait([reading])
        assert isinstance(reading.exception(), library.raises("read_error"))
        await pool.aclose()

    asyncio.run(ask())
    assert_answered(telemetry)


def test_close_by_another_thread_during_a_read_is_no_error(library, listen, telemetry):
    """The read fails after the close, which leaves an HTTP/2 connection open."""
    server = listen(HTTP2Server)
    server.reply("/", Reply(end_after=server.gate()))
    failures: list[Exception] = []

    def read() -> None:
        try:
            response.read()
        except Exception as error:
            failures.append(error)

    pool = library.core.ConnectionPool(http1=False, http2=True)
    response = pool.handle_request(library.request(server.url()))
    reading = threading.Thread(target=read)
    reading.start()
    wait_until(lambda: telemetry.current("reading") == 1)
    response.close()
    server.hang_up(reset=True)
    reading.join(60)
    assert isinstance(failures[0], library.raises("read_error"))
    pool.close()
    assert_answered(telemetry)


@BOTH
def test_request_cancelled_before_it_connects_frees_its_place(library, listen, telemetry):
    """The pool assigns the place to the next request before the first one ends."""
    server = listen(HTTP1Server)

    async def ask() -> None:
        pool = library.core.AsyncConnectionPool(max_connections=1)
        tasks = [
            asyncio.create_task(pool.handle_async_request(library.request(server.url())))
            for _ in range(2)
        ]
        # The first request holds the lock of its new connection, the second one is queued.
        await asyncio.sleep(0)
        tasks[0].cancel()
        response = await tasks[1]
        assert tasks[0].cancelled()
        await response.aread()
        await response.aclose()
        await pool.aclose()

    asyncio.run(ask())
    assert telemetry.by(semconv.REQUESTS, "status", "error") == {
        (200, None): 1,
        (None, "cancelled"): 1,
    }
    assert telemetry.value(semconv.PEAK_ACTIVE) == 1


@BOTH
def test_connection_that_is_not_kept_frees_its_place(library, listen, telemetry):
    """The pool drops it and creates the next one before its response's hook records the end."""
    server = listen(HTTP1Server)

    async def ask() -> None:
        pool = library.core.AsyncConnectionPool(max_connections=1, max_keepalive_connections=0)

        async def one() -> None:
            response = await pool.handle_async_request(library.request(server.url()))
            await response.aread()
            await response.aclose()

        await asyncio.gather(one(), one(), one())
        await pool.aclose()

    asyncio.run(ask())
    assert telemetry.by(semconv.REQUESTS, "status", "error") == {(200, None): 3}
    assert telemetry.value(semconv.PEAK_ACTIVE) == 1
