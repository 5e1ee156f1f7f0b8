"""Makes requests of every kind with a changed copy of urllib3, and tells what was observed.

Argument: a server's URL. Prints JSON.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
import time
from typing import Any

import urllib3
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor

(url,) = sys.argv[1:]
warnings: list[str] = []


class Keeping(logging.Handler):
    """Keeps what people are told."""

    def emit(self, record: logging.LogRecord) -> None:
        warnings.append(record.getMessage())


logging.getLogger("opentelemetry").addHandler(Keeping(level=logging.WARNING))
reader = InMemoryMetricReader()
GlueLLMInstrumentor().instrument(
    scope="all", meter_provider=MeterProvider(metric_readers=[reader], shutdown_on_exit=False)
)


def collect() -> dict[str, list[Any]]:
    """Points by metric."""
    data = reader.get_metrics_data()
    return {
        metric.name: list(metric.data.data_points)
        for resource in (data.resource_metrics if data else ())
        for scope in resource.scope_metrics
        for metric in scope.metrics
    }


early = {
    point.attributes["gluellm.seam"]: point.value
    for point in collect()["gluellm.instrumentation.seam"]
    if point.attributes["gluellm.pool.library"] == "urllib3"
}
results: list[str] = []


def attempt(send: Any) -> None:
    """A request, whatever comes of it."""
    try:
        response = send()
        response.read()
        response.release_conn()
        results.append(str(response.status))
    except Exception as error:
        results.append(type(error).__name__)


manager = urllib3.PoolManager(maxsize=1, block=True)
attempt(lambda: manager.request("GET", url, preload_content=False))
attempt(lambda: manager.request("GET", url))
held = manager.request("GET", url, preload_content=False)
attempt(lambda: manager.urlopen("GET", url, pool_timeout=0.01, retries=False))
waiting = threading.Thread(target=attempt, args=(lambda: manager.request("GET", url),))
waiting.start()
time.sleep(0.02)
collect()
held.read()
held.release_conn()
waiting.join(10)
dropped = manager.request("GET", url, preload_content=False)
dropped.close()
dropped.release_conn()
del dropped
manager.clear()
attempt(lambda: urllib3.PoolManager().request("GET", "http://127.0.0.1:9", retries=False))
through = urllib3.ProxyManager("http://127.0.0.1:9")
attempt(lambda: through.request("GET", "https://api.test/", retries=False))
points = collect()
collect()
told = {
    "results": results,
    "warnings": warnings,
    "seams": early,
    "errors": {
        point.attributes["gluellm.instrumentation.kind"]: point.value
        for point in points.get("gluellm.instrumentation.errors", ())
    },
    "metrics": {
        found: sum(getattr(point, "count", getattr(point, "value", 0)) for point in values)
        for found, values in points.items()
    },
}
GlueLLMInstrumentor().uninstrument()
print(json.dumps(told))
