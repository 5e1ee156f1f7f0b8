"""Ends aiohttp's requests, responses and connectors by finalizers inside every lock of the SDK.

The garbage collector can run at any line, also at one inside the SDK's locks, which are not
reentrant. Arguments: a server's URL that answers at once, and one that never does. Prints "done".
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import sys
import threading
from collections.abc import Iterator
from typing import Any

import aiohttp
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter

from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor

NOT_REENTRANT = type(threading.Lock())
url, silent = sys.argv[1:]

reader = InMemoryMetricReader()
meter_provider = MeterProvider(metric_readers=[reader], shutdown_on_exit=False)
tracer_provider = TracerProvider(shutdown_on_exit=False)
tracer_provider.add_span_processor(
    BatchSpanProcessor(ConsoleSpanExporter(out=open("/dev/null", "w")))  # noqa: PTH123, SIM115
)
GlueLLMInstrumentor().instrument(
    scope="all",
    metrics="full",
    span_min_duration=0,
    meter_provider=meter_provider,
    tracer_provider=tracer_provider,
)
# aiohttp's own finalizers tell the loop's exception handler, which logs.
logging.getLogger("asyncio").disabled = True


def locks() -> list[Any]:
    """Every lock that an object of the SDK, the API or this package has for its own."""
    found: dict[int, Any] = {}
    for candidate in gc.get_objects():
        module = getattr(type(candidate), "__module__", "")
        if not isinstance(module, str) or not module.startswith("opentelemetry."):
            continue
        for value in (getattr(candidate, "__dict__", None) or {}).values():
            if type(value) is NOT_REENTRANT:
                found[id(value)] = value
    return list(found.values())


class Handler(logging.Handler):
    """Whoever logs in a finalizer waits for this, as for a handler that is at work."""

    def __init__(self) -> None:
        super().__init__(level=1)
        self.work = threading.Lock()

    def emit(self, record: logging.LogRecord) -> None:
        with self.work:
            pass


handler = Handler()
logging.getLogger().addHandler(handler)
logging.getLogger("opentelemetry").setLevel(1)


@contextlib.contextmanager
def inside_the_sdk() -> Iterator[None]:
    """This thread holds all locks, as in the middle of a record or a collection."""
    held = [lock for lock in locks() if lock.acquire(blocking=False)]
    assert len(held) > 10, len(held)
    handler.work.acquire()
    try:
        yield
    finally:
        handler.work.release()
        for lock in held:
            lock.release()


class ClosesWhenDropped:
    """As SDKs' clients and streams do it."""

    def __init__(self, close: Any) -> None:
        self.close = close
        self.itself = self  # the garbage collector's, not the last reference's

    def __del__(self) -> None:
        self.close()


async def response_closed_by_a_finalizer() -> None:
    async with aiohttp.ClientSession() as session:
        dropped = ClosesWhenDropped((await session.get(url)).close)
        with inside_the_sdk():
            del dropped
            gc.collect()


async def connector_closed_by_a_finalizer() -> None:
    session = aiohttp.ClientSession()
    response = await session.get(silent.replace("/silent", "/streamed"))
    connector = session.connector
    assert connector is not None
    dropped = ClosesWhenDropped(connector._close)
    with inside_the_sdk():
        del dropped
        gc.collect()
    response.close()
    await session.close()


async def session_dropped() -> None:
    session = aiohttp.ClientSession()
    await (await session.get(url)).read()
    with inside_the_sdk():
        del session
        gc.collect()


async def connection_dropped() -> None:
    """One that nobody has sent a request on, while an exception is being handled."""
    async with aiohttp.ClientSession() as session:
        connector: Any = session.connector
        request = aiohttp.ClientRequest(
            "GET",
            aiohttp.client.URL(url),
            loop=asyncio.get_running_loop(),
            session=session,
        )
        connection = await connector.connect(request, [], aiohttp.ClientTimeout())
        with inside_the_sdk():
            try:
                raise ValueError
            except ValueError:
                del connection
                gc.collect()


async def requests_dropped() -> None:
    """One awaits its head, one is queued behind it; the collector closes their coroutines."""
    connector = aiohttp.TCPConnector(limit=1)
    session = aiohttp.ClientSession(connector=connector)
    coroutines: list[Any] = [session._request("GET", silent) for _ in range(2)]
    tasks = [asyncio.ensure_future(coroutine) for coroutine in coroutines]
    await asyncio.sleep(0.2)
    data = reader.get_metrics_data()
    assert '"http.client.active_requests"' in data.to_json()
    del tasks, data
    with inside_the_sdk():
        for coroutine in coroutines:
            with contextlib.suppress(RuntimeError):
                coroutine.close()
        del coroutines
        gc.collect()
    await session.close()


async def dropped_during_a_collection() -> None:
    """The real thing: a user's own callback is where the collector happens to run."""
    session = aiohttp.ClientSession()
    response = await session.get(silent.replace("/silent", "/streamed"))
    left = [ClosesWhenDropped(response.close), session]
    del response, session

    def callback(options: Any) -> Any:
        left.clear()
        gc.collect()
        return ()

    meter_provider.get_meter("user").create_observable_gauge("user", callbacks=[callback])
    reader.get_metrics_data()
    assert not left


async def main() -> None:
    for _ in range(2):
        reader.get_metrics_data()
        await response_closed_by_a_finalizer()
        await connector_closed_by_a_finalizer()
        await session_dropped()
        await connection_dropped()
    reader.get_metrics_data()
    await requests_dropped()
    await dropped_during_a_collection()


asyncio.run(main())
gc.collect()
ended = reader.get_metrics_data()
for resource in ended.resource_metrics:
    for scope in resource.scope_metrics:
        for metric in scope.metrics:
            if metric.name in ("http.client.active_requests", "gluellm.pool.request.current"):
                assert sum(point.value for point in metric.data.data_points) == 0, metric.name
print("done")
sys.stdout.flush()
