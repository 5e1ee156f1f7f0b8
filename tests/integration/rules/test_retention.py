"""Nothing of the host's is kept alive: contexts, pools, connections, responses, tasks, loops."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from opentelemetry import context
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from support.http1 import HTTP1Server
from support.libraries import Library
from support.script import Reply
from support.telemetry import Telemetry

pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


class Big:
    """What an application keeps in its context: a conversation, a document."""

    def __init__(self) -> None:
        self.content = bytearray(1_000_000)


def test_context_is_not_kept_by_an_open_lease(
    library: Library, server: HTTP1Server, telemetry: Telemetry
) -> None:
    """A response that stays open for minutes must not hold all that was in the caller's context."""
    pool = library.core.ConnectionPool()
    big = Big()
    reference = weakref.ref(big)
    token = context.attach(context.set_value("conversation", big))
    with telemetry.tracer_provider.get_tracer("test").start_as_current_span("caller"):
        response = pool.handle_request(library.request(server.url()))
    context.detach(token)
    del big, token
    gc.collect()
    assert reference() is None
    assert telemetry.value(semconv.ACTIVE_REQUESTS) == 1
    response.close()
    pool.close()


def test_contexts_are_not_kept_by_buffered_records(
    library: Library, server: HTTP1Server, telemetry: Telemetry
) -> None:
    """Between two collections thousands of records wait; 2 000 full contexts held 147 MB."""
    pool = library.core.ConnectionPool()
    references = []
    tracer = telemetry.tracer_provider.get_tracer("test")
    for _ in range(5):
        big = Big()
        references.append(weakref.ref(big))
        token = context.attach(context.set_value("conversation", big))
        with tracer.start_as_current_span("caller"):
            pool.request("GET", server.url())
        context.detach(token)
    del big, token
    gc.collect()
    assert [reference() for reference in references] == [None] * 5
    assert telemetry.count(semconv.LEASE_DURATION) == 5
    pool.close()


def test_spans_are_not_kept_by_open_leases(
    library: Library, server: HTTP1Server, telemetry: Telemetry
) -> None:
    """A recording span has attributes and events: only its identity is noted."""
    pool = library.core.ConnectionPool()
    with telemetry.tracer_provider.get_tracer("test").start_as_current_span("caller") as span:
        response = pool.handle_request(library.request(server.url()))
    reference = weakref.ref(span)
    del span
    telemetry.exporter.clear()
    gc.collect()
    assert reference() is None
    response.close()
    pool.close()


@pytest.mark.parametrize("read", ["read", "unread"])
def test_sync_pool_goes_with_its_last_reference(
    library: Library, server: HTTP1Server, telemetry: Telemetry, read: str
) -> None:
    """Used and dropped without being closed: pool, connections, requests and response go."""
    pool = library.core.ConnectionPool()
    response = pool.handle_request(library.request(server.url()))
    if read == "read":
        response.read()
        response.close()
        pool.request("GET", server.url())
    (connection,) = pool.connections
    references = [weakref.ref(o) for o in (pool, connection, connection._connection, response)]
    del pool, connection, response
    gc.collect()
    assert [reference() for reference in references] == [None] * 4
    assert telemetry.value(semconv.POOL_LIVE) == 0


def test_pool_needs_no_garbage_collector_for_our_sake(
    library: Library, server: HTTP1Server, telemetry: Telemetry
) -> None:
    """A pool without cycles is freed by its reference count, as without us."""
    gc.collect()
    gc.disable()
    try:
        pool = library.core.ConnectionPool()
        pool.request("GET", server.url())
        pool.close()
        reference = weakref.ref(pool)
        del pool
        assert reference() is None
    finally:
        gc.enable()


async def _whole(library: Library, pool: Any, url: str) -> None:
    response = await pool.handle_async_request(library.request(url))
    await response.aread()
    await response.aclose()


async def _unread(library: Library, pool: Any, url: str) -> None:
    await pool.handle_async_request(library.request(url))


async def _cancelled(library: Library, pool: Any, url: str) -> None:
    task = asyncio.ensure_future(pool.handle_async_request(library.request(url + "silent")))
    await asyncio.sleep(0.05)
    task.cancel()
    await asyncio.wait([task])


@pytest.mark.parametrize("way", [_whole, _unread, _cancelled])
def test_async_pool_task_and_loop_go_with_their_last_reference(
    library: Library,
    server: HTTP1Server,
    telemetry: Telemetry,
    way: Callable[[Library, Any, str], Awaitable[None]],
) -> None:
    """A loop per call, as programs make it that call asyncio.run() again and again."""
    server.reply("/silent", Reply(head_after=server.gate()))
    references: list[weakref.ref[Any]] = []

    async def main() -> None:
        pool = library.core.AsyncConnectionPool()
        references.extend(
            weakref.ref(o) for o in (pool, asyncio.current_task(), asyncio.get_running_loop())
        )
        await way(library, pool, server.url())

    asyncio.run(main())
    gc.collect()
    assert [reference() for reference in references] == [None] * 3
    assert telemetry.value(semconv.POOL_LIVE) == 0
    assert telemetry.value(semconv.ACTIVE_REQUESTS) == 0


def test_thousand_pools_leave_nothing(
    library: Library, server: HTTP1Server, telemetry: Telemetry
) -> None:
    """A client per call: what is kept of them does not grow with their number."""

    def make(number: int) -> None:
        for _ in range(number):
            pool = library.core.ConnectionPool()
            pool.request("GET", server.url())
            pool.close()
        del pool
        telemetry.collect()
        gc.collect()

    def ours() -> int:
        return sum(
            str(type(o).__module__).startswith("opentelemetry.instrumentation.gluellm.pool")
            for o in gc.get_objects()
        )

    make(20)
    before = ours()
    make(200)
    assert ours() <= before + 5


def test_client_goes_with_its_last_reference(
    library: Library, server: HTTP1Server, telemetry: Telemetry
) -> None:
    """A whole client, with what is between it and its pool."""
    client = library.client.Client(trust_env=False)
    assert client.get(server.url()).status_code == 200
    references = [weakref.ref(o) for o in (client, client._transport, client._transport._pool)]
    del client
    gc.collect()
    assert [reference() for reference in references] == [None] * 3
    assert telemetry.value(semconv.POOL_LIVE) == 0
