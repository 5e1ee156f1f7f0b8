"""Ends responses and pools of urllib3 by finalizers, its own among them, inside the SDK's locks.

urllib3's responses close their connection when they are dropped, and its pools their idle
connections. Argument: a server's URL. Prints "done".
"""

from __future__ import annotations

import contextlib
import gc
import logging
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import urllib3
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter

from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor

NOT_REENTRANT = type(threading.Lock())
(url,) = sys.argv[1:]

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
    """Whoever of ours logs in a finalizer waits for this, as for a handler that is at work."""

    def __init__(self) -> None:
        super().__init__(level=1)
        self.work = threading.Lock()

    def emit(self, record: logging.LogRecord) -> None:
        with self.work:
            pass


handler = Handler()
logging.getLogger("opentelemetry").addHandler(handler)
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


def answered(pool: Any, **settings: Any) -> Any:
    """A response whose body nobody has read."""
    return pool.request("GET", url, **{"preload_content": False, **settings})


def response_dropped() -> None:
    pool = urllib3.PoolManager()
    response = answered(pool)
    with inside_the_sdk():
        del response
        gc.collect()
    pool.clear()


def read_response_dropped_unreleased() -> None:
    pool = urllib3.PoolManager()
    response = answered(pool, preload_content=True, release_conn=False)
    with inside_the_sdk():
        del response
        gc.collect()


def pool_dropped_with_idle_connections() -> None:
    pool = urllib3.PoolManager()
    pool.request("GET", url)
    cycle = [pool]
    cycle.append(cycle)  # type: ignore[arg-type]
    del pool
    with inside_the_sdk():
        del cycle
        gc.collect()


def pool_and_response_dropped() -> None:
    pool = urllib3.PoolManager(maxsize=2)
    pair = [pool, answered(pool), answered(pool)]
    pair.append(pair)
    del pool
    with inside_the_sdk():
        del pair
        gc.collect()


def generator_dropped() -> None:
    pool = urllib3.PoolManager()
    pieces = answered(pool).stream(1)
    next(pieces)
    with inside_the_sdk():
        del pieces
        gc.collect()


def dropped_during_a_collection(drop: Callable[[], Any]) -> None:
    """The real thing: a user's own callback is where the collector happens to run."""
    left = [drop()]

    def callback(options: Any) -> Any:
        left.clear()
        gc.collect()
        return ()

    meter_provider.get_meter("user").create_observable_gauge("user", callbacks=[callback])
    reader.get_metrics_data()
    assert not left


for _ in range(2):
    reader.get_metrics_data()
    response_dropped()
    read_response_dropped_unreleased()
    pool_dropped_with_idle_connections()
    pool_and_response_dropped()
    generator_dropped()
dropped_during_a_collection(lambda: answered(urllib3.PoolManager()))
ended = reader.get_metrics_data()
assert ended is not None
for resource in ended.resource_metrics:
    for scope in resource.scope_metrics:
        for metric in scope.metrics:
            if metric.name in (
                "http.client.active_requests",
                "http.client.open_connections",
                "gluellm.pool.request.current",
                "gluellm.instrumentation.errors",
            ):
                total = sum(getattr(point, "value", 0) for point in metric.data.data_points)
                assert total == 0, (metric.name, total)
print("done")
sys.stdout.flush()
