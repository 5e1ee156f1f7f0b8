"""Makes calls of every kind with a changed copy of gRPC, and tells what was observed.

Arguments: the target of a server, and of nobody. Prints JSON.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from collections.abc import Callable
from typing import Any

import grpc
import grpc.aio
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor

target, nobody = sys.argv[1:]
warnings: list[str] = []


class Keeping(logging.Handler):
    """Keeps what people are told."""

    def emit(self, record: logging.LogRecord) -> None:
        warnings.append(record.getMessage())


logging.getLogger("opentelemetry").addHandler(Keeping(level=logging.WARNING))
reader = InMemoryMetricReader()
GlueLLMInstrumentor().instrument(
    scope="all", meter_provider=MeterProvider(metric_readers=[reader], shutdown_on_exit=False)
)


def collect() -> dict[str, list[Any]]:
    """Points by metric."""
    data = reader.get_metrics_data()
    return {
        metric.name: list(metric.data.data_points)
        for resource in (data.resource_metrics if data else ())
        for scope in resource.scope_metrics
        for metric in scope.metrics
    }


early = {
    point.attributes["gluellm.seam"]: point.value
    for point in collect()["gluellm.instrumentation.seam"]
    if point.attributes["gluellm.pool.library"] == "grpc"
}
results: list[str] = []


def noted(work: Callable[[], Any]) -> None:
    try:
        results.append(str(work()))
    except grpc.RpcError as error:
        results.append(error.code().name)


def sync_calls() -> None:
    with grpc.insecure_channel(target) as channel:
        noted(lambda: channel.unary_unary("/")(b""))
        noted(lambda: channel.unary_unary("/").future(b"").result())
        noted(lambda: list(channel.unary_stream("/")(b"")))
        noted(lambda: channel.stream_unary("/")(iter([b""])))
        stream = channel.unary_stream("/")(b"")
        stream.initial_metadata()
        noted(stream.cancel)
        collect()
    with grpc.insecure_channel(nobody) as channel:
        noted(lambda: channel.unary_unary("/")(b""))


async def aio_calls() -> None:
    async with grpc.aio.insecure_channel(target) as channel:
        results.append(str(await channel.unary_unary("/")(b"", wait_for_ready=True)))
        results.append(str([message async for message in channel.unary_stream("/")(b"")]))
        stream = channel.unary_stream("/")(b"")
        await stream.initial_metadata()
        results.append(str(stream.cancel()))
        collect()
    async with grpc.aio.insecure_channel(nobody) as channel:
        try:
            await channel.unary_unary("/")(b"")
        except grpc.RpcError as error:
            results.append(error.code().name)


sync_calls()
asyncio.run(aio_calls())
points = collect()
told = {
    "results": results,
    "warnings": warnings,
    "seams": early,
    "errors": {
        point.attributes["gluellm.instrumentation.kind"]: point.value
        for point in points.get("gluellm.instrumentation.errors", ())
    },
    "metrics": {
        found: sum(getattr(point, "count", getattr(point, "value", 0)) for point in values)
        for found, values in points.items()
    },
}
GlueLLMInstrumentor().uninstrument()
print(json.dumps(told))
