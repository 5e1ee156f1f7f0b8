"""The receiver behind real sockets: OTLP/HTTP's answers, and clients that mean harm or break."""

import asyncio
import gzip
import json
import socket
import zlib
from collections.abc import AsyncIterator

import pytest
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceResponse,
)

from gluellm_pools.watch import connection as connection_module
from gluellm_pools.watch import receiver as receiver_module
from gluellm_pools.watch.intake import Intake
from gluellm_pools.watch.limits import BODY_BYTES, CONNECTIONS
from gluellm_pools.watch.notes import Notes
from gluellm_pools.watch.processes import Processes
from gluellm_pools.watch.receiver import Receiver
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from support.otlp import as_json, logs_request, metrics_request, number, traces_request
from support.waiting import until

pytestmark = pytest.mark.anyio
PROTOBUF, JSON = "application/x-protobuf", "application/json"
REQUEST = metrics_request(number(semconv.REQUESTS, 5))
WHOLE = REQUEST.SerializeToString()


class Client:
    """One connection, written to byte by byte."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body of the next answer."""
        async with asyncio.timeout(20):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
            first, *lines = head.strip().split("\r\n")
            headers = {k.lower(): v for k, v in (line.split(": ", 1) for line in lines)}
            body = await self.reader.readexactly(int(headers.get("content-length", 0)))
            return int(first.split()[1]), headers, body

    async def closed(self) -> bool:
        """Whether nothing more comes."""
        async with asyncio.timeout(20):
            try:
                return await self.reader.read() == b""
            except ConnectionResetError:
                return True


