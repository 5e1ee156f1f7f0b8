"""The servers and clients of these tests do what they say."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.clients import Runner
from support.http1 import HTTP1Server
from support.http2 import HTTP2Server
from support.libraries import Library
from support.listener import Listen
from support.network import UNRESOLVABLE, Certificates, refused_url, unreachable
from support.proxies import HTTPProxy, SOCKSProxy
from support.script import Failure, Reply
from support.waiting import wait_until


@pytest.fixture(params=["sync", "asyncio", "trio"])
def runner(request: pytest.FixtureRequest) -> Iterator[Runner]:
    with Runner.start(request.param) as runner:
        yield runner


@pytest.fixture(params=["httpx", "httpx2"])
def library(request: pytest.FixtureRequest) -> Library:
    return Library.load(request.param)


def test_a_reply_follows_its_script(runner: Runner, library: Library, server: HTTP1Server) -> None:
    """Head and chunks come after their delays; the timeline has their times."""
    pool = runner.pool(library)
    chunks = ((0.0, b"a"), (0.05, b"b"))
    exchange = pool.send(server.reply("/x", Reply(head_after=0.05, status=201, chunks=chunks)))
    assert exchange.head() == 201
    assert exchange.chunk() == b"a"
    assert exchange.read() == b"b"
    assert exchange.answered - exchange.entered >= 0.05
    assert server.timeline.at("head", "/x") - server.timeline.at("request", "/x") >= 0.05
    server.timeline.wait_for("body_end")  # noted once it is sent, which a reader may see before
    assert [moment.kind for moment in server.timeline.moments] == [
        "accept",
        "request",
        "head",
        "chunk",
        "chunk",
        "body_end",
    ]
    pool.get(server.url("/y"))
    assert server.timeline.count("accept") == 1
    pool.close()
    server.timeline.wait_for("peer_closed")


def test_a_gate_holds_a_reply(runner: Runner, library: Library, server: HTTP1Server) -> None:
    """The head comes once the test opens the gate, and not before."""
    gate = server.gate()
    pool = runner.pool(library)
    exchange = pool.send(server.reply("/", Reply(head_after=gate)))
    server.timeline.wait_for("request")
    assert server.timeline.count("head") == 0
    gate.open()
    assert exchange.head() == 200
    assert exchange.read() == b"ok"
    pool.close()


@pytest.mark.parametrize(
    ("failure", "error"),
    [
        (Failure.RESET_BEFORE_HEAD, "ReadError"),
        (Failure.EOF_BEFORE_HEAD, "RemoteProtocolError"),
        (Failure.RESET_IN_BODY, "ReadError"),
        (Failure.EOF_IN_BODY, "RemoteProtocolError"),
    ],
)
def test_a_reply_breaks_off(
    runner: Runner, library: Library, server: HTTP1Server, failure: Failure, error: str
) -> None:
    """Resets and early ends reach the client as such."""
    gate = server.gate()
    before_head = "head" in failure.value
    pool = runner.pool(library)
    exchange = pool.send(server.reply("/", Reply(end_after=gate, failure=failure)))
    if before_head:
        raised = exchange.failure()
    else:
        exchange.head()
        assert exchange.chunk() == b"ok"
        gate.open()
        with pytest.raises(getattr(library.core, error)) as caught:
            exchange.read()
        raised = caught.value
        exchange.wait()
    assert type(raised).__name__ == error
    pool.close()


def test_nothing_answers_there(runner: Runner, library: Library) -> None:
    """Refused, unresolvable and unreachable addresses fail in their own ways."""
    pool = runner.pool(library)
    assert isinstance(pool.send(refused_url()).failure(), library.core.ConnectError)
    assert isinstance(pool.send(UNRESOLVABLE).failure(), library.core.ConnectError)
    with unreachable() as url:
        exchange = pool.send(url, connect=0.1)
        assert isinstance(exchange.failure(), library.core.ConnectTimeout)
    assert exchange.duration >= 0.1
    pool.close()


def test_tls_and_unix_sockets(
    runner: Runner,
    library: Library,
    listen: Listen,
    certificates: Certificates,
    tmp_path: Path,
) -> None:
    """TLS holds back its handshake, is refused where it isn't trusted; a Unix socket serves."""
    tls = listen(HTTP1Server, tls=certificates.server(), setup_after=0.05)
    pool = runner.pool(library, ssl_context=certificates.client())
    exchange = pool.get(tls.url())
    assert tls.timeline.at("secured") - tls.timeline.at("accept") >= 0.05
    assert exchange.duration >= 0.05
    pool.close()
    pool = runner.pool(library, ssl_context=certificates.distrusting_client())
    assert isinstance(pool.send(tls.url()).failure(), library.core.ConnectError)
    pool.close()
    unix = listen(HTTP1Server, unix_path=tmp_path / "socket")
    pool = runner.pool(library, uds=str(tmp_path / "socket"))
    pool.get("http://local/path")
    assert unix.timeline.count("request", "/path") == 1
    pool.close()


