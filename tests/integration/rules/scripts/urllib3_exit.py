"""Ends with an idle connection in a pool that is still there.

Argument: a server's URL. Prints each reason to close a connection, and how many were.
"""

from __future__ import annotations

import atexit
import sys

import urllib3
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor
from opentelemetry.instrumentation.gluellm.telemetry import semconv

(url,) = sys.argv[1:]
reader = InMemoryMetricReader()


def tell() -> None:
    """Print what has been closed."""
    metrics = reader.get_metrics_data()
    for resource in metrics.resource_metrics if metrics else ():
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                if metric.name == semconv.CONNECTION_CLOSED.name:
                    for point in metric.data.data_points:
                        print((point.attributes or {})[semconv.CLOSE_REASON], point.value)


# Before there is a pool: what is registered last runs first, and urllib3's finalizers with it.
atexit.register(tell)
provider = MeterProvider(metric_readers=[reader], shutdown_on_exit=False)
GlueLLMInstrumentor().instrument(scope="all", meter_provider=provider)
manager = urllib3.PoolManager()
assert manager.request("GET", url).data == b"ok"
