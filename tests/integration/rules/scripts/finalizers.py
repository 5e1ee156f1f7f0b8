"""End responses, requests, pools and channels in finalizers, while the SDK's locks are held.

The garbage collector can run at any line, even while its thread holds locks of the SDK, which are
not reentrant: a finalizer that calls the SDK then deadlocks. Arguments: URLs that are answered at
once, never, and not to their end; the target of a gRPC server that never ends ``/held``. Prints the
name of each library before it tests it, and "done".
"""

import asyncio
import contextlib
import gc
import importlib
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import aiohttp
import grpc
import grpc.aio
import urllib3
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter

from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor, snapshot
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from support.telemetry import Telemetry

url, silent, streamed, target = sys.argv[1:]
telemetry = Telemetry()
NOT_REENTRANT = type(threading.Lock())


class Handler(logging.Handler):
    """A handler with a lock, which hangs if a finalizer logs while the lock is held."""

    work = threading.Lock()

    def emit(self, record: logging.LogRecord) -> None:
        with self.work:
            pass


def locks() -> Iterator[Any]:
    """Yield all locks of objects of the SDK, the API and this package."""
    for candidate in gc.get_objects():
        if str(getattr(type(candidate), "__module__", "")).startswith("opentelemetry."):
            for value in (getattr(candidate, "__dict__", None) or {}).values():
                if type(value) is NOT_REENTRANT:
                    yield value


@contextlib.contextmanager
def inside() -> Iterator[None]:
    """Hold all locks in this thread, as in the middle of a recording or a collection."""
    held = [lock for lock in [*early, *locks(), Handler.work] if lock.acquire(blocking=False)]
    assert len(held) > 10, len(held)
    try:
        yield
    finally:
        for lock in held:
            lock.release()


def drop(left: list[Any]) -> None:
    """Drop the last references to objects while the locks are held, and collect their cycles."""
    with inside():
        left.clear()
        gc.collect()


def drop_while_collecting(name: str, left: list[Any]) -> None:
    """Drop objects in a user's callback during a collection of metrics."""

    def callback(_options: Any) -> Any:
        if left:
            left.clear()
            gc.collect()
        return ()

    telemetry.meter_provider.get_meter("user").create_observable_gauge(name, callbacks=[callback])
    telemetry.collect()
    assert not left


class WhenDropped:
    """Call a function in the finalizer, as SDKs' clients and streams do."""

    def __init__(self, does: Callable[[], Any]) -> None:
        self.does = does
        self.itself = self  # a cycle, so that only the garbage collector finalizes it

    def __del__(self) -> None:
        self.does()


def cycle(*things: Any) -> list[Any]:
    """Put objects into a cycle, which keeps them until a garbage collection."""
    made = list(things)
    made.append(made)
    return made


def phases() -> list[str]:
    """Return the phases of the requests in flight."""
    return [request.phase for pool in snapshot().pools for request in pool.requests]


async def drop_requests(coroutines: list[Any]) -> None:
    """Drop a request that awaits its response, and one that is queued."""
    tasks = [asyncio.ensure_future(coroutine) for coroutine in coroutines]
    while sorted(phases()) != ["awaiting_response", "queued"]:
        await asyncio.sleep(0.01)
    del tasks
    with inside():
        for coroutine in coroutines:
            with contextlib.suppress(RuntimeError):
                coroutine.close()
        coroutines.clear()
        gc.collect()


def httpcore(name: str) -> None:
    core = importlib.import_module(name)

    def answered(pool: Any) -> Any:
        return pool.handle_request(core.Request("GET", url, headers=[("Host", "test")]))

    def in_a_cycle(pool: Any) -> Any:
        return cycle(pool, answered(pool))

    for _ in range(2):
        telemetry.collect()
        pool = core.ConnectionPool()
        drop([WhenDropped(answered(pool).close)])
        pool.close()
        pool = core.ConnectionPool()
        response = answered(pool)
        left = [WhenDropped(pool.close)]
        del pool
        drop(left)
        response.close()
        drop([in_a_cycle(core.ConnectionPool())])
    telemetry.collect()

    async def requests() -> None:
        pool = core.AsyncConnectionPool(max_connections=1)
        request = core.Request("GET", silent, headers=[("Host", "test")])
        await drop_requests([pool.handle_async_request(request) for _ in range(2)])

    asyncio.run(requests())
    pool = core.ConnectionPool()
    left = [cycle(pool, WhenDropped(answered(pool).close))]
    del pool
    drop_while_collecting(name, left)


