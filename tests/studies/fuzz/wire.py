"""The receiver over real sockets: broken HTTP, and correct HTTP with bad bodies."""

import contextlib
import gzip
import re
import socket
import threading
import zlib
from typing import Any, Self

import psutil
from hypothesis import strategies as st

from gluellm_pools.watch.intake import Intake
from gluellm_pools.watch.receiver import Receiver
from support.waiting import wait_until

from .recorded import changed, exports
from .shown import BODIES
from .target import MOST_SECONDS, Target, assert_clean

ALLOWED = (100, 200, 400, 404, 408, 411, 413, 414, 415, 431, 501, 505)
"""Without 503: one client cannot make the receiver busy."""
_MORE_DESCRIPTORS = 5
_STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ")
_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_BOMB = gzip.compress(bytes(17 * 2**20), 1)
_PATHS = ("/v1/traces", "/v1/logs", "/", "*", "/\x00")
_METHODS = ("GET", "HEAD", "CONNECT", "PRI", "P\u00d6ST", "")
_VERSIONS = ("HTTP/1.0", "HTTP/9.9", "")
_GZIP = b"\x1f\x8b"
_TYPES = ("application/x-protobuf", "application/json", "application/JSON; charset=x", "x", "")
_HEADERS = (
    "Transfer-Encoding: chunked|Transfer-Encoding: xchunked|Transfer-Encoding: chunked, identity|"
    "Transfer-Encoding : chunked|Content-Length: 0|Content-Length: 5|Content-Length: +5|"
    "Content-Length: -1|Content-Length: 5, 6|Content-Length: 99999999999999999999|"
    "Content-Length: 9999999999999999999999999|Expect: 100-continue|Upgrade: websocket|"
    "Connection: upgrade, keep-alive, close|Content-Encoding: gzip|Content-Encoding: deflate|"
    "Content-Encoding: gzip, gzip|Content-Encoding: br|Content-Type: application/x-protobuf|"
    f"X: {'y' * 20_000}| folded: x|no colon|\0: \0|Host: a\r\nHost: b"
).split("|")
_WHOLE = (
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0",
    b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03" + b"x" * 500,
    b"GET / HTTP/0.9\r\n\r\n",
    b"\r\n" * 20_000,
    b"POST " + b"/" * 70_000,
    b"SSH-2.0-x\r\n",
    b"\0" * 100,
    b"",
)
_BAD_CHUNKS = (b"zz\r\nx\r\n", b"5\r\nhell", b"-1\r\n", b"0" * 99 + b"\r\n\r\n")
_FAULTS = "method path version type headers encoding chunks length ends".split()
Draw = Any


@st.composite
def _body(draw: Draw) -> bytes:
    """A body, compressed or not."""
    if draw(st.integers(0, 3)):
        body = draw(st.sampled_from(exports()))
    else:
        _, body = draw(BODIES)
    zipped = gzip.compress(body, 1)
    encoded = st.one_of(
        st.sampled_from(
            (body, body, zipped, zlib.compress(body), _BOMB, zipped * 2, zipped * 1100)
        ),
        st.integers(1, 10).map(lambda cut: zipped[:-cut]),
        st.binary(min_size=1, max_size=20).map(lambda more: zipped + more),
    )
    return bytes(draw(encoded))


