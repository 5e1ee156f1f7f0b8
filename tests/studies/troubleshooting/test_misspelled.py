"""docs/deploy.md on variables that nobody knows: ignored, so the defaults hold."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys

import pytest

from support.http1 import HTTP1Server
from support.quotations import PAGE

_PROGRAM = (
    "from opentelemetry.instrumentation.auto_instrumentation import run; run()",
    sys.executable,
    "-c",
    "from opentelemetry.metrics import get_meter; get_meter('any').create_counter('c').add(1)",
)

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("opentelemetry.distro") is None, reason="needs opentelemetry-distro"
)


@pytest.mark.parametrize(
    ("name", "value"),
    [("OTEL_EXPORTER_OTLP_ENDPONT", "http://collector:4318"), ("OTEL_METRIC_EXPORTER", "console")],
)
def test_a_misspelled_variable_is_ignored_in_silence(
    server: HTTP1Server, name: str, value: str
) -> None:
    """Metrics go where they go without it, as the page says, and no line names the variable."""
    inherited = {
        k: v for k, v in os.environ.items() if not k.upper().startswith(("OTEL_", "NO_PROXY"))
    }
    variables = {
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
        "OTEL_TRACES_EXPORTER": "none",
        "OTEL_LOGS_EXPORTER": "none",
        "http_proxy": server.origin,
        name: value,
    }
    finished = subprocess.run(
        [sys.executable, "-c", *_PROGRAM],
        env={**inherited, **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert finished.stdout + finished.stderr == ""
    # A proxy: the default's port may be in use here.
    (asked,) = server.timeline.all("request")
    assert asked.path == "/v1/metrics"
    assert name in PAGE.read_text()
    assert "host='localhost', port=4318" in PAGE.read_text()
