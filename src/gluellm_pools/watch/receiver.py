"""OTLP/HTTP on one address: one request per connection, in a thread, within limits.

https://opentelemetry.io/docs/specs/otlp/#otlphttp
"""

from __future__ import annotations

import contextlib
import io
import socket
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingTCPServer
from typing import Any

from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2

from ..text import printable
from . import limits
from .intake import REQUESTS, ExportError, Intake

_PROTOBUF = "application/x-protobuf"
_CHUNK = 2**16
_PATHS = "take /v1/... out of OTEL_EXPORTER_OTLP_ENDPOINT: exporters append it"
_NO_JSON = f"send {_PROTOBUF}, not JSON: set OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf"
_OTHER_PROTOCOLS = {
    b"\x16\x03": "TLS was sent here: the endpoint must begin with http://, not https://",
    b"PRI * HTTP/2": "gRPC was sent here: set OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf there",
}
"""First bytes of a connection, and what to do about it."""


class Receiver(ThreadingTCPServer):
    """Accepts connections in `serve_forever`; every request goes to the intake."""

    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = limits.CONNECTIONS

    def __init__(self, host: str, port: int, intake: Intake) -> None:
        """Listen; port 0 takes any free one. Raises OSError and UnicodeError."""
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.intake = intake
        self._deadlines: dict[socket.socket, float] = {}
        """When the input of each connection ends."""
        self._held = 0
        self._holding = threading.Lock()
        super().__init__((host, port), _Handler)
        self.port = self.socket.getsockname()[1]
        self.url = f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    def verify_request(self, request: Any, _address: Any) -> bool:
        """Whether a new connection is served; otherwise it is closed."""
        if len(self._deadlines) >= limits.CONNECTIONS:
            self.intake.messages.add(f"closed a connection: more than {limits.CONNECTIONS} at once")
            return False
        self._deadlines[request] = time.monotonic() + limits.REQUEST_SECONDS
        return True

    def shutdown_request(self, request: Any) -> None:
        """Close a connection."""
        super().shutdown_request(request)
        self._deadlines.pop(request, None)

    def service_actions(self) -> None:
        """Enforce the deadlines; `serve_forever` calls this twice a second."""
        now = time.monotonic()
        for connection, deadline in tuple(self._deadlines.items()):
            if now > deadline:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RD)

    def hold(self, number: int) -> None:
        """Count bytes of bodies that are being received. Raises ExportError beyond the limit."""
        with self._holding:
            if self._held + number > limits.HELD_BYTES:
                raise ExportError(503, "too much is being received at once, try again later")
            self._held += number

    def handle_error(self, *_: object) -> None:
        """Show failures of `watch`. OSError is a client that left."""
        error = sys.exception()
        if not isinstance(error, OSError):
            self.intake.messages.add(f"failed: {type(error).__name__}: {error}")


class _Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    timeout = limits.REQUEST_SECONDS
    error_content_type = "text/plain; charset=utf-8"
    error_message_format = "%(explain)s\n"
    server: Receiver
    rfile: io.BufferedReader

    def handle(self) -> None:
        """Read the head of a request, and let the base class parse and dispatch it."""
        self.requestline = self.command = self.path = ""
        self._input, head = self.rfile, b""
        start = self._input.peek(1)
        for protocol, problem in _OTHER_PROTOCOLS.items():
            if start.startswith(protocol):
                self.server.intake.messages.add(problem)
                return
        while not head.endswith((b"\r\n\r\n", b"\n\n")):
            line = self._input.readline(limits.HEAD_BYTES)
            head += line
            if len(head) > limits.HEAD_BYTES:
                self.send_error(431, f"the head is larger than {limits.HEAD_BYTES} bytes")
            if not line or len(head) > limits.HEAD_BYTES:
                return
        self.rfile = io.BufferedReader(io.BytesIO(head))
        self.handle_one_request()

    def do_POST(self) -> None:
        """Take an export."""
        body = bytearray()
        try:
            signal = self._signal()
            self._receive(body)
            encoding = self.headers.get("Content-Encoding", "identity").strip().lower()
            rejected = self.server.intake.take(signal, body, encoding)
        except ExportError as error:
            self.send_error(*error.args)
            return
        finally:
            self.server.hold(-len(body))
        answer = metrics_service_pb2.ExportMetricsServiceResponse()
        if rejected:
            answer.partial_success.rejected_data_points = len(rejected)
            answer.partial_success.error_message = rejected[0]
            self.server.intake.messages.add(f"rejected {len(rejected)} points: {rejected[0]}")
        encoded = answer.SerializeToString()
        self.send_response_only(200)
        self.send_header("Content-Type", _PROTOBUF)
        self.send_header("Content-Length", str(len(encoded)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(encoded)

    def _signal(self) -> str:
        """``metrics``, ``traces`` or ``logs``. Raises ExportError."""
        path = self.path.partition("?")[0]
        signal = path.removeprefix("/v1/")
        if signal not in REQUESTS or path == signal:
            raise ExportError(404, f"only {', '.join(REQUESTS)} are here, below /v1/; {_PATHS}")
        if self.headers.get_content_type() != _PROTOBUF:
            raise ExportError(415, _NO_JSON)
        return signal

    def _receive(self, body: bytearray) -> None:
        """Append what is sent; it counts as held. Raises ExportError."""
        declared = self.headers.get("Content-Length", "")
        if "Transfer-Encoding" in self.headers or not declared.isdecimal():
            raise ExportError(411, "send the body with a Content-Length, not in chunks")
        if len(declared) > 15 or int(declared) > limits.BODY_BYTES:
            raise ExportError(413, f"the body is larger than {limits.BODY_BYTES} bytes")
        while missing := int(declared) - len(body):
            chunk = self._input.read1(min(missing, _CHUNK))
            if not chunk:
                seconds = f"{limits.REQUEST_SECONDS:g} s"
                raise ExportError(408, f"{missing} bytes of the body are missing after {seconds}")
            self.server.hold(len(chunk))
            body += chunk

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answer with an error and show it; the base class uses this as well."""
        text = printable(message or explain, 300)
        # Without the query, which may contain a key.
        request = f"{self.command or ''} {self.path.partition('?')[0]}".strip() or "a connection"
        self.server.intake.messages.add(f"refused {printable(request, 70)}: {code}, {text}")
        self.request_version = self.protocol_version  # answers to HTTP/0.9 would have no head
        super().send_error(code, explain=text)

    def finish(self) -> None:
        """Read what the client still sends, so that it can read the answer."""
        super().finish()
        self._input.close()
        until = time.monotonic() + limits.LINGER_SECONDS
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_WR)
            self.connection.settimeout(limits.LINGER_SECONDS)
            while time.monotonic() < until and self.connection.recv(_CHUNK):
                pass

    def log_message(self, *_: object) -> None:
        """Log nothing: errors are messages."""
