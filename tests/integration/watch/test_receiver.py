"""The receiver with real sockets: answers of OTLP/HTTP, and hostile or broken clients."""

import contextlib
import gzip
import re
import socket
import threading
import time
import zlib
from collections.abc import Iterator

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceResponse,
)

from gluellm_pools.watch import limits
from gluellm_pools.watch.intake import Intake
from gluellm_pools.watch.receiver import Receiver
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from support.otlp import logs_request, metrics_request, number, traces_request
from support.waiting import wait_until

PROTOBUF = "application/x-protobuf"
WHOLE = metrics_request(number(semconv.REQUESTS, 5)).SerializeToString()


class Running:
    """A receiver with its intake, and the connections to it."""

    def __init__(self) -> None:
        self.intake = Intake()
        self.receiver = Receiver("127.0.0.1", 0, self.intake)
        self.thread = threading.Thread(target=self.receiver.serve_forever, args=(0.05,))
        self.thread.start()
        self.clients: list[socket.socket] = []

    def connect(self, sent: bytes = b"") -> socket.socket:
        client = socket.create_connection(("127.0.0.1", self.receiver.port), 60)
        self.clients.append(client)
        client.sendall(sent)
        return client

    def send(self, sent: bytes) -> tuple[int, str, bytes]:
        """Send bytes and return the answer."""
        return answer(self.connect(sent))

    def post(self, body: bytes, **options: str) -> tuple[int, str, bytes]:
        return self.send(head(len(body), **options) + body)

    @property
    def requests(self) -> list[int]:
        """Number of requests of each pool."""
        processes = self.intake.processes.values()
        return [pool.requests for process in processes for pool in process.view().pools.values()]

    @property
    def message(self) -> str:
        """The only message."""
        (only,) = self.intake.messages.latest()
        return only


def answer(client: socket.socket) -> tuple[int, str, bytes]:
    """Read status, head and body until the connection is closed."""
    received = b""
    while part := client.recv(2**16):
        received += part
    first, _, body = received.partition(b"\r\n\r\n")
    return int(first.split()[1]), first.decode(), body


