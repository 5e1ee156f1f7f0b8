"""What a collection costs, what draining the outbox costs, and whether an event loop feels it.

``python -m studies.bench.collection`` prints the numbers as JSON.
"""

from __future__ import annotations

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

from . import internals
from .pools import send, used_pools
from .workload import OURS, Instrumentation, Sdk

_POOLS = (1_000, 10_000)
_COLLECTIONS = 15
_DRAINS = 7
_STALLS = 9
_TICK = 0.001
_LEASES = 2_000


def _milliseconds(work: Callable[[], Any]) -> float:
    began = time.thread_time_ns()
    work()
    return (time.thread_time_ns() - began) / 1e6


def _collections() -> dict[str, float]:
    found: dict[str, float] = {}
    sdk = Sdk()
    Instrumentation("httpx", sdk).turn(OURS)
    pools: list[httpcore.ConnectionPool] = []
    for count in _POOLS:
        pools += used_pools(count - len(pools))
        found[f"points at {count}"] = sum(1 for _ in sdk.points())
        gc.collect()
        source = internals.installation()._source
        whole, ours = [], []
        for _ in range(_COLLECTIONS):
            whole.append(_milliseconds(sdk.reader.get_metrics_data))
            ours.append(_milliseconds(source.collect))
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
    items = list(internals.waiting())
    internals.waiting().clear()
    return items


def _records(sdk: Sdk) -> int:
    """Histogram values that the SDK has been given so far."""
    return sum(getattr(point, "count", 0) for _, point in sdk.points())


def _drains() -> dict[str, float]:
    sdk = Sdk()
    Instrumentation("httpx", sdk).turn(OURS)
    items = _real_items(sdk)
    # Warms up, and tells how many records the items make.
    before = _records(sdk)
    internals.fill(items, len(items))
    recorded = _records(sdk) - before
    took = []
    for _ in range(_DRAINS):
        internals.fill(items, len(items))
        gc.collect()
        took.append(_milliseconds(internals.drain))
    return {
        "drain per record": statistics.median(took) * 1e3 / recorded,
        "records per request": recorded / _LEASES,
        "items per request": len(items) / _LEASES,
    }


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
    sdk = Sdk()
    Instrumentation("httpx", sdk).turn(OURS)
    items = _real_items(sdk)
    late, idle = [], []
    for _ in range(_STALLS):
        internals.fill(items, internals.capacity())
        gc.collect()
        late.append(asyncio.run(_latest_tick(sdk.reader.get_metrics_data)))
        idle.append(asyncio.run(_latest_tick(lambda: time.sleep(0.1))))
    return {
        "stall": statistics.median(late),
        "stall at worst": max(late),
        "stall of an idle process": statistics.median(idle),
    }


_PARTS = {"collections": _collections, "drains": _drains, "stalls": _stalls}

if __name__ == "__main__":
    print(json.dumps(_PARTS[sys.argv[1]]()))
