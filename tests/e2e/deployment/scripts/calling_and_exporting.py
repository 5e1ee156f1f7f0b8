"""Calls a provider so often, exports once, and ends.

Arguments: the provider's URL, and the number of calls. The SDK's own environment variables say
where to export to.
"""

import sys

from any_llm import AnyLLM
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader

from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor

url, calls = sys.argv[1:]
reader = PeriodicExportingMetricReader(OTLPMetricExporter())
meter_provider = MeterProvider([reader], shutdown_on_exit=False)
GlueLLMInstrumentor().instrument(meter_provider=meter_provider)
llm = AnyLLM.create("openai", api_key="any", api_base=url)
for _ in range(int(calls)):
    llm.completion(model="some-model", messages=[{"role": "user", "content": "hello"}])
meter_provider.force_flush()