def head(
    length: int | None,
    content_type: str = PROTOBUF,
    path: str = "/v1/metrics",
    method: str = "POST",
    **headers: str,
) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", f"Content-Type: {content_type}"]
    if length is not None:
        lines.append(f"Content-Length: {length}")
    lines += [f"{key.replace('_', '-')}: {value}" for key, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode()


@pytest.fixture
def watch() -> Iterator[Running]:
    """A receiver. After the test, no connection and no body is left."""
    found = Running()
    try:
        yield found
    finally:
        for client in found.clients:
            client.close()
        wait_until(lambda: not found.receiver._deadlines, "all connections are closed")
        assert found.receiver._held == 0
        found.receiver.shutdown()
        found.receiver.server_close()


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make limits short enough for a test."""
    monkeypatch.setattr(limits, "REQUEST_SECONDS", 0.3)


@pytest.mark.parametrize("compression", ["", "identity", "gzip", "GZIP", "deflate"])
def test_an_export_is_accepted(watch, compression):
    """The status is 200, and there is no partial success if all was accepted."""
    compress = {"gzip": gzip.compress, "deflate": zlib.compress}.get(compression.lower(), bytes)
    headers = {"Content_Encoding": compression} if compression else {}
    status, first, body = watch.post(compress(WHOLE), **headers)
    assert (status, body) == (200, b"")
    assert f"Content-Type: {PROTOBUF}" in first
    assert watch.requests == [5]
    assert watch.intake.messages.latest() == []


def test_every_signal_is_accepted(watch):
    """Exporters with default settings log no errors."""
    for signal, message in {"traces": traces_request(), "logs": logs_request("a leak")}.items():
        body = message.SerializeToString()
        status, _, _ = watch.post(body, content_type=f"{PROTOBUF}; x=y", path=f"/v1/{signal}")
        assert status == 200


def test_rejected_points_are_reported_as_a_partial_success(watch):
    """The status is 200, since sending them again would not help."""
    request = metrics_request(number(semconv.REQUESTS, 5), number(semconv.TIMEOUTS, float("nan")))
    status, _, body = watch.post(request.SerializeToString())
    partial = ExportMetricsServiceResponse.FromString(body).partial_success
    assert (status, partial.rejected_data_points) == (200, 1)
    assert "not a number" in partial.error_message
    assert "rejected 1 points: gluellm.pool.timeouts" in watch.message
    assert watch.requests == [5]


REFUSED = {
    "truncated protobuf": (400, "truncated", head(len(WHOLE) - 1) + WHOLE[:-1]),
    "not gzip": (400, "not gzip", head(len(WHOLE), Content_Encoding="gzip") + WHOLE),
    "another path": (404, "only metrics, traces, logs", head(0, path="/v1/metric%1b%07?x")),
    "doubled path": (
        404,
        "out of OTEL_EXPORTER_OTLP_ENDPOINT",
        head(0, path="/v1/metrics/v1/metrics"),
    ),
    "another method": (501, "Unsupported method", head(0, method="GET")),
    "JSON": (415, "OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf", head(2, "application/json") + b"{}"),
    "no content type": (415, PROTOBUF, head(2, "") + b"{}"),
    "chunked": (411, "Content-Length", head(None, Transfer_Encoding="chunked") + b"0\r\n\r\n"),
    "no length": (411, "Content-Length", head(None)),
    "too long": (413, str(limits.BODY_BYTES), head(10**15)),
    "giant head": (431, "head", b"POST /v1/metrics HTTP/1.1\r\nX: " + b"x" * 100_000),
    "giant line": (431, "head", b"A" * 100_000),
    "no HTTP": (400, "Bad", b"x y z\r\n\r\n"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_bad_requests_get_a_status_and_advice(watch, what):
    """The advice is in plain text, which exporters log, and in the view."""
    status, advice, sent = REFUSED[what]
    found, first, body = watch.send(sent)
    assert found == status
    assert advice in body.decode()
    assert "Content-Type: text/plain" in first
    assert str(status) in watch.message
    assert watch.message.isprintable()
    assert not watch.requests


def test_a_client_sees_the_answer_to_a_body_that_is_too_large(watch, monkeypatch):
    """The client is still sending, so a reset would discard the answer."""
    monkeypatch.setattr(limits, "LINGER_SECONDS", 60.0)
    client = watch.connect(head(8 * limits.BODY_BYTES))
    client.sendall(bytes(2 * limits.BODY_BYTES))
    client.shutdown(socket.SHUT_WR)
    assert answer(client)[0] == 413


def test_expect_100_continue_is_answered(watch):
    """curl sends it with bodies above 1 MiB."""
    client = watch.connect(head(len(WHOLE), Expect="100-continue"))
    assert b" 100 Continue\r\n\r\n" in client.recv(2**16)
    client.sendall(WHOLE)
    assert answer(client)[0] == 200


@pytest.mark.parametrize("sent", [b"", b"POST /v1/metrics HTTP/1.1\r\nHost: x\r\n"], ids=range(2))
@pytest.mark.usefixtures("hasty")
def test_a_connection_without_a_whole_head_is_closed(watch, sent):
    """There is no message, since browsers and port scanners do this."""
    assert watch.connect(sent).recv(1) == b""
    assert watch.intake.messages.latest() == []


def test_slow_body_gets_408(watch):
    """This holds even if the client sends a byte from time to time."""
    client = watch.connect(head(10_000, Expect="100-continue"))
    assert b"100" in client.recv(2**16)  # the head was in time
    deadlines = dict.fromkeys(watch.receiver._deadlines, time.monotonic() + 0.3)
    watch.receiver._deadlines = deadlines

    def drip() -> None:
        with contextlib.suppress(OSError):
            while True:
                time.sleep(0.05)
                client.sendall(b"x")

    threading.Thread(target=drip, daemon=True).start()
    status, _, body = answer(client)
    assert status == 408
    assert b"are missing" in body


@pytest.mark.parametrize("sent", [b"", b"POST /v1/met", head(100) + b"half"], ids=range(3))
def test_connection_of_a_client_that_disconnects_is_released(watch, sent):
    """It disconnects before, in or after the head of a request."""
    client = watch.connect(sent)
    wait_until(lambda: watch.receiver._deadlines, "it is served")
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    client.close()
    wait_until(lambda: not watch.receiver._deadlines, "the connection is released")
    assert not re.search("failed", "".join(watch.intake.messages.latest()))


def test_a_client_that_half_closes_its_connection_gets_its_answer(watch):
    """It has sent its whole request."""
    client = watch.connect(head(len(WHOLE)) + WHOLE)
    client.shutdown(socket.SHUT_WR)
    assert answer(client)[0] == 200


@pytest.mark.parametrize(
    ("sent", "advice"),
    [
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(18), "OTEL_EXPORTER_OTLP_PROTOCOL"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500), "http://, not https://"),
    ],
    ids=["gRPC", "TLS"],
)
def test_another_protocol_is_recognized_and_reported(watch, sent, advice):
    """The view names the variable to set, since the program's exporter logs little."""
    client = watch.connect(sent)
    client.shutdown(socket.SHUT_WR)
    assert client.recv(1) == b""
    assert advice in watch.message


def test_too_many_connections_are_closed(watch):
    """Later, the receiver accepts connections again."""
    busy = [watch.connect(head(100) + b"half") for _ in range(limits.CONNECTIONS)]
    wait_until(lambda: len(watch.receiver._deadlines) == limits.CONNECTIONS, "all are busy")
    with contextlib.suppress(ConnectionResetError):
        assert watch.connect().recv(1) == b""
    assert "more than 64" in watch.message
    for client in busy:
        client.close()
    wait_until(lambda: not watch.receiver._deadlines, "all are released")
    assert watch.post(WHOLE)[0] == 200


def test_the_size_of_all_bodies_is_bounded(watch, monkeypatch):
    """A body beyond the bound gets 503. Others are served."""
    monkeypatch.setattr(limits, "HELD_BYTES", 7 * 2**19)
    slow = [watch.connect(head(limits.BODY_BYTES) + bytes(2**20)) for _ in range(4)]
    wait_until(lambda: any("503" in line for line in watch.intake.messages.latest()), "one is 503")
    assert watch.post(WHOLE)[0] == 200
    for client in slow:
        client.close()


def test_client_that_reads_no_answer_is_closed(watch, monkeypatch):
    """It sends without end, which the receiver reads only for a short time."""
    monkeypatch.setattr(limits, "LINGER_SECONDS", 0.3)
    client = watch.connect(head(0, path="/"))
    with contextlib.suppress(ConnectionError):
        while True:
            client.sendall(bytes(2**16))


@pytest.mark.parametrize(
    ("host", "url"), [("127.0.0.1", "http://127.0.0.1:"), ("localhost", "http://localhost:")]
)
def test_programs_on_this_machine_can_use_the_url(host, url):
    with Receiver(host, 0, Intake()) as receiver:
        assert re.fullmatch(rf"{url}\d+", receiver.url)