class Running:
    """A receiver with what it fills."""

    def __init__(self) -> None:
        self.notes = Notes()
        self.intake = Intake(Processes())
        self.receiver = Receiver(self.intake, self.notes)
        self.clients: list[Client] = []

    async def connect(self, receive_buffer: int | None = None) -> Client:
        own = socket.socket()
        own.setblocking(False)
        if receive_buffer is not None:
            own.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        address = ("127.0.0.1", self.receiver.port)
        await asyncio.get_running_loop().sock_connect(own, address)
        client = Client(*await asyncio.open_connection(sock=own))
        self.clients.append(client)
        return client

    async def post(
        self, body: bytes, content_type: str = PROTOBUF, path: str = "/v1/metrics", **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        """The answer to one request on a connection of its own."""
        client = await self.connect()
        await client.send(head(len(body), content_type, path, **headers) + body)
        return await client.answer()

    @property
    def requests(self) -> list[int]:
        """Requests of each pool that was told of."""
        return [
            pool.requests
            for process in self.intake.processes
            for pool in process.view().pools.values()
        ]


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
async def watch() -> AsyncIterator[Running]:
    """A receiver, which holds nothing back at the test's end."""
    found = Running()
    await found.receiver.start("127.0.0.1", 0)
    try:
        yield found
        await until(lambda: found.receiver._held == 0, "all bodies are released")
    finally:
        for client in found.clients:
            client.writer.close()
        await found.receiver.stop()


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Patience that a test can outwait."""
    for name in ("HEAD_SECONDS", "BODY_SECONDS", "LINGER_SECONDS"):
        monkeypatch.setattr(connection_module, name, 0.3)


@pytest.mark.parametrize("encoding", [PROTOBUF, JSON])
@pytest.mark.parametrize("compression", ["", "identity", "gzip", "GZIP", "deflate"])
async def test_an_export_is_taken_and_answered_in_its_own_encoding(watch, encoding, compression):
    """200, and no partial success where all was taken."""
    body = WHOLE if encoding == PROTOBUF else as_json(REQUEST)
    compress = {"gzip": gzip.compress, "deflate": zlib.compress}.get(compression.lower(), bytes)
    headers = {"Content_Encoding": compression} if compression else {}
    status, found, answer = await watch.post(compress(body), encoding, **headers)
    assert (status, found["content-type"]) == (200, encoding)
    assert answer == (b"" if encoding == PROTOBUF else b"{}")
    assert watch.requests == [5]
    assert not watch.notes.lines()


async def test_every_signal_is_accepted(watch):
    """A default exporter logs no errors."""
    made = {"metrics": REQUEST, "traces": traces_request(), "logs": logs_request("a leak")}
    for signal, message in made.items():
        for body, encoding in ((message.SerializeToString(), PROTOBUF), (as_json(message), JSON)):
            answer = await watch.post(body, f"{encoding}; charset=utf-8", f"/v1/{signal}")
            assert answer[0] == 200


async def test_rejected_points_are_reported_as_a_partial_success(watch):
    """The status is 200, since sending them again would not help."""
    request = metrics_request(number(semconv.REQUESTS, 5), number(semconv.TIMEOUTS, float("nan")))
    status, _, body = await watch.post(request.SerializeToString())
    answer = ExportMetricsServiceResponse.FromString(body)
    assert status == 200
    assert answer.partial_success.rejected_data_points == 1
    assert "not a number" in answer.partial_success.error_message
    assert "rejected 1 point: gluellm.pool.timeouts" in watch.notes.lines()[0]
    _, _, body = await watch.post(as_json(request), JSON)
    assert json.loads(body)["partialSuccess"]["rejectedDataPoints"] == "1"
    assert watch.requests == [5]


@pytest.mark.parametrize(
    ("status", "said", "sent"),
    [
        (400, "truncated", head(len(WHOLE) - 1) + WHOLE[:-1]),
        (400, "not gzip", head(len(WHOLE), Content_Encoding="gzip") + WHOLE),
        (404, "POST /v1/metrics", head(0, path="/")),
        (404, "POST /v1/metrics", head(0, path="/v1/metric%1b%07?x")),
        (
            404,
            "take /v1/metrics out of OTEL_EXPORTER_OTLP_ENDPOINT",
            head(0, path="/v1/metrics/v1/metrics"),
        ),
        (
            404,
            "take /v1/metrics out of OTEL_EXPORTER_OTLP_ENDPOINT",
            head(0, path="/v1/metrics/v1/traces"),
        ),
        (405, "only POST", head(0, method="GET")),
        (405, "only POST", head(0, method="OPTIONS")),
        (415, "Content-Encoding gzip", head(2, Content_Encoding="br") + b"{}"),
        (415, "Content-Encoding gzip", head(2, Content_Encoding="gzip, gzip") + b"{}"),
        (413, str(BODY_BYTES), head(10**15)),
        (413, "expands to more", head(17 * 1023, Content_Encoding="gzip")),
    ],
    ids=range(12),
)
async def test_bad_requests_get_their_status_in_protobuf(watch, status, said, sent):
    """The google.rpc.Status says what is correct, and so does the view."""
    bomb = b"".join(gzip.compress(bytes(2**20)) for _ in range(18)) if status == 413 else b""
    client = await watch.connect()
    await client.send(sent + bomb)
    found, headers, body = await client.answer()
    assert (found, headers["content-type"]) == (status, PROTOBUF)
    assert said in Status.FromString(body).message
    assert headers.get("allow") == ("POST" if status == 405 else None)
    (line,) = watch.notes.lines()
    assert str(status) in line
    assert not watch.requests


async def test_bad_requests_get_their_status_in_json(watch):
    """Also those whose encoding is neither, as people with curl read it."""
    for content_type, expected in ((JSON, 400), ("text/plain", 415), ("", 415)):
        status, headers, body = await watch.post(b"{", content_type)
        assert (status, headers["content-type"]) == (expected, JSON)
        assert json.loads(body)["message"]


async def test_a_client_sees_the_answer_to_a_body_that_is_too_large(watch):
    """The client is still sending, and a reset would discard the answer."""
    client = await watch.connect()
    await client.send(head(8 * BODY_BYTES))
    await client.send(bytes(2 * BODY_BYTES))
    status, headers, _ = await client.answer()
    assert (status, headers["connection"]) == (413, "close")


async def test_a_body_without_an_end_is_cut_off(watch):
    """Chunked, at no more than the bound."""
    client = await watch.connect()
    await client.send(head(None, Transfer_Encoding="chunked"))
    chunk = b"10000\r\n" + bytes(2**16) + b"\r\n"
    for _ in range(BODY_BYTES // 2**16 + 2):
        await client.send(chunk)
    status, _, _ = await client.answer()
    assert status == 413


async def test_a_chunked_body_is_taken(watch):
    """Some exporters don't know the length before."""
    client = await watch.connect()
    await client.send(head(None, Transfer_Encoding="chunked"))
    for at in range(0, len(WHOLE), 10):
        part = WHOLE[at : at + 10]
        await client.send(f"{len(part):x}\r\n".encode() + part + b"\r\n")
    await client.send(b"0\r\n\r\n")
    assert (await client.answer())[0] == 200
    assert watch.requests == [5]


async def test_expect_100_continue_is_answered(watch):
    """curl sends it with bodies above 1 MiB."""
    client = await watch.connect()
    await client.send(head(len(WHOLE), Expect="100-continue"))
    assert (await client.answer())[0] == 100
    await client.send(WHOLE)
    assert (await client.answer())[0] == 200
    await client.send(head(10**9, Expect="100-continue"))
    assert (await client.answer())[0] == 413


async def test_requests_on_one_connection_are_answered_in_order(watch):
    """Also when the next ones come before the first is answered, and after one that failed."""
    client = await watch.connect()
    good, bad = head(len(WHOLE)) + WHOLE, head(3) + b"\xff\xff\xff"
    await client.send(good + bad + good + good[:-7])
    assert [(await client.answer())[0] for _ in range(3)] == [200, 400, 200]
    await client.send(good[-7:])
    assert (await client.answer())[0] == 200


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        (b"POST /v1/metrics HTTP/1.1\r\nHost: x\r\n", "the head took longer"),
        (head(100) + b"x", "the body took longer"),
    ],
    ids=["head", "body"],
)
@pytest.mark.usefixtures("hasty")
async def test_slow_client_gets_408_and_is_closed(watch, sent, said):
    """Even if it sends a byte now and then."""
    client = await watch.connect()
    await client.send(sent)

    async def drip() -> None:
        while True:
            await asyncio.sleep(0.05)
            await client.send(b"x")

    dripping = asyncio.create_task(drip())
    status, _, body = await client.answer()
    assert status == 408
    assert said.encode() in body
    dripping.cancel()
    assert await client.closed()


