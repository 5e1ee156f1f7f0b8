"""The same bytes are sent with and without the instrumentation."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hyperframe.frame import Frame

from opentelemetry.instrumentation.gluellm.telemetry import semconv
from support.clock import instrumented
from support.grpc_server import GrpcServer
from support.http1 import HTTP1Server
from support.http2 import HTTP2Server
from support.libraries import Library
from support.script import Reply
from support.telemetry import Telemetry

from .conftest import EVERYTHING
from .outcomes import secrets_in_context
from .places import Canaries
from .servers import Recorder
from .test_requests import CELLS as EVERY_CELL

BODY = json.dumps({"prompt": "hi " * 50}).encode()
HEADERS = (("x-first", "1"), ("authorization", "Bearer key"), ("X-Last", "2"))
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def off_and_on(send: Callable[[], Any]) -> tuple[Any, Any]:
    """Return what is sent without and with the instrumentation, in a trace with baggage."""
    telemetry = Telemetry()
    with secrets_in_context(Canaries()):
        without = send()
        with instrumented(telemetry, **EVERYTHING):
            within = send()
            assert telemetry.count(semconv.LEASE_DURATION), "it was off"
    return without, within


CELLS = [cell for cell in EVERY_CELL if cell[0] != "grpc"]  # which has its own test


@pytest.mark.parametrize(("name", "mode"), CELLS)
def test_http_requests_are_the_same_bytes_with_the_instrumentation(
    name, mode, start_runner, listen
):
    """Two requests use one connection, one with a body and one refused."""
    server = listen(HTTP1Server)
    server.reply("/v1/x", Reply(), Reply(status=401), Reply(), Reply(status=401))
    recorder = listen(Recorder, behind=server.port)
    runner = start_runner(mode)
    library = Library.load("aiohttp" if "aiohttp" in name else name)

    def send() -> list[bytes]:
        if name in ("aiohttp", "urllib3"):
            pool = runner.pool(library)
        else:
            pool = runner.client(library, verify=False)
        for body in (BODY, b""):
            exchange = pool.send(recorder.url("/v1/x?a=b"), body=body, headers=HEADERS)
            exchange.head()
            exchange.read()
        pool.close()
        return recorder.take()

    without, within = off_and_on(send)
    assert within == without
    assert len(without) == 1
    assert without[0].count(b"HTTP/1.1") == 2
    for header in (b"traceparent", b"tracestate", b"baggage", b"b3:"):
        assert header not in without[0].lower()


def frames_of(sent: bytes) -> list[tuple[str, bytes]]:
    """Return name and content of the HTTP/2 frames, except for those that answer the peer's."""
    assert sent.startswith(PREFACE)
    rest, found = sent[len(PREFACE) :], []
    while rest:
        frame, length = Frame.parse_frame_header(memoryview(rest[:9]))
        content = rest[9 : 9 + length]
        if not (frame.type in (4, 6) and "ACK" in frame.flags) and frame.type not in (6, 8):
            found.append((f"{type(frame).__name__} {sorted(frame.flags)}", content))
        rest = rest[9 + length :]
    return found


@pytest.mark.parametrize("name", ["httpx", "httpx2", "grpc"])
@pytest.mark.parametrize("mode", ["sync", "asyncio"])
def test_http2_requests_are_the_same_frames_with_the_instrumentation(
    name, mode, start_runner, listen
):
    """Settings, compressed headers or metadata, and data are the same, in the same order."""
    server = listen(GrpcServer if name == "grpc" else HTTP2Server)
    server.reply("/a/b", Reply())
    recorder = listen(Recorder, behind=server.port)
    runner, library = start_runner(mode), Library.load(name)

    def send() -> list[tuple[str, bytes]]:
        if name == "grpc":
            pool, headers = runner.client(library), HEADERS[1:2]
        else:
            pool, headers = runner.pool(library, http1=False, http2=True), HEADERS
        exchange = pool.send(recorder.url("/a/b"), body=BODY, headers=headers)
        exchange.head()
        exchange.read()
        pool.close()
        (sent,) = recorder.take()
        return [frame for frame in frames_of(sent) if not frame[0].startswith("GoAway")]

    without, within = off_and_on(send)
    assert within == without
    frames = {frame.split()[0] for frame, _ in without}
    assert frames >= {"SettingsFrame", "HeadersFrame", "DataFrame"}
