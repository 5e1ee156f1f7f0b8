"""Data from hostile servers does not appear in telemetry, and does not break it."""

import contextlib
from typing import Any

import grpc
import grpc.aio
import h2.events
import pytest
from hyperframe.frame import GoAwayFrame

from support.http2 import HTTP2Server
from support.libraries import Library

from .hostile import MARK, TEXTS, assert_all_printable
from .places import Places
from .servers import RawServer, answers


def parts() -> list[tuple[str, str]]:
    """Pair texts with parts of responses: each text with several parts, and vice versa."""
    names = list(answers(""))
    return [
        (what, names[(number * 5 + shift) % len(names)])
        for number, what in enumerate(TEXTS)
        for shift in range(3)
    ]


def assert_silent(places: Places) -> None:
    """Assert that no output has a hostile string, and that all output is printable."""
    places.look()
    for where, text in places.texts.items():
        assert MARK not in text.lower(), f"{where}: {text[text.lower().find(MARK) - 100 :][:300]!r}"
    assert_all_printable(places)


@pytest.mark.parametrize("name", ["httpx", "httpx2", "aiohttp", "urllib3"])
def test_hostile_http_response_leaves_no_trace_in_telemetry(name, start_runner, listen, places):
    """Strings are in reasons, statuses, headers, redirects, lengths, codings, chunks, upgrades."""
    server = listen(RawServer)
    runner = start_runner("asyncio" if name == "aiohttp" else "sync")
    library = Library.load(name)
    for what, part in parts():
        server.answer = answers(TEXTS[what])[part]
        if name == "aiohttp":
            pool = runner.pool(library, follow_redirects=True)
        elif name == "urllib3":
            pool = runner.pool(library)
        else:
            pool = runner.client(library, verify=False, follow_redirects=True)
        exchange = pool.send(server.url("/"), read=5.0, connect=5.0)
        with contextlib.suppress(Exception):
            exchange.head()
            exchange.read()
        pool.close()
    assert server.timeline.count("request") >= len(parts()) * 0.9
    assert_silent(places)


class DebuggingServer(HTTP2Server):
    """Answer each request with GOAWAY and debug data."""

    data = b""

    def _react(self, connection: Any, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.RequestReceived):
            frame = GoAwayFrame(stream_id=0, last_stream_id=0, error_code=11)
            frame.additional_data = self.data
            self.timeline.record("goaway", connection.number)
            connection.writer.write(frame.serialize())
            self._close(connection.number)
        else:
            super()._react(connection, event)


@pytest.mark.parametrize("name", ["httpx", "httpx2"])
def test_debug_data_of_goaway_leaves_no_trace_in_telemetry(name, start_runner, listen, places):
    """The library's exception contains this data."""
    server = listen(DebuggingServer)
    pool = start_runner("sync").pool(Library.load(name), http1=False, http2=True)
    for text in TEXTS.values():
        server.data = text.encode("utf-8", "surrogatepass")[:10_000]
        with contextlib.suppress(Exception):
            pool.get(server.url("/"))
    assert server.timeline.count("goaway") == len(TEXTS)
    assert_silent(places)


def test_hostile_grpc_status_leaves_no_trace_in_telemetry(servers, places):
    """The strings are in details and trailing metadata."""
    texts = [text.replace("\ud800", "").replace("\udfff", "")[:6000] for text in TEXTS.values()]
    waiting = iter(texts)

    async def answer(_request: bytes, context: Any) -> bytes:
        text = next(waiting)
        context.set_trailing_metadata((("x-bin", text.encode()),))
        await context.abort(grpc.StatusCode.INTERNAL, text)
        return b""

    async def start() -> tuple[Any, int]:
        server = grpc.aio.server()
        handler = grpc.unary_unary_rpc_method_handler(answer)
        handlers = grpc.method_handlers_generic_handler("a", {"b": handler})
        server.add_generic_rpc_handlers((handlers,))
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        return server, port

    server, port = servers.call(start())
    details = []
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        for _ in texts:
            with pytest.raises(grpc.RpcError) as raised:
                channel.unary_unary("/a/b")(b"", timeout=10)
            details.append(raised.value.details())
    servers.call(server.stop(None))
    assert sum(MARK in one for one in details) > len(texts) / 2
    assert_silent(places)
