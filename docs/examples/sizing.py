"""How large a pool should be, computed from its metrics by Little's law.

Calls arrive independently, 20 per second for ten seconds, and each is answered after about a second.
The pool has 10 connections. The program reads the same metrics as a query to Prometheus;
docs/connection-pooling.md has the queries.

    python docs/examples/sizing.py
"""

from __future__ import annotations

import asyncio
import random
import time

import httpx2
from any_llm import AnyLLM
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from gluellm_diagnosis.littles_law import poisson_quantile
from gluellm_pools.fake_provider import Behaviour, FakeProvider
from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor

CONNECTIONS = 10
ARRIVALS_PER_SECOND = 20.0
SECONDS = 10.0
MESSAGES = [{"role": "user", "content": "Hello"}]


async def load(reader: InMemoryMetricReader) -> float:
    """Make the calls, wait for all, and return the seconds over which they arrived."""
    provider = FakeProvider(behaviour=Behaviour(head_delay=0.9, jitter=0.2))
    async with provider:
        client = httpx2.AsyncClient(limits=httpx2.Limits(max_connections=CONNECTIONS))
        llm = AnyLLM.create(
            "openai", api_key="any", api_base=provider.openai_url, http_client=client
        )
        random.seed(1)
        began = time.monotonic()
        calls = []
        while time.monotonic() - began < SECONDS:
            calls.append(asyncio.create_task(llm.acompletion(model="demo", messages=MESSAGES)))
            await asyncio.sleep(random.expovariate(ARRIVALS_PER_SECOND))
        arrived = time.monotonic() - began
        await asyncio.gather(*calls)
        reader.collect()
        await client.aclose()
    return arrived


def total(reader: InMemoryMetricReader, name: str) -> tuple[int, float]:
    """Return count and sum of a histogram over all of its series."""
    points = [
        point
        for resource in reader.get_metrics_data().resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
        if metric.name == name
        for point in metric.data.data_points
    ]
    return sum(point.count for point in points), sum(point.sum for point in points)


def main() -> None:
    """Run the load, then read the metrics."""
    reader = InMemoryMetricReader()
    GlueLLMInstrumentor().instrument(meter_provider=MeterProvider([reader]))
    arrived = asyncio.run(load(reader))
    waits, waited = total(reader, "gluellm.pool.acquire.duration")
    leases, held = total(reader, "gluellm.pool.lease.duration")
    rate = waits / arrived
    lease_time = held / leases
    needed = rate * lease_time
    print(f"limit                        {CONNECTIONS} connections")
    print(f"mean wait for a connection   {waited / waits:.1f} s")
    print(f"arrival rate                 {rate:.1f} requests a second")
    print(f"mean lease time              {lease_time:.2f} s")
    print(f"in use, mean (Little's law)  {rate:.1f} x {lease_time:.2f} = {needed:.1f} connections")
    print(f"enough 99 % of the time      {poisson_quantile(needed)} connections")


if __name__ == "__main__":
    main()