@pytest.mark.usefixtures("hasty")
async def test_a_connection_on_which_nothing_comes_is_closed(watch):
    """Without a word, and without a note: browsers and port scanners do so."""
    client = await watch.connect()
    assert await client.closed()
    assert not watch.notes.lines()


@pytest.mark.parametrize("sent", [b"", b"POST /v1/met", head(100) + b"half"], ids=range(3))
async def test_connection_of_a_client_that_disconnects_is_released(watch, sent):
    """Before, in and after the head of a request."""
    client = await watch.connect()
    await client.send(sent)
    await until(lambda: watch.receiver._serving)
    client.writer.transport.abort()
    await until(lambda: not watch.receiver._serving, "the connection is given back")


async def test_a_client_that_closes_only_its_side_gets_its_answer(watch):
    """Half-closed: it has sent all it will."""
    client = await watch.connect()
    await client.send(head(len(WHOLE)) + WHOLE)
    client.writer.write_eof()
    assert (await client.answer())[0] == 200
    assert await client.closed()


async def test_a_giant_head_is_refused(watch):
    """431 at the bound; a line without an end counts as well."""
    for line in (b"X: " + b"x" * 100_000, b"A" * 100_000):
        client = await watch.connect()
        await client.send(b"POST /v1/metrics HTTP/1.1\r\n" + line)
        assert (await client.answer())[0] in (400, 431)


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(18), "OTEL_EXPORTER_OTLP_PROTOCOL"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500), "http://, not https://"),
    ],
    ids=["gRPC", "TLS"],
)
async def test_another_protocol_is_recognized_and_reported(watch, sent, said):
    """The view says what to set, since the program's exporter says little."""
    client = await watch.connect()
    await client.send(sent)
    await client.closed()
    (line,) = watch.notes.lines()
    assert said in line
    assert said in watch.notes.fresh()[0]


