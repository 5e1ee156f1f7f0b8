"""The instrumentation keeps no context, pool, connection, response, task or loop alive."""

import asyncio
import contextlib
import gc
import importlib
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import aiohttp
import grpc
import grpc.aio
import pytest
import urllib3

from opentelemetry import context
from opentelemetry.instrumentation.gluellm.pool import ledger
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from support.grpc_server import GrpcServer
from support.script import Reply
from support.telemetry import Telemetry
from support.waiting import until, wait_until

pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
Keep = Callable[..., None]


def gone(*references: weakref.ref[Any]) -> bool:
    gc.collect()
    return not any(reference() for reference in references)


async def cancelled(request: Any) -> None:
    """Begin a request that is never answered, and cancel it."""
    task = asyncio.ensure_future(request)
    await asyncio.sleep(0.05)
    task.cancel()
    await asyncio.wait([task])


async def with_httpcore(name: str, how: str, url: str, keep: Keep) -> None:
    core: Any = importlib.import_module(name)
    pool = core.AsyncConnectionPool()
    keep(pool, asyncio.current_task(), asyncio.get_running_loop())
    if how == "cancelled":
        await cancelled(pool.request("GET", url + "silent"))
        return
    request = core.Request("GET", url + how, headers=[("Host", "test")])
    response = await pool.handle_async_request(request)
    if how != "unread":
        await response.aread()
        await response.aclose()


async def with_httpcore_sync(name: str, how: str, url: str, keep: Keep) -> None:
    core: Any = importlib.import_module(name)
    pool = core.ConnectionPool()
    response = pool.handle_request(core.Request("GET", url, headers=[("Host", "test")]))
    if how != "unread":
        response.read()
        response.close()
        pool.request("GET", url)
    (connection,) = pool.connections
    keep(pool, connection, connection._connection, response)
    if how == "closed":
        pool.close()


async def with_httpx(name: str, how: str, url: str, keep: Keep) -> None:
    client = importlib.import_module(name).Client(trust_env=False)
    assert client.get(url).status_code == 200
    keep(client, client._transport, client._transport._pool)


async def with_aiohttp(name: str, how: str, url: str, keep: Keep) -> None:
    session = aiohttp.ClientSession()
    if how != "closed":  # then asyncio keeps the session longer than the connector
        keep(session, asyncio.current_task(), asyncio.get_running_loop())
    keep(session.connector)
    if how == "cancelled":
        await cancelled(session.get(url + "silent"))
        return
    response = await session.get(url + how)
    if how != "unread":
        await response.read()
        await (await session.get(url)).read()
    if how == "closed":
        await session.close()


async def with_urllib3(name: str, how: str, url: str, keep: Keep) -> None:
    manager = urllib3.PoolManager()
    response = manager.request("GET", url, preload_content=False)
    keep(manager, response._pool, response._connection, response)
    if how != "unread":
        response.read()
    if how == "closed":
        manager.clear()


async def with_grpc(name: str, how: str, target: str, keep: Keep) -> None:
    channel = grpc.aio.insecure_channel(target)
    keep(channel)
    for _ in range(5):
        call = channel.unary_unary("/")(b"")
        stream = channel.unary_stream("/")(b"")
        keep(call, stream)
        await call
        async for _ in stream:
            pass
        await until(stream.done)
    with grpc.insecure_channel(target) as sync:
        received = sync.unary_stream("/")(b"")
        keep(sync, received)
        list(received)


WAYS = [
    *((with_httpcore, core, how) for core in ("httpcore", "httpcore2") for how in ("whole",)),
    *((with_httpcore, "httpcore2", how) for how in ("unread", "cancelled")),
    *((with_httpcore_sync, "httpcore", how) for how in ("whole", "unread", "closed")),
    (with_httpcore_sync, "httpcore2", "closed"),
    *((with_httpx, client, "whole") for client in ("httpx", "httpx2")),
    *((with_aiohttp, "aiohttp", how) for how in ("whole", "unread", "cancelled", "closed")),
    *((with_urllib3, "urllib3", how) for how in ("whole", "unread", "closed")),
    (with_grpc, "grpc", "whole"),
]
WITHOUT_CYCLES = {
    with_httpcore_sync: ("closed",),
    with_aiohttp: ("closed",),
    with_urllib3: ("whole", "unread", "closed"),
}
"""Ways after which the library's objects are freed without the garbage collector."""


@pytest.mark.parametrize(("way", "name", "how"), WAYS)
def test_nothing_is_kept_after_its_last_reference(way, name, how, server, listen, telemetry):
    """Objects that are freed without the garbage collector still are. No metric counts them later.

    Each way runs on its own loop. Its response is read, unread, cancelled or closed.
    """
    gate = server.gate()
    server.reply("/silent", Reply(head_after=gate))
    server.reply("/unread", Reply(end_after=gate))
    url = listen(GrpcServer).target if way is with_grpc else server.url()
    references: list[weakref.ref[Any]] = []

    def keep(*things: Any) -> None:
        references.extend(weakref.ref(thing) for thing in things)

    gc.collect()
    gc.disable()
    try:
        asyncio.run(way(name, how, url, keep))
        assert references
        if how in WITHOUT_CYCLES.get(way, ()):
            assert not any(reference() for reference in references)
    finally:
        gc.enable()
    wait_until(lambda: gone(*references))
    assert telemetry.value(semconv.POOL_LIVE) == 0
    # A thread of gRPC may still be about to report that a call has ended.
    wait_until(lambda: telemetry.value(semconv.ACTIVE_REQUESTS) == 0)
    assert telemetry.value(semconv.OPEN_CONNECTIONS) == 0
    wait_until(lambda: "gluellm-grpc-channels" not in {t.name for t in threading.enumerate()})


