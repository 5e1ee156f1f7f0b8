"""Fork workers that call a provider.

Arguments: the provider's URL, ``before`` or ``after``, and the number of calls for each worker.
``before`` sets up telemetry once before the fork, ``after`` in each worker. The SDK's environment
variables configure the export.
"""

import os
import sys

from any_llm import AnyLLM
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader

from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor


def set_up() -> MeterProvider:
    """Instrument and export."""
    reader = PeriodicExportingMetricReader(OTLPMetricExporter())
    meter_provider = MeterProvider([reader])
    GlueLLMInstrumentor().instrument(meter_provider=meter_provider)
    return meter_provider


def work(url: str, times: int, meter_provider: MeterProvider | None) -> None:
    """Make a worker's calls, one after the other."""
    meter_provider = meter_provider or set_up()
    llm = AnyLLM.create("openai", api_key="any", api_base=url)
    for _ in range(times):
        llm.completion(model="some-model", messages=[{"role": "user", "content": "hello"}])
        meter_provider.force_flush()
    meter_provider.shutdown()


url, when, *calls = sys.argv[1:]
common = set_up() if when == "before" else None
workers = []
for times in map(int, calls):
    workers.append(os.fork())
    if workers[-1] == 0:
        work(url, times, common)
        os._exit(0)
for worker in workers:
    assert os.waitpid(worker, 0)[1] == 0
