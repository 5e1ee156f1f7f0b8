"""Forks workers that call a provider.

Arguments: the provider's URL, ``before`` or ``after``, and how many calls each worker makes. The
SDK's own environment variables say where to export to. ``before`` sets telemetry up before the
fork, once for all; ``after`` in each worker.
"""

import os
import sys

from any_llm import AnyLLM
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader

from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor


def set_up() -> MeterProvider:
    """Export from now on."""
    reader = PeriodicExportingMetricReader(OTLPMetricExporter())
    meter_provider = MeterProvider([reader])
    GlueLLMInstrumentor().instrument(meter_provider=meter_provider)
    return meter_provider


def work(url: str, times: int, meter_provider: MeterProvider | None) -> None:
    """What a worker does: all its calls, one after the other."""
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