class Big:
    """A large object in an application's context, such as a conversation."""


@contextlib.contextmanager
def big_context(telemetry: Telemetry) -> Iterator[weakref.ref[Big]]:
    """Attach a context with a large object, and start a span of the application."""
    big = Big()
    token = context.attach(context.set_value("conversation", big))
    with telemetry.tracer_provider.get_tracer("test").start_as_current_span("caller"):
        yield weakref.ref(big)
    context.detach(token)


def test_contexts_are_not_kept_by_open_leases_and_buffered_records(library, server, telemetry):
    """A response may stay open for minutes. The contexts of 2 000 records held 147 MB."""
    pool = library.core.ConnectionPool()
    manager = urllib3.PoolManager()
    references = []
    for _ in range(3):
        with big_context(telemetry) as reference:
            references.append(reference)
            pool.request("GET", server.url())
            manager.request("GET", server.url())
    with big_context(telemetry) as reference:
        references.append(reference)
        response = pool.handle_request(library.request(server.url()))
        other = manager.request("GET", server.url(), preload_content=False)
    assert gone(*references)
    assert telemetry.value(semconv.ACTIVE_REQUESTS) == 2
    assert telemetry.count(semconv.LEASE_DURATION) == 6
    response.close()
    other.close()
    pool.close()


def test_context_is_not_kept_by_requests_of_aiohttp(server, telemetry):
    """The test covers an open lease and records that wait for a collection."""
    server.reply("/streamed", Reply(end_after=server.gate()))
    references: list[weakref.ref[Any]] = []

    async def get(session: aiohttp.ClientSession) -> None:
        async with session.get(server.url()) as response:
            await response.read()

    async def ask(session: aiohttp.ClientSession) -> aiohttp.ClientResponse:
        with big_context(telemetry) as reference:
            references.append(reference)
            await get(session)
            return await session.get(server.url("/streamed"))

    async def main() -> None:
        without_timers = aiohttp.ClientTimeout(total=None)
        async with aiohttp.ClientSession(timeout=without_timers) as session:
            # asyncio keeps the context in which a connection is created.
            await get(session)
            response = await asyncio.create_task(ask(session))
            await until(lambda: gone(*references))
            assert telemetry.value(semconv.ACTIVE_REQUESTS) == 1
            response.close()

    asyncio.run(main())


def test_spans_are_not_kept_by_open_leases(library, server, telemetry):
    """A recording span has attributes and events, so only its ids are kept."""
    pool = library.core.ConnectionPool()
    with telemetry.tracer_provider.get_tracer("test").start_as_current_span("caller") as span:
        response = pool.handle_request(library.request(server.url()))
    reference = weakref.ref(span)
    del span
    telemetry.exporter.clear()
    assert gone(reference)
    response.close()
    pool.close()


@pytest.mark.parametrize(
    ("way", "name"),
    [(with_httpcore_sync, "httpcore2"), (with_aiohttp, "aiohttp"), (with_urllib3, "urllib3")],
)
def test_memory_does_not_grow_with_the_number_of_pools(way, name, server, telemetry, monkeypatch):
    """A program may build a client per call."""
    monkeypatch.setattr(ledger, "MOST_ANSWERED", 10)  # so that the first pools reach it

    async def make(number: int) -> None:
        for _ in range(number):
            await way(name, "closed", server.url(), lambda *_: None)

    def ours() -> int:
        telemetry.collect()
        gc.collect()
        modules = [str(type(thing).__module__) for thing in gc.get_objects()]
        return sum(m.startswith("opentelemetry.instrumentation.gluellm.pool") for m in modules)

    asyncio.run(make(20))
    before = ours()
    asyncio.run(make(100))
    assert ours() < before + 50  # the watch and the collector's order add a few at any time


def test_requests_leave_no_garbage_for_the_collector(server, telemetry):
    """The instrumentation's objects are freed with their last reference."""
    with urllib3.HTTPConnectionPool("127.0.0.1", server.port) as pool:
        pool.request("GET", "/")
        gc.collect()
        gc.disable()
        try:
            for preload in (True, False) * 10:
                response = pool.request("GET", "/", preload_content=preload)
                response.read()
            del response
            telemetry.collect()
            gc.set_debug(gc.DEBUG_SAVEALL)
            gc.collect()
            ours = [thing for thing in gc.garbage if "gluellm" in type(thing).__module__]
        finally:
            gc.set_debug(0)
            gc.garbage.clear()
            gc.enable()
    assert ours == []
