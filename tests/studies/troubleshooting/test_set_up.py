"""docs/deploy.md quotes what `opentelemetry-instrument` says of a set-up that fails."""

from __future__ import annotations

import importlib.util
import os
import socket
import subprocess
import sys
import sysconfig
import time
import venv
from collections.abc import Iterator
from pathlib import Path

import pytest
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader

from support.quotations import assert_quoted_and_said

# What the console script does, for an interpreter that has none.
_OPENTELEMETRY_INSTRUMENT = (
    "from opentelemetry.instrumentation.auto_instrumentation import run; run()"
)
FAILED = "Failed to auto initialize OpenTelemetry"
NO_COMPONENT = (
    "RuntimeError: Requested component '{}' not found in entry point "
    "'opentelemetry_metrics_exporter'"
)
_APPLICATION = "print('the application runs')"
_TWICE = """
from opentelemetry.metrics import set_meter_provider
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor

set_meter_provider(MeterProvider())
GlueLLMInstrumentor().instrument()
print('the application runs')
"""

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("opentelemetry.distro") is None, reason="needs opentelemetry-distro"
)


def run(
    application: str = _APPLICATION, python: str = sys.executable, **variables: str
) -> list[str]:
    """The lines on standard error of an application that runs all the same."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("OTEL_")}
    quiet = {"OTEL_TRACES_EXPORTER": "none", "OTEL_LOGS_EXPORTER": "none"}
    finished = subprocess.run(
        [python, "-c", _OPENTELEMETRY_INSTRUMENT, python, "-c", application],
        env={**inherited, **quiet, "OTEL_EXPORTER_OTLP_TIMEOUT": "0.1", **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout == "the application runs\n"
    return finished.stderr.splitlines()


@pytest.mark.parametrize(
    ("variable", "value", "quotation"),
    [
        (
            *("OTEL_EXPORTER_OTLP_PROTOCOL", "http"),
            "RuntimeError: Unsupported OTLP protocol 'http' is configured",
        ),
        ("OTEL_METRICS_EXPORTER", "oltp", NO_COMPONENT.format("oltp")),
        (
            *("OTEL_EXPORTER_OTLP_COMPRESSION", "none"),
            (
                'InvalidCompressionValueException: Invalid value "none" for compression envvar '
                "OTEL_EXPORTER_OTLP_COMPRESSION"
            ),
        ),
    ],
)
def test_set_up_fails_as_a_whole(variable: str, value: str, quotation: str) -> None:
    """With one wrong word there is no telemetry at all, and the application runs."""
    lines = run(**{variable: value})
    assert_quoted_and_said(FAILED, lines)
    assert_quoted_and_said(quotation, lines)


def test_wrong_interval_is_replaced() -> None:
    """By a minute."""
    lines = run(OTEL_METRIC_EXPORT_INTERVAL="10s")
    assert_quoted_and_said("Found invalid value for export interval, using default", lines)


def test_set_up_twice_is_told() -> None:
    """In code, under opentelemetry-instrument."""
    lines = run(_TWICE, OTEL_METRICS_EXPORTER="otlp")
    assert_quoted_and_said("Overriding of current MeterProvider is not allowed", lines)
    assert_quoted_and_said("Attempting to instrument while already instrumented", lines)


@pytest.mark.parametrize(
    "variables", [{"OTEL_METRICS_EXPORTER": "none"}, {"OTEL_SDK_DISABLED": "true"}]
)
def test_telemetry_that_is_turned_off_says_nothing(variables: dict[str, str]) -> None:
    """Neither why there is none, nor that there is none."""
    assert run(**variables) == []


def test_instrumenting_without_a_meter_provider_says_nothing() -> None:
    """The API's own provider takes it, and keeps nothing."""
    program = (
        "from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor as I;"
        "I().instrument(); print('the application runs')"
    )
    finished = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert finished.stderr == ""


@pytest.fixture
def without(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    """The interpreter of an environment that lacks some distributions of this one."""
    absent = request.param
    folder = tmp_path / "environment"
    venv.create(folder, symlinks=True)
    target = next(folder.glob("lib/python*/site-packages"))
    for source in Path(sysconfig.get_path("purelib")).iterdir():
        if not (source.suffix == ".dist-info" and source.name.startswith(absent)):
            (target / source.name).symlink_to(source)
    return str(folder / "bin" / "python")


@pytest.mark.parametrize("without", [("opentelemetry_exporter_otlp",)], indirect=True)
def test_missing_exporter_is_told(without: str) -> None:
    """As a component that is not found; which package it is in, the page says."""
    lines = run(python=without)
    assert_quoted_and_said(FAILED, lines)
    assert_quoted_and_said(NO_COMPONENT.format("otlp_proto_grpc"), lines)


@pytest.mark.parametrize("without", [("opentelemetry_distro",)], indirect=True)
def test_missing_distro_says_nothing(without: str) -> None:
    """There is nobody to set up the SDK."""
    assert run(python=without) == []


def test_flush_is_bounded_by_the_exporters_timeout_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A receiver that never answers: whatever `force_flush` is told, and it returns True."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        # In seconds, unlike the other languages' milliseconds.
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
        exporter = OTLPMetricExporter(endpoint=f"http://127.0.0.1:{port}/v1/metrics")
        reader = PeriodicExportingMetricReader(exporter, export_interval_millis=3_600_000)
        meters = MeterProvider([reader], shutdown_on_exit=False)
        meters.get_meter("any").create_counter("any").add(1)
        began = time.monotonic()
        assert meters.force_flush(timeout_millis=50) is True
        assert time.monotonic() - began > 0.9
        began = time.monotonic()
        meters.shutdown(timeout_millis=50)
        assert time.monotonic() - began < 0.9