@pytest.mark.parametrize("tls", [True, False])
def test_http2_streams(
    runner: Runner, library: Library, listen: Listen, certificates: Certificates, tls: bool
) -> None:
    """Two streams share a connection; a reset ends one of them; GOAWAY ends the connection."""
    server = listen(HTTP2Server, tls=certificates.server("h2") if tls else None)
    pool = runner.pool(
        library, http1=tls, http2=True, ssl_context=certificates.client() if tls else None
    )
    pool.get(server.url("/first"))
    gate = server.gate()
    slow = pool.send(server.reply("/slow", Reply(head_after=gate)))
    server.timeline.wait_for("request", "/slow")
    reset = pool.send(server.reply("/reset", Reply(failure=Failure.RESET_BEFORE_HEAD)))
    server.timeline.wait_for("reset", "/reset")
    gate.open()
    slow.head()
    assert slow.read() == b"ok"
    # Only now: a sync connection has one thread read, and it hands over when its stream is done.
    assert isinstance(reset.failure(), library.core.RemoteProtocolError)
    assert server.timeline.count("accept") == 1
    server.go_away()
    pool.get(server.url("/after"))
    assert server.timeline.count("accept") == 2
    pool.close()


def test_a_full_http2_connection_makes_streams_wait(
    runner: Runner, library: Library, listen: Listen
) -> None:
    """With one stream allowed, the second request reaches the server after the first's end."""
    server = listen(HTTP2Server, max_streams=1)
    pool = runner.pool(library, http1=False, http2=True)
    pool.get(server.url("/first"))
    gate = server.gate()
    one = pool.send(server.reply("/one", Reply(head_after=gate)))
    server.timeline.wait_for("request", "/one")
    two = pool.send(server.url("/two"))
    wait_until(lambda: two.entered)
    gate.open()
    one.head()
    one.read()
    two.head()
    two.read()
    assert server.timeline.at("request", "/two") >= server.timeline.at("body_end", "/one")
    pool.close()


def test_proxies(
    runner: Runner,
    library: Library,
    listen: Listen,
    server: HTTP1Server,
    certificates: Certificates,
) -> None:
    """Requests arrive through a forwarding, a tunnelling and a SOCKS proxy, late where scripted."""
    tls = listen(HTTP1Server, tls=certificates.server())
    http, socks = listen(HTTPProxy), listen(SOCKSProxy)
    http.tunnel_after = socks.tunnel_after = 0.05

    def pool(url: str) -> Any:
        proxy = library.core.Proxy(url)
        return runner.pool(library, proxy=proxy, ssl_context=certificates.client())

    through_http, through_socks = pool(http.origin), pool(f"socks5://127.0.0.1:{socks.port}")
    through_http.get(server.url("/forward"))
    assert server.timeline.count("request", "/forward") == 1
    assert http.timeline.count("forward") == 1
    assert through_http.get(tls.url("/tunnel")).duration >= 0.05
    assert http.timeline.count("connect") == 1
    assert through_socks.get(server.url("/socks")).duration >= 0.05
    assert socks.timeline.count("socks") == 1
    http.refuses = socks.refuses = True
    through_http.close()
    through_socks.close()
    for url, target in ((http.origin, tls.url()), (f"socks5://127.0.0.1:{socks.port}", tls.url())):
        refused = pool(url)
        assert isinstance(refused.send(target).failure(), library.core.ProxyError)
        refused.close()


def test_clients_have_pools(runner: Runner, library: Library, server: HTTP1Server) -> None:
    """A whole client is driven like a bare pool."""
    client = runner.client(library)
    client.get(server.url("/a"), read=5)
    client.get(server.url("/b"))
    assert server.timeline.count("accept") == 1
    assert len(client.connections) == 1
    client.close()


def test_a_cancelled_exchange_ends(library: Library, server: HTTP1Server) -> None:
    """Cancellation reaches a request before its head, in a read and between reads."""
    for mode in ("asyncio", "trio"):
        with Runner.start(mode) as runner:
            pool = runner.pool(library)
            never = server.gate()
            exchange = pool.send(server.reply("/head", Reply(head_after=never)))
            server.timeline.wait_for("request", "/head")
            exchange.cancel()
            for path in ("/read", "/unread"):
                exchange = pool.send(server.reply(path, Reply(end_after=never)))
                exchange.head()
                assert exchange.chunk() == b"ok"
                if path == "/read":
                    exchange.begin_read()
                exchange.cancel()
            assert pool.core._requests == []
            server.timeline.wait_for("peer_closed", count=3)
            server.timeline.moments.clear()
            pool.close()


def test_a_hang_up_closes_idle_connections(
    runner: Runner, library: Library, server: HTTP1Server
) -> None:
    """The client's next request needs a new connection."""
    pool = runner.pool(library)
    pool.get(server.url())
    server.hang_up()
    wait_until(lambda: pool.connections[0].has_expired())
    pool.get(server.url())
    assert server.timeline.count("accept") == 2
    pool.close()


def test_waiting_gives_up() -> None:
    """A condition that never comes true is an assertion error that names it."""
    begin = time.monotonic()
    with pytest.raises(AssertionError, match="the impossible"):
        wait_until(lambda: False, "the impossible", timeout=0.02)
    assert time.monotonic() - begin < 1
