"""No private data of a request is reported, for all libraries and outcomes."""

import contextlib
from typing import Any
from urllib.parse import urlsplit

import pytest

from opentelemetry.instrumentation.gluellm import snapshot
from opentelemetry.instrumentation.gluellm.telemetry.histograms import DurationObserver
from support.clients import PoolUnderTest, Runner
from support.grpc_server import GrpcServer
from support.http1 import HTTP1Server
from support.http2 import HTTP2Server
from support.libraries import Library
from support.network import unreachable
from support.script import Reply
from support.waiting import wait_until

from .outcomes import Attempts, age_requests, leases, replies, secrets_in_context, url
from .places import Canaries
from .servers import RawServer

CELLS = [
    ("httpx", "sync"),
    ("httpx", "asyncio"),
    ("httpx2", "sync"),
    ("httpx2", "asyncio"),
    ("aiohttp", "asyncio"),
    ("httpx over aiohttp", "asyncio"),
    ("urllib3", "sync"),
    ("grpc", "sync"),
    ("grpc", "asyncio"),
]


def pool_of(runner: Runner, name: str, connections: int) -> PoolUnderTest:
    """Create a client, or the pool that applications use, with this number of connections."""
    library = Library.load("aiohttp" if "aiohttp" in name else name)
    if name in ("aiohttp", "urllib3"):
        return runner.pool(library, max_connections=connections, follow_redirects=True)
    if name == "grpc":
        return runner.client(library)
    # Without verification, since reading CA certificates for each client would take most time.
    limits = library.limits_of_client(connections)
    return runner.client(library, verify=False, follow_redirects=True, **limits)


@pytest.fixture
def failing_observer(canaries: Canaries, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a part of the instrumentation fail with a secret in its message."""
    secret = canaries.plant("an exception of ours")

    def fail(*_: Any) -> None:
        raise RuntimeError(secret)

    monkeypatch.setattr(DurationObserver, "connection_closed", fail)


@pytest.mark.parametrize(("name", "mode"), CELLS)
def test_request_leaves_no_trace_in_telemetry(
    name, mode, start_runner, listen, failing_observer, places, capfd
):
    """Outcomes: answer, refusal, redirect, reset, timeout, cancellation, leak, wait, churn."""
    server: Any = listen(GrpcServer if name == "grpc" else HTTP1Server)
    runner = start_runner(mode)
    path = f"/v1/{places.plant('a path')}"
    with secrets_in_context(places.canaries):
        for reply in replies(places.canaries).values():
            server.reply(path, reply)
            attempts = Attempts(pool_of(runner, name, 1), places)
            attempts.whole(server.origin, path)
            attempts.whole(server.origin, path)
        attempts = Attempts(pool_of(runner, name, 1), places)
        gate = server.gate()
        server.reply(path, Reply(head_after=gate))
        attempts.whole(server.origin, path, read=0.1)
        with unreachable() as there:
            attempts.whole(there.rstrip("/"), path, connect=0.1)
        attempts.whole("http://127.0.0.1:9", path, connect=1.0)
        if mode == "asyncio":
            exchange = attempts.send(server.origin, path)
            wait_until(lambda: any(leases()))
            with contextlib.suppress(BaseException):
                exchange.cancel()
        places.look()
        attempts = Attempts(pool_of(runner, name, 1), places)
        # The response is unfinished, since some libraries release a connection after all data.
        server.reply(path, Reply(chunks=((0.0, b"a"), (gate, b"b"))), Reply())
        held = attempts.send(server.origin, path)
        assert held.head() == 200
        wait_until(lambda: any(r.phase == "unread" for p in snapshot().pools for r in p.requests))
        waiting = None
        if name != "grpc":
            error = attempts.whole(server.origin, path, pool=0.05)
            assert error is not None
            waiting = attempts.send(server.origin, path)
            wait_until(lambda: any(pool.queued for pool in snapshot().pools))
        age_requests(100)
        places.look()
        gate.open()
        held.close()
        if waiting is not None:
            waiting.head()
            waiting.close()
        for _ in range(12):
            short = pool_of(runner, name, 1)
            Attempts(short, places).whole(server.origin, path)
            short.close()
        age_requests(0)
    printed = capfd.readouterr()
    places.add("what was printed", printed.out + printed.err)
    places.assert_no_canary()
    # Check that there was output.
    log = places.texts["log"]
    assert "leak suspected" in log
    assert "server.address" in places.texts["metrics"]
    if name != "grpc":  # whose channels have no spans and no queue
        assert "gluellm.pool.name" in places.texts["spans"]
        assert "observer.connection_closed with RuntimeError" in log
        assert "longest holders" in places.texts["notes on exceptions"]


@pytest.mark.parametrize("name", ["httpx", "httpx2"])
@pytest.mark.parametrize("mode", ["sync", "asyncio"])
def test_http2_request_leaves_no_trace_in_telemetry(name, mode, start_runner, listen, places):
    """Outcomes: answer, reset, end, cut response, GOAWAY, and a stream that stays open."""
    server = listen(HTTP2Server)
    library = Library.load(name)
    pool = start_runner(mode).pool(library, http1=False, http2=True)
    attempts = Attempts(pool, places)
    gate = server.gate()
    with secrets_in_context(places.canaries):
        for reply in replies(places.canaries).values():
            # The server finds replies by path and query.
            for path in ("/v1", f"/{places.plant('a path')}"):
                parts = urlsplit(url(places.canaries, server.origin, path))
                server.reply(f"{parts.path}?{parts.query}", reply)
                attempts.whole(server.origin, path)
        server.reply(f"{parts.path}?{parts.query}", Reply(chunks=((0.0, b"a"), (gate, b"b"))))
        held = attempts.send(server.origin, path)
        held.head()
        age_requests(100)
        places.look()
        server.go_away()
        gate.open()
        held.close()
    places.assert_no_canary()
    assert "leak suspected" in places.texts["log"]
    assert '"network.protocol.version": "2"' in places.texts["metrics"]


@pytest.mark.parametrize("name", ["httpx", "httpx2"])
def test_websocket_upgrade_leaves_no_trace_in_telemetry(name, listen, places):
    """The secrets are in the WebSocket's key, its protocols and its messages."""
    server = listen(RawServer)
    server.lingers = True
    answer = places.plant("the protocol of an answer to an upgrade")
    message = places.plant("a message of a WebSocket")
    server.answer = (
        "HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: websocket\r\n"
        f"Sec-WebSocket-Protocol: {answer}\r\n\r\n{message}"
    ).encode()
    asked = {
        "connection": "upgrade",
        "upgrade": "websocket",
        "sec-websocket-key": places.plant("the key of a WebSocket"),
        "sec-websocket-protocol": places.plant("a protocol that is asked for"),
    }
    with (
        Library.load(name).client.Client(verify=False) as client,
        client.stream("GET", server.url(f"/{message}"), headers=asked) as response,
    ):
        assert response.status_code == 101
        network = response.extensions["network_stream"]
        network.write(message.encode())
        network.read(100)
        places.look()
    places.assert_no_canary()
    assert '"network.protocol.name": "websocket"' in places.texts["metrics"]
