"""Ends gRPC's calls and channels by finalizers while this thread holds every lock of the SDK.

The garbage collector can run at any line, also at one inside the SDK's locks, which are not
reentrant. Argument: a server's target, whose ``/held`` is never answered to its end. Prints "done".
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import grpc
import grpc.aio
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter

from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor

NOT_REENTRANT = type(threading.Lock())
(target,) = sys.argv[1:]

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


@contextlib.contextmanager
def inside_the_sdk() -> Iterator[None]:
    """This thread holds all locks, as in the middle of a record or a collection."""
    held = [lock for lock in locks() if lock.acquire(blocking=False)]
    assert len(held) > 10, len(held)
    try:
        yield
    finally:
        for lock in held:
            lock.release()


class CancelsWhenDropped:
    """As SDKs' streams do it."""

    def __init__(self, call: Any) -> None:
        self.call = call
        self.itself = self  # the garbage collector's, not the last reference's

    def __del__(self) -> None:
        self.call.cancel()


def sync_stream_dropped() -> None:
    channel = grpc.insecure_channel(target)
    call = channel.unary_stream("/held")(b"")
    next(call)
    with inside_the_sdk():
        del call
        gc.collect()
    channel.close()


def sync_channel_dropped() -> None:
    channel = grpc.insecure_channel(target)
    channel.unary_unary("/")(b"")
    with inside_the_sdk():
        del channel
        gc.collect()


async def aio_stream_cancelled_by_a_finalizer(*, waits: bool) -> None:
    async with grpc.aio.insecure_channel(target if not waits else "127.0.0.1:9") as channel:
        call = channel.unary_stream("/held")(b"", wait_for_ready=waits)
        if waits:
            await asyncio.sleep(0.05)
        else:
            await call.read()
        dropped = CancelsWhenDropped(call)
        with inside_the_sdk():
            del dropped, call
            gc.collect()


async def aio_channel_dropped() -> None:
    channel = grpc.aio.insecure_channel(target)
    await channel.unary_unary("/")(b"")
    with inside_the_sdk():
        del channel
        gc.collect()


async def main() -> None:
    for _ in range(2):
        reader.get_metrics_data()
        await aio_stream_cancelled_by_a_finalizer(waits=False)
        await aio_stream_cancelled_by_a_finalizer(waits=True)
        await aio_channel_dropped()


def active() -> float:
    """Calls under way, as a collection tells."""
    data = reader.get_metrics_data()
    return sum(
        point.value
        for resource in (data.resource_metrics if data else ())
        for scope in resource.scope_metrics
        for metric in scope.metrics
        if metric.name in ("http.client.active_requests", "gluellm.pool.request.current")
        for point in metric.data.data_points
    )


for _ in range(2):
    sync_stream_dropped()
    sync_channel_dropped()
asyncio.run(main())
until = time.monotonic() + 5
while active() and time.monotonic() < until:
    time.sleep(0.01)
assert active() == 0
print("done")
sys.stdout.flush()
