"""Makes requests of every kind with a changed copy of aiohttp, and tells what was observed.

Arguments: the URL of a server, and of one that answers late. Prints JSON.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from typing import Any

import aiohttp
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor

url, late = sys.argv[1:]
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
    if point.attributes["gluellm.pool.library"] == "aiohttp"
}
results: list[str] = []


async def get(session: aiohttp.ClientSession, target: str, **timeouts: float) -> None:
    try:
        async with session.get(target, timeout=aiohttp.ClientTimeout(**timeouts)) as response:
            await response.read()
    except Exception as error:
        results.append(type(error).__name__)
    else:
        results.append(str(response.status))


async def main() -> None:
    connector = aiohttp.TCPConnector(limit=1, keepalive_timeout=0.2)
    async with aiohttp.ClientSession(connector=connector) as session:
        await get(session, url)
        holder = asyncio.ensure_future(get(session, late))
        await asyncio.sleep(0.02)
        await get(session, url, connect=0.01)
        waiter = asyncio.ensure_future(get(session, url))
        await asyncio.sleep(0.02)
        collect()
        await asyncio.gather(holder, waiter)
        await get(session, late, total=0.05)
        await asyncio.sleep(0.3)
        collect()
        await get(session, url)
    async with aiohttp.ClientSession() as session:
        await get(session, "http://127.0.0.1:9")


asyncio.run(main())
points = collect()
collect()
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
