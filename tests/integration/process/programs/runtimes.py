"""Send six requests over two connections, and report on a signal while four of them are queued.

Before the signal, the main greenlet blocks the hub. Arguments: gevent or eventlet; the library; a
URL that is answered only after a request to ``reported`` below it. The environment sets
``snapshot_signal``. Prints what was counted as JSON.
"""

# ruff: noqa: E402  gevent and eventlet must patch modules before other imports

import importlib
import sys

runtime, library, url = sys.argv[1:]
if runtime == "gevent":
    importlib.import_module("gevent.monkey").patch_all()
else:
    importlib.import_module("eventlet").monkey_patch()

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
BLOCK = 0.6
STEP = 0.02
reports: list[str] = []


class Reports(logging.Handler):
    """Keep the reports, and print other records."""

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if text.startswith("Report on SIGUSR2"):
            reports.append(text)
        else:
            print(text, file=sys.stderr, flush=True)


def saturated() -> bool:
    """Return whether all connections await a response, and all other requests are queued."""
    phases = [request.phase for pool in snapshot().pools for request in pool.requests]
    waiting = REQUESTS - CONNECTIONS
    return sorted(phases) == ["awaiting_response"] * CONNECTIONS + ["queued"] * waiting


def in_threads() -> None:
    """Send the requests in threads, which are greenlets here."""
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
    busy_until = time.perf_counter() + BLOCK
    while time.perf_counter() < busy_until:
        pass
    os.kill(os.getpid(), signal.SIGUSR2)
    while not reports:
        time.sleep(STEP)
    urllib.request.urlopen(f"{url}reported").close()  # the server answers then
    for worker in workers:
        worker.join()


logging.getLogger("opentelemetry.instrumentation.gluellm").addHandler(Reports())
reader = InMemoryMetricReader()
GlueLLMInstrumentor().instrument(scope="all", meter_provider=MeterProvider([reader]))
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
    "late": snapshot().process.event_loop_late,
}
GlueLLMInstrumentor().uninstrument()
print(json.dumps(counted))