async def with_aiohttp() -> None:
    for _ in range(2):
        telemetry.collect()
        async with aiohttp.ClientSession() as session:
            drop([WhenDropped((await session.get(url)).close)])
        session = aiohttp.ClientSession()
        response = await session.get(streamed)
        assert session.connector is not None
        drop([WhenDropped(session.connector._close)])
        response.close()
        await session.close()
        session = aiohttp.ClientSession()
        await (await session.get(url)).read()
        left: list[Any] = [session]
        del session
        drop(left)
        async with aiohttp.ClientSession() as session:
            # A connection without a request, while an exception is being handled.
            connector: Any = session.connector
            request = aiohttp.ClientRequest(
                "GET", aiohttp.client.URL(url), loop=asyncio.get_running_loop(), session=session
            )
            left = [await connector.connect(request, [], aiohttp.ClientTimeout())]
            try:
                raise ValueError
            except ValueError:
                drop(left)
    telemetry.collect()
    session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1))
    await drop_requests([session._request("GET", silent) for _ in range(2)])
    await session.close()
    session = aiohttp.ClientSession()
    left = [WhenDropped((await session.get(streamed)).close), session]
    del session
    drop_while_collecting("aiohttp", left)


def with_urllib3() -> None:
    def answered(pool: Any, **settings: Any) -> Any:
        return pool.request("GET", url, **{"preload_content": False, **settings})

    def with_responses(pool: Any) -> Any:
        return cycle(pool, answered(pool), answered(pool))

    def read(pool: Any) -> Any:
        answered(pool, preload_content=True)
        return cycle(pool)

    for _ in range(2):
        telemetry.collect()
        pool = urllib3.PoolManager()
        drop([answered(pool)])
        drop([answered(pool, preload_content=True, release_conn=False)])
        pool.clear()
        drop([read(urllib3.PoolManager())])
        drop([with_responses(urllib3.PoolManager(maxsize=2))])
        pieces = answered(urllib3.PoolManager()).stream(1)
        next(pieces)
        left = [pieces]
        del pieces
        drop(left)
    drop_while_collecting("urllib3", [answered(urllib3.PoolManager())])


def with_grpc() -> None:
    for _ in range(2):
        channel = grpc.insecure_channel(target)
        call = channel.unary_stream("/held")(b"")
        next(call)
        left: list[Any] = [call]
        del call
        drop(left)
        channel.close()
        channel = grpc.insecure_channel(target)
        channel.unary_unary("/")(b"")
        left = [channel]
        del channel
        drop(left)

    async def asynchronous() -> None:
        for _ in range(2):
            telemetry.collect()
            async with grpc.aio.insecure_channel(target) as channel:
                call = channel.unary_stream("/held")(b"")
                await call.read()
                drop([WhenDropped(call.cancel)])
            async with grpc.aio.insecure_channel("127.0.0.1:9") as channel:
                call = channel.unary_stream("/held")(b"", wait_for_ready=True)
                await asyncio.sleep(0.05)
                drop([WhenDropped(call.cancel)])
            channel = grpc.aio.insecure_channel(target)
            await channel.unary_unary("/")(b"")
            left: list[Any] = [channel]
            del channel
            drop(left)

    asyncio.run(asynchronous())


CASES: dict[str, Callable[[], None]] = {
    "httpcore": lambda: httpcore("httpcore"),
    "httpcore2": lambda: httpcore("httpcore2"),
    "aiohttp": lambda: asyncio.run(with_aiohttp()),
    "urllib3": with_urllib3,
    "grpc": with_grpc,
}
tracers = TracerProvider(shutdown_on_exit=False)
tracers.add_span_processor(
    BatchSpanProcessor(ConsoleSpanExporter(out=open("/dev/null", "w")))  # noqa: PTH123, SIM115
)
GlueLLMInstrumentor().instrument(
    scope="all",
    metrics="full",
    span_min_duration=0,
    meter_provider=telemetry.meter_provider,
    tracer_provider=tracers,
)
logging.getLogger("opentelemetry").addHandler(Handler(level=1))
logging.getLogger("opentelemetry").setLevel(1)
# aiohttp's own finalizers call the loop's exception handler, which logs.
logging.getLogger("asyncio").disabled = True
early = list(locks())
gc.freeze()  # else each collection would traverse all imported modules
IN_FLIGHT = (semconv.ACTIVE_REQUESTS, semconv.REQUEST_CURRENT)
for name, case in CASES.items():
    print(name, flush=True)
    case()
    gc.collect()
    until = time.monotonic() + 60
    while sum(map(telemetry.value, IN_FLIGHT)) and time.monotonic() < until:
        time.sleep(0.01)
    assert sum(map(telemetry.value, IN_FLIGHT)) == 0
    if name == "urllib3":
        assert telemetry.value(semconv.OPEN_CONNECTIONS, library="urllib3") == 0
assert telemetry.value(semconv.INSTRUMENTATION_ERRORS) == 0
print("done", flush=True)
