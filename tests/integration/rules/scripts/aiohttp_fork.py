"""Forks with records in the buffer, a live connector and a request under way.

Arguments: a server's URL, and one that answers late. Prints two lines of JSON, the child's first.
The child goes on with the session that it has inherited, in a loop of its own, as a program does
that keeps one in a module.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import Any

import aiohttp
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor

url, late = sys.argv[1:]
reader = InMemoryMetricReader()
meter_provider = MeterProvider(metric_readers=[reader], shutdown_on_exit=False)
GlueLLMInstrumentor().instrument(scope="all", meter_provider=meter_provider)


def collect() -> dict[str, float]:
    """Values by metric, and counts by histogram; summed over attributes."""
    found: dict[str, float] = {}
    data = reader.get_metrics_data()
    for resource in data.resource_metrics if data else ():
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                for point in metric.data.data_points:
                    amount = point.count if hasattr(point, "count") else point.value
                    found[metric.name] = found.get(metric.name, 0) + amount
    return found


async def get(session: aiohttp.ClientSession, target: str) -> None:
    async with session.get(target) as response:
        await response.read()


async def fresh() -> None:
    async with aiohttp.ClientSession() as session:
        await get(session, url)


told: dict[str, Any] = {}


async def main() -> None:
    async with aiohttp.ClientSession() as session:
        for _ in range(3):
            await get(session, url)
        running = asyncio.ensure_future(get(session, late))
        while session.connector is None or not session.connector._acquired:
            await asyncio.sleep(0.01)
        process = os.fork()
        if process == 0:
            asyncio.events._set_running_loop(None)
            told["before"] = collect()
            asyncio.run(fresh())
            told["after"] = collect()
            print(json.dumps(told), flush=True)
            os._exit(0)
        assert os.waitpid(process, 0)[1] == 0  # noqa: ASYNC222
        told["before"] = collect()
        await running
        told["after"] = collect()
        print(json.dumps(told), flush=True)


asyncio.run(main())
