"""Six requests over two connections, and a report on a signal while four of them are queued.

Arguments: gevent, eventlet, uvloop, asyncio or trio; the library; a URL that is not answered before
``reported`` beneath it is asked for. The environment sets ``snapshot_signal``. Prints what was
counted as JSON.
"""

# ruff: noqa: E402  gevent and eventlet replace modules before they are used

from __future__ import annotations

import importlib
import sys

runtime, library, url = sys.argv[1:]
if runtime == "gevent":
    importlib.import_module("gevent.monkey").patch_all()
elif runtime == "eventlet":
    importlib.import_module("eventlet").monkey_patch()

import asyncio
import json
import logging
import os
import signal
import threading
import time
import urllib.request
from collections.abc import Callable
from typing import Any

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor, snapshot

REQUESTS, CONNECTIONS = 6, 2
STEP = 0.02
reports: list[str] = []


class Reports(logging.Handler):
    """Keeps the reports."""

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if text.startswith("Report on SIGUSR2"):
            reports.append(text)
        else:
            print(text, file=sys.stderr, flush=True)


def saturated() -> bool:
    """Whether each connection waits for an answer, and the other requests for a connection."""
    phases = [request.phase for pool in snapshot().pools for request in pool.requests]
    waiting = REQUESTS - CONNECTIONS
    return sorted(phases) == ["awaiting_response"] * CONNECTIONS + ["queued"] * waiting


def ask() -> None:
    """Send the signal, as ``kill`` does."""
    os.kill(os.getpid(), signal.SIGUSR2)


def answer() -> None:
    """Have the server answer: it waits for the request of another path."""
    urllib.request.urlopen(f"{url}reported").close()


def in_threads() -> None:
    """With threads, which gevent and eventlet make greenlets of."""
    module = importlib.import_module(library)
    if library == "urllib3":
        manager = module.PoolManager(maxsize=CONNECTIONS, block=True)
        get: Callable[[], Any] = lambda: manager.request("GET", url)  # noqa: E731
    else:
        limits = module.Limits(max_connections=CONNECTIONS)
        client = module.Client(limits=limits, timeout=None, trust_env=False)
        get = lambda: client.get(url)  # noqa: E731
    workers = [threading.Thread(target=get) for _ in range(REQUESTS)]
    for worker in workers:
        worker.start()
    while not saturated():
        time.sleep(STEP)
    ask()
    while not reports:
        time.sleep(STEP)
    answer()
    for worker in workers:
        worker.join()


async def in_tasks(sleep: Callable[[float], Any], start: Callable[[Any], None]) -> None:
    """With tasks that ``start`` begins."""
    module = importlib.import_module(library)
    limits = module.Limits(max_connections=CONNECTIONS)
    async with module.AsyncClient(limits=limits, timeout=None, trust_env=False) as client:
        left = [REQUESTS]

        async def get() -> None:
            await client.get(url)
            left[0] -= 1

        for _ in range(REQUESTS):
            start(get)
        while not saturated():
            await sleep(STEP)
        ask()
        while not reports:
            await sleep(STEP)
        answer()
        while left[0]:
            await sleep(STEP)


async def on_asyncio() -> None:
    """On asyncio's loop, or on uvloop's."""
    tasks: list[Any] = []
    await in_tasks(asyncio.sleep, lambda get: tasks.append(asyncio.ensure_future(get())))
    await asyncio.gather(*tasks)


async def on_trio(trio: Any) -> None:
    """In a nursery."""
    async with trio.open_nursery() as nursery:
        await in_tasks(trio.sleep, nursery.start_soon)


logging.getLogger("opentelemetry.instrumentation.gluellm").addHandler(Reports())
reader = InMemoryMetricReader()
GlueLLMInstrumentor().instrument(scope="all", meter_provider=MeterProvider([reader]))
if runtime == "trio":
    trio = importlib.import_module("trio")
    trio.run(on_trio, trio)
elif runtime == "uvloop":
    importlib.import_module("uvloop").run(on_asyncio())
elif runtime == "asyncio":
    asyncio.run(on_asyncio())
else:
    in_threads()
reader.collect()
data = reader.get_metrics_data()
assert data is not None
(total,) = snapshot().totals
(origin,) = total.origins
counted = {
    "outcomes": [(o.status, o.error, o.count) for o in origin.outcomes],
    "now": sum(origin.requests_now.values()),
    "peak_queued": total.peak_queued,
    "anomalies": sum(total.anomalies.values()),
    "report": reports[0],
    "lag": snapshot().process.event_loop_lag,
}
GlueLLMInstrumentor().uninstrument()
print(json.dumps(counted))
