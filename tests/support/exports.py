"""Log lines of the SDK's OTLP exporters: each case is one export, set up by environment variables.

``python -m support.exports`` reads ``{case: variables}`` as JSON and prints ``{case: lines}``, the
warnings and errors of that export. It is a process of its own, because gRPC and fork don't go
together, and other tests fork.
"""

import json
import logging
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

Cases = Mapping[str, Mapping[str, str]]
PROTOCOL, SIGNAL = "OTEL_EXPORTER_OTLP_PROTOCOL", "SIGNAL"


def lines_of(cases: Cases) -> dict[str, list[str]]:
    """Return what each case logged. An exception is a line as well."""
    inherited = {name: v for name, v in os.environ.items() if not name.startswith("OTEL_")}
    path = str(Path(__file__).parents[1])
    finished = subprocess.run(
        [sys.executable, "-m", "support.exports"],
        input=json.dumps(cases),
        env={**inherited, "PYTHONPATH": path, "NO_PROXY": "*"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    found: dict[str, list[str]] = json.loads(finished.stdout)
    return found


class _Recorder(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []
        logging.getLogger().addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


def _exporter(variables: Mapping[str, str]) -> Any:
    """Return the exporter that ``opentelemetry-instrument`` would make."""
    if variables.get(SIGNAL) == "traces":
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

        return OTLPSpanExporter()
    if variables.get(PROTOCOL, "grpc") == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc import metric_exporter

        return metric_exporter.OTLPMetricExporter()
    from opentelemetry.exporter.otlp.proto.http import metric_exporter as over_http

    return over_http.OTLPMetricExporter()


def _main() -> None:
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader
    from opentelemetry.sdk.trace import TracerProvider

    from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor

    reader = InMemoryMetricReader()
    GlueLLMInstrumentor().instrument(meter_provider=MeterProvider([reader]))
    metrics = reader.get_metrics_data()
    span = TracerProvider().get_tracer("program").start_span("answer")
    span.end()
    # The SDK drops repeated lines for 20 s, so a later exporter would log nothing.
    grpc_logger = logging.getLogger("opentelemetry.exporter.otlp.proto.grpc.exporter")
    found: dict[str, list[str]] = {}
    for case, variables in json.load(sys.stdin).items():
        recorder = _Recorder()
        os.environ.update(variables)
        try:
            exporter = _exporter(variables)
            for each in list(grpc_logger.filters):
                grpc_logger.removeFilter(each)
            exporter.export([span] if variables.get(SIGNAL) == "traces" else metrics)
            exporter.shutdown()
        except Exception as error:
            recorder.lines.append(f"{type(error).__name__}: {error}")
        for name in variables:
            del os.environ[name]
        logging.getLogger().removeHandler(recorder)
        found[case] = recorder.lines
    print(json.dumps(found))


if __name__ == "__main__":
    _main()
