"""Forks with records in the buffer, a live pool and a request under way.

Arguments: the pool library, a server's URL, and one that answers late. Prints two lines of JSON,
the child's first.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import threading
import time
from typing import Any

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor

name, url, late = sys.argv[1:]
core = importlib.import_module(name)
reader = InMemoryMetricReader()
meter_provider = MeterProvider(metric_readers=[reader], shutdown_on_exit=False)
GlueLLMInstrumentor().instrument(scope="all", meter_provider=meter_provider)


def collect() -> dict[str, float]:
    """Values by metric, and counts by histogram; summed over attributes, without errors at 0."""
    found: dict[str, float] = {}
    data = reader.get_metrics_data()
    for resource in data.resource_metrics if data else ():
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                for point in metric.data.data_points:
                    amount = point.count if hasattr(point, "count") else point.value
                    found[metric.name] = found.get(metric.name, 0) + amount
    return found


def get(pool: Any, target: str) -> None:
    pool.request("GET", target)


pool = core.ConnectionPool()
for _ in range(3):
    get(pool, url)
other = core.ConnectionPool()
running = threading.Thread(target=get, args=(other, late))
running.start()
deadline = time.monotonic() + 10
while not any(connection.is_available() is False for connection in other.connections):
    assert time.monotonic() < deadline
    time.sleep(0.01)

told: dict[str, Any] = {}
process = os.fork()
if process == 0:
    told["before"] = collect()
    get(pool, url)
    told["after"] = collect()
    print(json.dumps(told), flush=True)
    os._exit(0)
assert os.waitpid(process, 0)[1] == 0
told["before"] = collect()
running.join(10)
told["after"] = collect()
print(json.dumps(told), flush=True)
