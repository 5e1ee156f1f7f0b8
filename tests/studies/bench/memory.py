"""Measures what stays in memory of pools that are gone, of requests, and of the outbox.

``python -m studies.bench.memory PART`` prints the numbers of a part as JSON; with the name of a
combination instead, the garbage of its requests.
"""

import gc
import json
import sys
import tracemalloc

from opentelemetry.instrumentation.gluellm.pool.ledger import MAX_NAMES
from opentelemetry.instrumentation.gluellm.pool.ring import KEPT, Ring
from studies.load.churn import churn

from . import internals
from .pools import send, used_pools
from .workload import OFF, OURS, Combination, Instrumentation, Sdk, client, combination_named, run

_POOLS, _SETTLED = 100_000, 20_000
_REQUESTS, _STREAMS = 500, 20


def _pools() -> dict[str, float]:
    """Memory blocks and bytes that 100 000 pools of httpcore leave, from the 20 000th on."""
    samples = churn(_POOLS, ["httpcore sync"]).samples
    warm = [sample for sample in samples if sample.count >= _SETTLED]
    return {
        "blocks per pool": (warm[-1].blocks - warm[0].blocks) / (_POOLS - _SETTLED),
        "growth in MB": (warm[-1].resident - warm[0].resident) / 1e6,
    }


def _garbage(name: str) -> dict[str, float]:
    """Objects per request that only the cyclic garbage collector frees, in addition to those
    without the instrumentation."""
    combination = combination_named(name)
    without = _collected(combination, OFF)
    return {"more": _collected(combination, OURS) - without}


def _collected(combination: Combination, what: str) -> float:
    collected = 0

    async def main() -> None:
        nonlocal collected
        sdk = Sdk()
        instrumentation = Instrumentation(combination.library, sdk)
        instrumentation.turn(what)
        plain, streaming = client(combination), client(combination, streaming=True)
        await plain.send(10, attributed=what == OURS)
        await streaming.stream(2, attributed=what == OURS)
        sdk.reader.get_metrics_data()
        gc.collect()
        gc.disable()
        await plain.send(_REQUESTS, attributed=what == OURS)
        await streaming.stream(_STREAMS, attributed=what == OURS)
        sdk.reader.get_metrics_data()
        collected = gc.collect()
        gc.enable()
        await plain.close()
        await streaming.close()
        instrumentation.turn(OFF)

    run(combination.library, main)
    return collected / (_REQUESTS + _STREAMS)


def _records() -> dict[str, float]:
    """Bytes that one record takes in the outbox, each lease with a span context of its own."""
    sdk = Sdk()
    Instrumentation("httpx", sdk).turn(OURS)
    (pool,) = used_pools(1)
    internals.drain()
    for _ in range(3):
        send(pool)
    internals.drain()
    outbox = internals.outbox()
    count = outbox.capacity // 4
    gc.collect()
    tracemalloc.start()
    for _ in range(count // 2):
        with sdk.span():
            send(pool)
    gc.collect()
    with_them, _ = tracemalloc.get_traced_memory()
    items = len(outbox.items)
    outbox.items.clear()
    gc.collect()
    without, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return {"bytes per record": (with_them - without) / items}


def _bound() -> dict[str, float]:
    """Items in the outbox after twice its capacity arrived without a collection."""
    sdk = Sdk()
    Instrumentation("httpx", sdk).turn(OURS)
    outbox = internals.outbox()
    for _ in range(2 * outbox.capacity):
        outbox.put((None, 0.0, {}, None))
    found = {"capacity": outbox.capacity, "held": len(outbox.items), "dropped": outbox.dropped}
    outbox.items.clear()
    return found


def _rings() -> dict[str, float]:
    """Megabytes that the full rings of as many pool names as there can be take."""
    gc.collect()
    tracemalloc.start()
    rings = [Ring() for _ in range(MAX_NAMES)]
    for ring in rings:
        for at in range(KEPT):
            entered = 10**15 + at
            ring.append((10**15, entered, entered, 10**16 + at))
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return {"MB": taken / 1e6, "kB each": taken / 1e3 / MAX_NAMES}


_PARTS = {"pools": _pools, "records": _records, "bound": _bound, "rings": _rings}

if __name__ == "__main__":
    part = sys.argv[1]
    print(json.dumps(_PARTS[part]() if part in _PARTS else _garbage(part)))
