"""A pytest plug-in, ``-p studies.upstream.beneath``: respx answers beneath the pool.

respx replaces the pool's own method, so a suite that uses it sends nothing through a pool. This
plug-in lets respx replace what opens connections instead. The pool, its connections and the
protocol then run, and the mock answers the bytes that they send. Only files that use respx are run.
"""

import contextlib
import importlib
import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import h11
import pytest

_MOCKS = ("respx.mocks", "tests.respx2.mocks")
"""respx, and the copy of it for httpx2 in openai's tests."""
_WITHOUT_BODY = (204, 304)


class _Wire:
    """Both directions of a connection: parses requests and writes responses."""

    def __init__(self, mocks: ModuleType, host: str, port: int) -> None:
        self._mocks = mocks
        self.scheme = "http"
        self._host, self._port = host, port
        self._parser = h11.Connection(h11.SERVER)
        self._head: h11.Request | None = None
        self._body = b""
        self._complete = False
        self.sending: Any = None

    def take(self, sent: bytes) -> None:
        """Parse what the client sends."""
        self._parser.receive_data(sent)
        while True:
            event = self._parser.next_event()
            if isinstance(event, h11.Request):
                self._head = event
            elif isinstance(event, h11.Data):
                self._body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                self._complete = True
            else:
                return

    def request(self) -> Any:
        """The request once it is complete, else None."""
        head, body = self._head, self._body
        if head is None or not self._complete:
            return None
        # A new parser: the old one waits for the response, which it doesn't see.
        self._parser, self._head = h11.Connection(h11.SERVER), None
        self._body, self._complete = b"", False
        url = self._mocks.parse_url(
            (self.scheme.encode(), self._host.encode(), self._port, bytes(head.target))
        )
        return self._mocks.httpx.Request(
            head.method.decode(), url, headers=head.headers.raw_items(), content=body
        )


def _framing(response: Any) -> tuple[bytes, Callable[[bytes], bytes], bytes]:
    """The head of a response, a function that frames a part of its body, and the body's end."""
    names = {name.lower() for name, _ in response.headers.raw}
    chunked = b"content-length" not in names and response.status_code not in _WITHOUT_BODY
    lines = [b"HTTP/1.1 %d Mocked" % response.status_code]
    lines += [
        name + b": " + value
        for name, value in response.headers.raw
        if name.lower() != b"transfer-encoding"
    ]
    if chunked:
        lines.append(b"transfer-encoding: chunked")
    head = b"\r\n".join([*lines, b"", b""])
    return (head, _chunk, b"0\r\n\r\n") if chunked else (head, bytes, b"")


def _chunk(piece: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(piece), piece)


def _written(response: Any) -> Iterator[bytes]:
    head, framed, end = _framing(response)
    yield head
    with contextlib.closing(response.stream):
        for piece in filter(None, response.stream):
            yield framed(piece)
    yield end


async def _written_async(response: Any) -> AsyncIterator[bytes]:
    head, framed, end = _framing(response)
    yield head
    async with contextlib.aclosing(response.stream):
        async for piece in response.stream:
            if piece:
                yield framed(piece)
    yield end


def _streams(mocker: Any, mocks: ModuleType) -> tuple[type, type]:
    """The sync and the async stream class of a copy of httpcore."""

    class Mocked:
        def __init__(self, host: str, port: int) -> None:
            self._wire = _Wire(mocks, host, port)

        def get_extra_info(self, info: str) -> Any:
            return False if info == "is_readable" else None

    class Stream(Mocked, mocks.httpcore.NetworkStream):  # type: ignore[misc,name-defined]
        def write(self, buffer: bytes, timeout: float | None = None) -> None:
            self._wire.take(buffer)

        def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
            request = self._wire.request()
            if request is not None:
                self._wire.sending = _written(mocker.handler(request))
            return next(self._wire.sending, b"")

        def close(self) -> None:
            if self._wire.sending is not None:
                self._wire.sending.close()

        def start_tls(self, *_: Any, **__: Any) -> Any:
            self._wire.scheme = "https"
            return self

    class AsyncStream(Mocked, mocks.httpcore.AsyncNetworkStream):  # type: ignore[misc,name-defined]
        async def write(self, buffer: bytes, timeout: float | None = None) -> None:
            self._wire.take(buffer)

        async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
            request = self._wire.request()
            if request is not None:
                self._wire.sending = _written_async(await mocker.async_handler(request))
            return await anext(self._wire.sending, b"")

        async def aclose(self) -> None:
            if self._wire.sending is not None:
                await self._wire.sending.aclose()

        async def start_tls(self, *_: Any, **__: Any) -> Any:
            self._wire.scheme = "https"
            return self

    return Stream, AsyncStream


def lower(mocks: ModuleType) -> None:
    """Let respx replace what opens connections instead of the pool's method."""
    mocker = mocks.HTTPCoreMocker
    core = mocks.httpcore.__name__
    stream, async_stream = _streams(mocker, mocks)

    def mock(spec: Callable[..., Any]) -> Callable[..., Any]:
        def connect_tcp(self: Any, host: str, port: int, **_: Any) -> Any:
            return stream(host, port)

        async def async_connect_tcp(self: Any, host: str, port: int, **_: Any) -> Any:
            return async_stream(host, port)

        return async_connect_tcp if inspect.iscoroutinefunction(spec) else connect_tcp

    mocker.targets = [f"{core}._backends.sync.SyncBackend", f"{core}._backends.auto.AutoBackend"]
    mocker.target_methods = ["connect_tcp"]
    mocker.mock = mock


@pytest.hookimpl(trylast=True)
def pytest_sessionstart() -> None:
    """Put respx beneath the pools, after a suite's conftest has imported its own copy of it."""
    lowered = 0
    for name in _MOCKS:
        with contextlib.suppress(ImportError):
            lower(importlib.import_module(name))
            lowered += 1
    if not lowered:
        raise pytest.UsageError("no respx to put beneath the pools")


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Leave out the files that don't use respx."""
    if collection_path.is_file() and collection_path.name.startswith("test_"):
        return "respx" not in collection_path.read_text(errors="replace") or None
    return None
