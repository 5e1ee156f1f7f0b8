"""Calls a provider so often before each export, then ends.

Arguments: the provider's URL, and a number of calls for each export. The SDK's own environment
variables say where to export to.
"""

from __future__ import annotations

import sys

from any_llm import AnyLLM
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader

from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor

_NEVER = 3_600_000.0
"""Milliseconds; each export is asked for."""

url, *exports = sys.argv[1:]
reader = PeriodicExportingMetricReader(OTLPMetricExporter(), export_interval_millis=_NEVER)
meter_provider = MeterProvider([reader], shutdown_on_exit=False)
GlueLLMInstrumentor().instrument(meter_provider=meter_provider)
llm = AnyLLM.create("openai", api_key="any", api_base=url)
for calls in map(int, exports):
    for _ in range(calls):
        llm.completion(model="some-model", messages=[{"role": "user", "content": "hello"}])
    meter_provider.force_flush()
