"""docs/troubleshooting.md on variables that nobody knows: ignored, so the defaults hold."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from support.quotations import PAGE

_PROGRAM = (
    "from opentelemetry.instrumentation.auto_instrumentation import run; run()",
    sys.executable,
    "-c",
    "from opentelemetry.metrics import get_meter; get_meter('any').create_counter('c').add(1)",
)

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("opentelemetry.distro") is None,
    reason="needs opentelemetry-distro",
)


class Proxy(ThreadingHTTPServer):
    """Notes what it is asked for, since the default's port may be anybody's here."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: list[str] = []


class _Handler(BaseHTTPRequestHandler):
    server: Proxy

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.server.asked.append(self.path)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    with Proxy() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OTEL_EXPORTER_OTLP_ENDPONT", "http://collector:4318"),
        ("OTEL_METRIC_EXPORTER", "console"),
    ],
)
def test_a_misspelled_variable_is_ignored_in_silence(proxy: Proxy, name: str, value: str) -> None:
    """Metrics go where they go without it, as the page says, and no line names the variable."""
    inherited = {
        k: v for k, v in os.environ.items() if not k.upper().startswith(("OTEL_", "NO_PROXY"))
    }
    variables = {
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
        "OTEL_TRACES_EXPORTER": "none",
        "OTEL_LOGS_EXPORTER": "none",
        "http_proxy": f"http://127.0.0.1:{proxy.server_port}",
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
    assert set(proxy.asked) == {"http://localhost:4318/v1/metrics"}
    assert name in PAGE.read_text()
    assert "host='localhost', port=4318" in PAGE.read_text()
