"""Call a provider once. Arguments: its URL, and options.

``instrument``: call instrument() with its own meter provider, and print the counted requests.
``client``: the same with instrument_client() for its own client.
``refused``: call instrument() with an invalid setting.
``child``, ``fork``: make the call in a started or forked process.
``wait``: run until it is interrupted.
``stubborn``: ignore SIGTERM.

The client is httpx's, whose import is much faster than any-llm's.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx

CALL = {"model": "some-model", "messages": [{"role": "user", "content": "hello"}]}
url, *ways = sys.argv[1:]
client = httpx.Client(trust_env=False, headers={"authorization": "Bearer any"})


def call() -> None:
    client.post(f"{url}/chat/completions", json=CALL).raise_for_status()


def leave_once_it_is_seen() -> None:
    """Exit without running atexit, as multiprocessing does."""
    report = Path(os.environ["GLUELLM_POOLS_DOCTOR_DIRECTORY"], f"{os.getpid()}.json")
    while not report.exists() or '"requests": 1' not in report.read_text():
        time.sleep(0.05)
    os._exit(0)


reader = None
if {"instrument", "client", "refused"} & set(ways):
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader

    from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor
    from opentelemetry.instrumentation.gluellm.telemetry import semconv

    if "refused" in ways:
        try:
            GlueLLMInstrumentor().instrument(scope="nothing")
        except ValueError:
            print("refused")
    else:
        reader = InMemoryMetricReader()
        provider = MeterProvider(metric_readers=[reader])
        if "client" in ways:
            GlueLLMInstrumentor.instrument_client(client, "mine", meter_provider=provider)
        else:
            GlueLLMInstrumentor().instrument(meter_provider=provider)
if "stubborn" in ways:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if "child" in ways:
    subprocess.run([sys.executable, __file__, url], check=True)
if "fork" in ways:
    forked = os.fork()
    if not forked:
        call()
        leave_once_it_is_seen()
    os.waitpid(forked, 0)
if not {"child", "fork"} & set(ways):
    call()
if reader is not None:
    data = reader.get_metrics_data()
    for scope in data.resource_metrics[0].scope_metrics:
        for metric in scope.metrics:
            if metric.name == semconv.REQUESTS.name:
                print("counted", sum(point.value for point in metric.data.data_points))
print("called", flush=True)
while "wait" in ways:
    time.sleep(0.05)  # signal.pause() misses a signal that comes just before it
