"""One request after httpx2.alias_httpx(), by the name httpx. Argument: a server's URL."""

from __future__ import annotations

import sys

import httpx2

httpx2.alias_httpx()

import httpx  # noqa: E402
from opentelemetry.sdk.metrics import MeterProvider  # noqa: E402
from opentelemetry.sdk.metrics.export import InMemoryMetricReader  # noqa: E402
from opentelemetry.sdk.trace import TracerProvider  # noqa: E402
from opentelemetry.sdk.trace.export import SimpleSpanProcessor  # noqa: E402
from opentelemetry.sdk.trace.export.in_memory_span_exporter import (  # noqa: E402
    InMemorySpanExporter,
)

from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor  # noqa: E402

assert httpx is httpx2
reader, exporter = InMemoryMetricReader(), InMemorySpanExporter()
tracer_provider = TracerProvider(shutdown_on_exit=False)
tracer_provider.add_span_processor(SimpleSpanProcessor(exporter))
GlueLLMInstrumentor().instrument(
    scope="all",
    http_spans=True,
    meter_provider=MeterProvider(metric_readers=[reader], shutdown_on_exit=False),
    tracer_provider=tracer_provider,
)
with httpx.Client(trust_env=False) as client:
    client.get(sys.argv[1])
    data = reader.get_metrics_data()
points = {
    metric.name: metric.data.data_points
    for scope in data.resource_metrics[0].scope_metrics
    for metric in scope.metrics
}
spans = [span for span in exporter.get_finished_spans() if span.kind.name == "CLIENT"]
(lease,) = points["gluellm.pool.lease.duration"]
(live,) = points["gluellm.pool.live"]
print(f"spans={len(spans)} leases={lease.count} pools={live.value}")
print(live.attributes["gluellm.pool.library"])
GlueLLMInstrumentor().uninstrument()
