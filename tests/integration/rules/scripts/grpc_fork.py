"""Forks with records in the buffer and a channel that is ready.

Argument: a server's target. Prints two lines of JSON, the child's first. The child goes on with the
channel that it has inherited, which gRPC supports for sync channels, and with one of its own.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import grpc
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor

(target,) = sys.argv[1:]
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


channel = grpc.insecure_channel(target)
for _ in range(3):
    channel.unary_unary("/")(b"")
told: dict[str, Any] = {}
process = os.fork()
if process == 0:
    told["before"] = collect()
    with grpc.insecure_channel(target) as own:
        own.unary_unary("/")(b"", timeout=5)
    told["after"] = collect()
    print(json.dumps(told), flush=True)
    os._exit(0)
assert os.waitpid(process, 0)[1] == 0
told["before"] = collect()
channel.unary_unary("/")(b"")
told["after"] = collect()
print(json.dumps(told), flush=True)