@pytest.mark.parametrize(
    "noise",
    [
        b"\x00\xff" * 50,
        b"hello\r\n\r\n",
        b"\r\n" * 20 + b"x y z\r\n\r\n",
        b"GET /\x1b]0;x\x07 HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
    ids=["bytes", "a word", "words", "control characters"],
)
async def test_request_that_is_not_http_gets_400(watch, noise):
    """The receiver continues to serve."""
    client = await watch.connect()
    await client.send(noise)
    client.writer.write_eof()
    assert (await client.answer())[0] == 400
    assert (await watch.post(WHOLE))[0] == 200


async def test_idle_connections_make_room_for_new_ones(watch):
    """Many programs that export now and then keep theirs open."""
    clients = [await watch.connect() for _ in range(CONNECTIONS)]
    await until(lambda: len(watch.receiver._serving) == CONNECTIONS)
    assert (await watch.post(WHOLE))[0] == 200
    assert await clients[0].closed()
    await clients[-1].send(head(len(WHOLE)) + WHOLE)
    assert (await clients[-1].answer())[0] == 200


async def test_too_many_busy_connections_get_503_with_retry_after(watch):
    """Beyond a second bound they get no answer. Afterwards the receiver serves again."""
    busy = [await watch.connect() for _ in range(CONNECTIONS)]
    for client in busy:
        await client.send(head(100) + b"half")
    await until(
        lambda: sum(not c.idle for c in watch.receiver._serving) == CONNECTIONS, "all are busy"
    )
    status, headers, _ = await watch.post(WHOLE)
    assert (status, headers["retry-after"]) == (503, "2")
    crowd = [await watch.connect() for _ in range(200)]
    most = receiver_module.LINGERING
    await until(lambda: sum(c.reader.at_eof() for c in crowd) > 0, "some are cut off")
    assert len(watch.receiver._refusing) <= most
    assert len(watch.receiver._serving) == CONNECTIONS
    for client in (*busy, *crowd):
        client.writer.transport.abort()
    await until(lambda: not watch.receiver._serving and not watch.receiver._refusing)
    assert (await watch.post(WHOLE))[0] == 200


async def test_bodies_are_bounded_all_together(watch, monkeypatch):
    """503 with Retry-After for what would be too much at once; others are served."""
    monkeypatch.setattr(receiver_module, "HELD_BYTES", 7 * 2**19)
    slow = [await watch.connect() for _ in range(4)]
    for client in slow:
        await client.send(head(BODY_BYTES) + bytes(2**20))
    refused = [asyncio.create_task(client.answer()) for client in slow]
    done, _ = await asyncio.wait(refused, return_when=asyncio.FIRST_COMPLETED, timeout=20)
    assert [task.result()[0] for task in done] == [503]
    assert (await watch.post(WHOLE))[0] == 200
    for task in refused:
        task.cancel()
    for client in slow:
        client.writer.transport.abort()


@pytest.mark.usefixtures("hasty")
async def test_client_that_reads_no_responses_is_closed(watch):
    """It sends requests without an end, and what is written for it stays within bounds."""
    for listening in watch.receiver._server.sockets:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    client = await watch.connect(receive_buffer=4096)
    bad = b'{"resourceMetrics": [{"scopeMetrics": ["x"]}]}'
    many = (head(len(bad), JSON) + bad) * 50

    async def flood() -> None:
        while True:
            await client.send(many)

    with pytest.raises(ConnectionError):
        await asyncio.wait_for(flood(), 60)
    await until(lambda: not watch.receiver._serving)


async def test_the_port_of_a_running_receiver_is_taken(watch):
    """OSError, which the command turns into a message."""
    other = Receiver(watch.intake, watch.notes)
    with pytest.raises(OSError, match="in use"):
        await other.start("127.0.0.1", watch.receiver.port)


@pytest.mark.parametrize(
    ("host", "url", "open_to_others"),
    [
        ("127.0.0.1", "http://127.0.0.1:", False),
        ("0.0.0.0", "http://127.0.0.1:", True),
        ("localhost", "http://", False),
    ],
)
async def test_the_url_is_one_that_a_program_here_can_use(host, url, open_to_others):
    """And whether others can reach it is known."""
    receiver = Receiver(Intake(Processes()), Notes())
    await receiver.start(host, 0)
    assert receiver.url.startswith(url)
    assert receiver.beyond_loopback is open_to_others
    await receiver.stop()
