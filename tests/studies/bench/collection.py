"""Measures a collection, draining the outbox, and the delay that both cause in an event loop.

``python -m studies.bench.collection`` prints the numbers as JSON.
"""

import asyncio
import gc
import json
import statistics
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import httpcore
import httpx2
from opentelemetry.context import get_current

from opentelemetry.instrumentation.gluellm.attribution.context import current_call
from support.installation import installed

from . import internals
from .network import AsyncBackend, streamed
from .pools import send, used_pools
from .workload import OFF, OURS, Instrumentation, Sdk, any_llm_call, milliseconds, observed

_POOLS = (1_000, 10_000)
_COLLECTIONS = 15
_DRAINS = 7
_STALLS = 9
_TICK = 0.001
_LEASES = 2_000
_TIMES = range(2_000)
_SECONDS = 5.0
_URL = "http://api.test/v1/chat/completions"


def _collections() -> dict[str, float]:
    found: dict[str, float] = {}
    sdk = observed()
    pools: list[httpcore.ConnectionPool] = []
    for count in _POOLS:
        pools += used_pools(count - len(pools))
        found[f"points at {count}"] = sum(1 for _ in sdk.points())
        gc.collect()
        source = installed()._source
        whole, ours = [], []
        for _ in range(_COLLECTIONS):
            whole.append(milliseconds(sdk.reader.get_metrics_data)[0])
            ours.append(milliseconds(source.collect)[0])
        found[f"collection at {count}"] = statistics.median(whole)
        found[f"state at {count}"] = statistics.median(ours)
    return found


def _real_items(sdk: Sdk) -> list[Any]:
    """What real requests leave in the outbox, each with a span of its own."""
    (pool,) = used_pools(1)
    internals.drain()
    for _ in range(_LEASES):
        with sdk.span():
            send(pool)
    outbox = internals.outbox()
    items = list(outbox.items)
    outbox.items.clear()
    return items


def _records(sdk: Sdk) -> int:
    """Histogram values that the SDK has been given so far."""
    return sum(getattr(point, "count", 0) for _, point in sdk.points())


def _drains() -> dict[str, float]:
    sdk = observed()
    items = _real_items(sdk)
    # Warms up, and counts the records of the items.
    before = _records(sdk)
    internals.fill(items, len(items))
    recorded = _records(sdk) - before
    took = []
    for _ in range(_DRAINS):
        internals.fill(items, len(items))
        gc.collect()
        took.append(milliseconds(internals.drain)[0])
    return {"drain per record": statistics.median(took) * 1e3 / recorded, "record": _record(sdk)}


def _record(sdk: Sdk) -> float:
    """Microseconds of one record of the SDK's histogram with five attributes, in a span."""
    histogram = sdk.meters.get_meter("program").create_histogram("any")
    attributes = {f"attribute.{number}": "value" for number in range(5)}
    with sdk.span():
        context = get_current()
        took = [
            milliseconds(lambda: [histogram.record(0.1, attributes, context) for _ in _TIMES])[0]
            for _ in range(_DRAINS)
        ]
    return statistics.median(took) * 1e3 / len(_TIMES)


async def _latest_tick(collect: Callable[[], Any]) -> float:
    """Milliseconds by which a loop's timer was late at worst while ``collect`` ran in a thread."""
    worst = 0.0
    thread = threading.Thread(target=collect)
    await asyncio.sleep(0.05)
    thread.start()
    while thread.is_alive():
        due = time.perf_counter() + _TICK
        await asyncio.sleep(_TICK)
        worst = max(worst, time.perf_counter() - due)
    thread.join()
    return worst * 1e3


def _stalls() -> dict[str, float]:
    sdk = observed()
    items = _real_items(sdk)
    late, idle = [], []
    for _ in range(_STALLS):
        internals.fill(items, internals.outbox().capacity)
        gc.collect()
        late.append(asyncio.run(_latest_tick(sdk.reader.get_metrics_data)))
        idle.append(asyncio.run(_latest_tick(lambda: time.sleep(0.1))))
    return {
        "stall": statistics.median(late),
        "stall at worst": max(late),
        "stall of an idle process": statistics.median(idle),
    }


async def _idle_with(requests: int, what: str) -> float:
    """CPU milliseconds per second of an idle loop that holds ``requests`` unread streams."""
    instrumentation = Instrumentation("httpx2", Sdk())
    instrumentation.turn(what)
    token = current_call.set(any_llm_call() if what == OURS else None)
    client = httpx2.AsyncClient(trust_env=False)
    client._transport._pool._network_backend = AsyncBackend(streamed([b"data: x\n\n"] * 10))
    held = [
        await client.send(client.build_request("POST", _URL), stream=True) for _ in range(requests)
    ]
    current_call.reset(token)
    await asyncio.sleep(1.5)  # the watch begins
    began = time.process_time()
    await asyncio.sleep(_SECONDS)
    took = time.process_time() - began
    for response in held:
        await response.aclose()
    await client.aclose()
    instrumentation.turn(OFF)
    return 1e3 * took / _SECONDS


def _watch() -> dict[str, float]:
    """CPU milliseconds per second of the watch and the loop's timer, by requests in flight."""
    return {
        f"{requests} requests": asyncio.run(_idle_with(requests, OURS))
        - asyncio.run(_idle_with(requests, OFF))
        for requests in (1, 100)
    }


_PARTS = {"watch": _watch, "collections": _collections, "drains": _drains, "stalls": _stalls}

if __name__ == "__main__":
    print(json.dumps(_PARTS[sys.argv[1]]()))
