"""Ends responses, requests and pools by finalizers while this thread holds every lock of the SDK.

The garbage collector can run at any line, also at one inside the SDK's locks, which are not
reentrant: a finalizer that calls the SDK there waits for its own thread. Arguments: the pool
library, a server's URL that answers and one that never does. Prints "done".
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import importlib
import logging
import sys
import threading
from collections.abc import Iterator
from typing import Any

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter

from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor

NOT_REENTRANT = type(threading.Lock())
name, url, silent = sys.argv[1:]
core = importlib.import_module(name)

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

    def __init__(self, target: Any) -> None:
        self.target = target
        self.itself = self  # the garbage collector's, not the last reference's

    def __del__(self) -> None:
        self.target.close()


def answered(pool: Any) -> Any:
    """A response whose body nobody has read."""
    return pool.handle_request(core.Request("GET", url, headers=[("Host", "test")]))


def response_closed_by_a_finalizer() -> None:
    pool = core.ConnectionPool()
    dropped = ClosesWhenDropped(answered(pool))
    with inside_the_sdk():
        del dropped
        gc.collect()
    pool.close()


def pool_closed_by_a_finalizer() -> None:
    pool = core.ConnectionPool()
    response = answered(pool)
    dropped = ClosesWhenDropped(pool)
    with inside_the_sdk():
        del dropped, pool
        gc.collect()
    response.close()


def pool_and_response_dropped() -> None:
    pool = core.ConnectionPool()
    pair = [pool, answered(pool)]
    pair.append(pair)
    del pool
    with inside_the_sdk():
        del pair
        gc.collect()


async def requests_dropped() -> None:
    """One awaits its head, one is queued behind it; the collector closes their coroutines."""
    pool = core.AsyncConnectionPool(max_connections=1)
    request = core.Request("GET", silent, headers=[("Host", "test")])
    coroutines = [pool.handle_async_request(request) for _ in range(2)]
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


def dropped_during_a_collection() -> None:
    """The real thing: a user's own callback is where the collector happens to run."""
    pool = core.ConnectionPool()
    pair = [pool, ClosesWhenDropped(answered(pool))]
    pair.append(pair)
    del pool
    left = [pair]
    del pair

    def callback(options: Any) -> Any:
        left.clear()
        gc.collect()
        return ()

    meter_provider.get_meter("user").create_observable_gauge("user", callbacks=[callback])
    reader.get_metrics_data()
    assert not left


for _ in range(2):
    reader.get_metrics_data()
    response_closed_by_a_finalizer()
    pool_closed_by_a_finalizer()
    pool_and_response_dropped()
reader.get_metrics_data()
asyncio.run(requests_dropped())
dropped_during_a_collection()
handler.work.acquire(blocking=False)
handler.work.release()
ended = reader.get_metrics_data()
for resource in ended.resource_metrics:
    for scope in resource.scope_metrics:
        for metric in scope.metrics:
            if metric.name in ("http.client.active_requests", "gluellm.pool.request.current"):
                assert sum(point.value for point in metric.data.data_points) == 0, metric.name
print("done")
sys.stdout.flush()
