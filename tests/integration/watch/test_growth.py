"""Small bodies that grow when they are decoded: the memory of a real watch stays bounded."""

import gzip
import re
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from opentelemetry.instrumentation.gluellm.cli.watch.bounds import EXPANDED_BYTES
from support.watching import Watch

MOST_MEGABYTES = 300
"""Without counting numbers and texts of lists it was 349."""
ROOM = EXPANDED_BYTES - 1000
PROTOBUF, JSON = "application/x-protobuf", "application/json"

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="only Linux tells the most memory there was"
)


def field(number: int, inner: bytes) -> bytes:
    """A length-delimited field."""
    length, size = b"", len(inner)
    while size > 127:
        length += bytes([size & 127 | 128])
        size >>= 7
    return bytes([number << 3 | 2]) + length + bytes([size]) + inner


def exponential_buckets() -> bytes:
    """Packed numbers of one byte, which take eight once decoded."""
    point = field(8, field(2, b"\x01" * ROOM))
    return field(1, field(2, field(2, field(10, field(1, point)))))


def keys_of_an_entity() -> bytes:
    """Empty texts of two bytes."""
    return field(1, field(1, field(3, b"\x1a\x00" * (ROOM // 2))))


def wide_text() -> bytes:
    """One character that makes all others of its text take four bytes."""
    start = b'{"resourceMetrics":[{"resource":{"attributes":[{"key":"service.name","value":'
    text = b"x" * ROOM + "\N{SNOWMAN}\N{FIRE}".encode()
    return start + b'{"stringValue":"' + text + b'"}}]}}]}'


def post(url: str, body: bytes, content_type: str) -> int:
    """The status of one compressed request."""
    headers = {"Content-Type": content_type, "Content-Encoding": "gzip"}
    request = urllib.request.Request(f"{url}/v1/metrics", gzip.compress(body), headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return int(error.code)


@pytest.mark.slow
def test_bodies_that_grow_take_no_more_than_their_bound():
    """One after the other, twice: 16 KB each as sent."""
    watch = Watch()
    try:
        bodies = [
            (exponential_buckets(), PROTOBUF, 413),
            (keys_of_an_entity(), PROTOBUF, 413),
            (wide_text(), JSON, 200),
        ]
        for body, content_type, status in bodies * 2:
            assert len(body) <= EXPANDED_BYTES
            assert post(watch.url, body, content_type) == status
        found = re.search(
            r"VmHWM:\s+(\d+) kB", Path(f"/proc/{watch.process.pid}/status").read_text()
        )
        assert found is not None
        peak = int(found[1]) // 1024
        print(f"at most {peak} MB")
        assert peak < MOST_MEGABYTES
    finally:
        watch.end()
