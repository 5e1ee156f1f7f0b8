"""Log lines of the SDK's OTLP exporters: each case is one export, set up by environment variables.

``python -m studies.troubleshooting.exports`` reads ``{case: variables}`` as JSON and prints
``{case: lines}``, the warnings and errors of that export. It is a process of its own, because gRPC
and fork don't go together, and other tests fork. In the values, ``{http}``, ``{https}``, ``{grpc}``
and ``{grpc_tls}`` stand for addresses of servers that answer as the header ``answer`` of a request
says, ``{dead}`` for a port without a listener, and ``{authority}`` for a file with the authority of
the TLS ones.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

HOST = "127.0.0.1"
Cases = Mapping[str, Mapping[str, str]]
PROTOCOL, SIGNAL = "OTEL_EXPORTER_OTLP_PROTOCOL", "SIGNAL"
_TESTS = Path(__file__).parents[2]
# They say whom to trust, and win over what the exporter was told.
_BUNDLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


def lines_of(cases: Cases, **more: str) -> dict[str, list[str]]:
    """What each case logged. An exception, as from an exporter that can't be made, is a line too.

    ``more`` are variables of the process.
    """
    inherited = {
        k: v for k, v in os.environ.items() if not k.startswith("OTEL_") and k not in _BUNDLES
    }
    finished = subprocess.run(
        [sys.executable, "-m", "studies.troubleshooting.exports"],
        input=json.dumps(cases),
        env={**inherited, "PYTHONPATH": str(_TESTS), "NO_PROXY": "*", **more},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    found: dict[str, list[str]] = json.loads(finished.stdout)
    return found


class _Recorder(logging.Handler):
    """Keeps lines by the thread that logged them: each case has its own."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: dict[str, list[str]] = {}

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.setdefault(threading.current_thread().name, []).append(record.getMessage())


def _exporter(variables: Mapping[str, str]) -> Any:
    """As ``opentelemetry-instrument`` would make it: the variables are read now."""
    os.environ.update(variables)
    try:
        grpc = variables.get(PROTOCOL, "grpc") == "grpc"
        if variables.get(SIGNAL) == "traces":
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

            return OTLPSpanExporter()
        if grpc:
            from opentelemetry.exporter.otlp.proto.grpc import metric_exporter

            return metric_exporter.OTLPMetricExporter()
        from opentelemetry.exporter.otlp.proto.http import metric_exporter as over_http

        return over_http.OTLPMetricExporter()
    finally:
        for name in variables:
            del os.environ[name]


def _data() -> tuple[Any, Any]:
    """Metrics of an instrumented process, and a span."""
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader
    from opentelemetry.sdk.trace import TracerProvider

    from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor

    reader = InMemoryMetricReader()
    GlueLLMInstrumentor().instrument(meter_provider=MeterProvider([reader]))
    span = TracerProvider().get_tracer("program").start_span("answer")
    span.end()
    return reader.get_metrics_data(), [span]


def _main() -> None:
    cases: Cases = json.load(sys.stdin)
    # It drops a line like the one before for 20 s: of several exporters, one would be heard.
    grpc_logger = logging.getLogger("opentelemetry.exporter.otlp.proto.grpc.exporter")
    recorder = _Recorder()
    logging.getLogger().addHandler(recorder)
    metrics, spans = _data()
    making = threading.Lock()

    def play(case: str, variables: Mapping[str, str]) -> None:
        threading.current_thread().name = case
        recorder.lines[case] = []
        try:
            with making:  # the environment is one for all
                exporter = _exporter(variables)
                for found in list(grpc_logger.filters):
                    grpc_logger.removeFilter(found)
            exporter.export(spans if variables.get(SIGNAL) == "traces" else metrics)
            exporter.shutdown()
        except Exception as error:
            recorder.lines[case].append(f"{type(error).__name__}: {error}")

    with _servers() as places, ThreadPoolExecutor(len(cases)) as threads:
        for case, variables in cases.items():
            filled = {k: v.format_map(places) for k, v in variables.items()}
            threads.submit(play, case, filled)
    print(json.dumps({case: recorder.lines[case] for case in cases}))


@contextmanager
def _servers() -> Iterator[dict[str, str]]:
    """The addresses that stand for the names in braces."""
    import grpc
    import trustme

    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        authority = trustme.CA()
        authority.cert_pem.write_to_path(str(folder / "authority.pem"))
        certificate = authority.issue_cert(HOST)
        chain = b"".join(part.bytes() for part in certificate.cert_chain_pems)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        certificate.configure_cert(context)
        key = certificate.private_key_pem.bytes()
        credentials = grpc.ssl_server_credentials([(key, chain)])
        yield {
            "http": stack.enter_context(_http(None)),
            "https": stack.enter_context(_http(context)),
            "grpc": stack.enter_context(_grpc(None)),
            "grpc_tls": stack.enter_context(_grpc(credentials)),
            "dead": f"{HOST}:{stack.enter_context(_dead())}",
            "authority": str(folder / "authority.pem"),
        }


class _Answer(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        status = int(self.headers.get("answer", "200"))
        self.send_response(status if self.path.startswith("/v1/") or status != 200 else 404)
        if 300 <= status < 400:
            self.send_header("Location", "/login")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_GET(self) -> None:
        """The page that a redirect leads to."""
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing."""


@contextmanager
def _http(context: ssl.SSLContext | None) -> Iterator[str]:
    server = ThreadingHTTPServer((HOST, 0), _Answer)
    server.daemon_threads = True
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    if context is not None:
        server.socket = context.wrap_socket(
            server.socket, server_side=True, do_handshake_on_connect=False
        )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"{HOST}:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


@contextmanager
def _grpc(credentials: Any) -> Iterator[str]:
    import grpc
    from opentelemetry.proto.collector.metrics.v1 import (
        metrics_service_pb2,
        metrics_service_pb2_grpc,
    )

    class Metrics(metrics_service_pb2_grpc.MetricsServiceServicer):
        def Export(self, request: Any, context: Any) -> Any:  # noqa: N802
            answer = dict(context.invocation_metadata()).get("answer")
            if answer:
                context.abort(grpc.StatusCode[answer], "said so")
            return metrics_service_pb2.ExportMetricsServiceResponse()

    server = grpc.server(ThreadPoolExecutor(4))
    metrics_service_pb2_grpc.add_MetricsServiceServicer_to_server(Metrics(), server)
    address = f"{HOST}:0"
    if credentials is None:
        port = server.add_insecure_port(address)
    else:
        port = server.add_secure_port(address, credentials)
    server.start()
    yield f"{HOST}:{port}"
    server.stop(None)


@contextmanager
def _dead() -> Iterator[int]:
    """A port that is taken, so that nobody else gets it, and not listened on."""
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        yield taken.getsockname()[1]


if __name__ == "__main__":
    _main()