@st.composite
def _chunks(draw: Draw, body: bytes) -> bytes:
    """A chunked body, possibly with an error."""
    if draw(st.integers(0, 3)) == 0:
        return draw(st.sampled_from(_BAD_CHUNKS))
    size = max(1, len(body) // draw(st.integers(1, 40)))
    extension = draw(st.sampled_from((b"", b"", b";x=" + b"y" * 50)))
    parts = [body[at : at + size] for at in range(0, len(body), size)]
    framed = [b"%x%s\r\n%s\r\n" % (len(part), extension, part) for part in parts]
    return b"".join(framed) + draw(st.sampled_from((b"0\r\n\r\n", b"0\r\nA: b\r\n\r\n", b"", b"0")))


@st.composite
def _request(draw: Draw) -> bytes:
    """A request with at most two wrong parts."""
    wrong = draw(st.sets(st.sampled_from(_FAULTS), max_size=2))
    body = draw(_body())
    encoding = "gzip" if body.startswith(_GZIP) else "deflate" if body.startswith(b"x") else ""
    method = draw(st.sampled_from(_METHODS)) if "method" in wrong else "POST"
    path = draw(st.sampled_from(_PATHS)) if "path" in wrong else "/v1/metrics"
    version = draw(st.sampled_from(_VERSIONS)) if "version" in wrong else "HTTP/1.1"
    kind = draw(st.sampled_from(_TYPES)) if "type" in wrong else _TYPES[0]
    lines = [f"{method} {path} {version}", "Host: localhost", f"Content-Type: {kind}"]
    if "headers" in wrong:
        lines += draw(st.lists(st.sampled_from(_HEADERS), min_size=1, max_size=3))
    if encoding and "encoding" not in wrong:
        lines.append(f"Content-Encoding: {encoding}")
    if "chunks" in wrong or any("Transfer-Encoding" in line for line in lines):
        lines.append("Transfer-Encoding: chunked")
        body = draw(_chunks(body))
    else:
        off = draw(st.sampled_from((1, -1, 1000))) if "length" in wrong else 0
        lines.append(f"Content-Length: {max(len(body) + off, 0)}")
    end = "\n" if "ends" in wrong else "\r\n"
    return (end.join(lines) + end * 2).encode("latin-1", "replace") + body


@st.composite
def conversation(draw: Draw) -> tuple[list[bytes], str]:
    """The bytes to send, in pieces, and how the conversation ends."""
    parts = [draw(_request()) for _ in range(draw(st.sampled_from((1, 1, 1, 2, 5))))]
    if draw(st.integers(0, 5)) == 0:
        parts.insert(draw(st.integers(0, 1)), draw(st.sampled_from(_WHOLE)))
    sent = b"".join(parts)
    if draw(st.integers(0, 2)) == 0:
        sent = changed(sent, draw(st.randoms(use_true_random=False)), within=400)
    at = draw(st.integers(0, min(len(sent), 500)))
    return [sent[:at], sent[at:]], draw(st.sampled_from(("end", "end", "end", "cut")))


class Wire(Target):
    """A client of the receiver that sends one conversation."""

    name = "conversations with the receiver"

    def __enter__(self) -> Self:
        self._intake = Intake()
        self._receiver = Receiver("127.0.0.1", 0, self._intake)
        self._thread = threading.Thread(target=self._receiver.serve_forever)
        self._thread.start()
        self._good()
        self._descriptors = psutil.Process().num_fds()
        return self

    def __exit__(self, *_: object) -> None:
        most = self._descriptors + _MORE_DESCRIPTORS
        wait_until(lambda: psutil.Process().num_fds() <= most, "descriptors are closed", 30.0)
        self._receiver.shutdown()
        self._receiver.server_close()

    def inputs(self) -> st.SearchStrategy[Any]:
        return conversation()

    def take(self, given_input: tuple[list[bytes], str]) -> str:
        pieces, end = given_input
        try:
            received = talk(self._receiver.port, pieces, end)
        except ConnectionError:
            received = b""
        statuses = statuses_of(received)
        assert all(status in ALLOWED for status in statuses), statuses
        for line in self._intake.messages.latest():
            assert "failed: " not in line, line
            assert_clean(line)
        self._good()
        if end == "cut":
            return "cut off by the client"
        return f"status {statuses[-1]}" if statuses else "closed without an answer"

    def _good(self) -> None:
        """Assert that the receiver still accepts a good export."""
        (body, *_) = exports()
        assert post(self._receiver.port, body) == [200]


def talk(port: int, pieces: list[bytes], end: str) -> bytes:
    """Send the pieces and return what is received.

    Raises ConnectionError, or TimeoutError if the receiver doesn't end the connection.
    """
    with socket.create_connection(("127.0.0.1", port), MOST_SECONDS) as client:
        for piece in pieces:
            client.sendall(piece)
        if end == "cut":
            # Reset the connection instead of closing it.
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            return b""
        received = bytearray()
        # A connection with another protocol than HTTP may end in a reset.
        is_http = not b"".join(pieces).startswith((b"PRI * HTTP/2.0", b"\x16\x03"))
        with contextlib.suppress(BlockingIOError if is_http else OSError):
            client.shutdown(socket.SHUT_WR)
            while part := client.recv(2**16):
                received += part
        return bytes(received)


def post(port: int, body: bytes) -> list[int]:
    """Post an export, and return the statuses of the answers."""
    head = (
        "POST /v1/metrics HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return statuses_of(talk(port, [head.encode() + body], "end"))


def statuses_of(received: bytes) -> list[int]:
    """The status of each answer. Raises AssertionError for other bytes."""
    found, rest = [], received
    while rest:
        begin = _STATUS.match(rest)
        assert begin is not None, rest[:200]
        found.append(int(begin[1]))
        head, _, rest = rest.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        # The answer to HEAD has a length, and no body.
        if length is not None and not _STATUS.match(rest):
            assert len(rest) >= int(length[1]) or not rest
            rest = rest[int(length[1]) :]
    return found
