"""Leave an answer unread until it is found, then fork, and then end and repeat the instrumentation.

Argument: a URL whose answer does not end. Prints the active findings of each of them as JSON.
"""

import json
import os
import sys
import time

import urllib3
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor
from opentelemetry.instrumentation.gluellm.telemetry import semconv

SETTINGS = {"scope": "all", "leak_threshold": 2, "findings_interval": 1, "loop_lag": False}


class Judged:
    """The instrumentation with a reader of its own."""

    def __init__(self) -> None:
        self._reader = InMemoryMetricReader()
        provider = MeterProvider([self._reader], shutdown_on_exit=False)
        GlueLLMInstrumentor().instrument(meter_provider=provider, **SETTINGS)

    def active(self) -> list[str]:
        """Kinds of the active findings."""
        found = self._reader.get_metrics_data()
        return [
            str(point.attributes[semconv.FINDING_KIND])
            for resource in (found.resource_metrics if found else ())
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == semconv.FINDING_CURRENT.name
            for point in metric.data.data_points
            if point.value
        ]


judged = Judged()
answer = urllib3.PoolManager().request("GET", sys.argv[1], preload_content=False)
ends = time.monotonic() + 60
while not judged.active() and time.monotonic() < ends:
    time.sleep(0.05)
print(json.dumps({"parent": judged.active()}), flush=True)
child = os.fork()
if not child:
    print(json.dumps({"child": judged.active()}), flush=True)
    os._exit(0)
os.waitpid(child, 0)
GlueLLMInstrumentor().uninstrument()
print(json.dumps({"uninstrumented": judged.active(), "again": Judged().active()}), flush=True)
os._exit(0)  # the answer is still unread
