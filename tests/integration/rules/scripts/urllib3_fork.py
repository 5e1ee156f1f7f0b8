"""Forks with records in the buffer, a live pool of urllib3 and a request under way.

Arguments: a server's URL, and one that answers late. Prints two lines of JSON, the child's first.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from typing import Any

import urllib3
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor

url, late = sys.argv[1:]
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
                    amount = getattr(point, "count", getattr(point, "value", 0))
                    found[metric.name] = found.get(metric.name, 0) + amount
    return found


pool = urllib3.PoolManager()
for _ in range(3):
    pool.request("GET", url)
other = urllib3.PoolManager()
running = threading.Thread(target=other.request, args=("GET", late))
running.start()
deadline = time.monotonic() + 10
while not any(single.num_requests for single in other.pools._container.values()):
    assert time.monotonic() < deadline
    time.sleep(0.01)
time.sleep(0.1)  # the request is counted before it is sent

told: dict[str, Any] = {}
process = os.fork()
if process == 0:
    told["before"] = collect()
    pool.request("GET", url)
    told["after"] = collect()
    print(json.dumps(told), flush=True)
    os._exit(0)
assert os.waitpid(process, 0)[1] == 0
told["before"] = collect()
running.join(10)
told["after"] = collect()
print(json.dumps(told), flush=True)
