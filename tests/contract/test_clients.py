"""Whole clients of httpx and httpx2."""

from __future__ import annotations

from opentelemetry.instrumentation.gluellm.telemetry import semconv
from support.clients import Runner
from support.libraries import Library
from support.outcomes import assert_near, assert_settled
from support.proxies import HTTPProxy
from support.rows import new, pool_timeout, reused
from support.script import Reply
from support.waiting import wait_until


def test_full_client_queues_requests_and_times_out(runner, library, server, telemetry):
    """A full client makes its requests wait, and lets one of them wait too long."""
    client = runner.client(library, **library.limits_of_client(1))
    holder, gate = client.hold(server)
    late = client.send(server.url(), pool=0.1)
    assert isinstance(late.failure(), library.raises_in_client("pool_timeout"))
    waiter = client.send(server.url(), pool=30)
    wait_until(lambda: telemetry.current("queued") == 1)
    telemetry.check(CONNECTION_MAX=1, CONNECTION_IDLE_MAX=library.limits_idle)
    gate.open()
    holder.read()
    waiter.finish()
    assert_settled(telemetry, [holder, late, waiter], new(), pool_timeout(), reused())
    waited = server.timeline.at("body_end", "/held") - waiter.entered
    assert_near(telemetry.total(semconv.ACQUIRE_DURATION, error=None), waited)
    assert telemetry.value(semconv.ACQUIRE_TIMEOUT) == 30
    client.close()
    assert telemetry.by(semconv.POOL_DISCARDED, "discard") == {"closed": 1}


def test_client_stream_separates_reading_from_unread_time(runner, library, server, telemetry):
    """The server's silence is reading; the reader's pause is unread."""
    client = runner.client(library)
    gate = server.gate()
    stream = client.send(server.reply("/", Reply(chunks=((0.0, b"a"), (0.15, b"b"), (gate, b"c")))))
    stream.head()
    assert stream.chunk() == b"a"
    assert stream.chunk() == b"b"
    wait_until(lambda: telemetry.current("unread") == 1)
    gate.open()
    assert stream.read() == b"c"
    assert_settled(telemetry, [stream], new())
    chunks = [server.timeline.at("chunk", nth=n) for n in range(2)]
    assert_near(telemetry.phases()["reading"], chunks[1] - chunks[0])


def test_pool_of_a_clients_proxy_is_observed(runner, library, listen, server, telemetry):
    """The client uses another pool for requests through the proxy."""
    proxy = listen(HTTPProxy)
    client = runner.client(library, mounts={"http://": _transport(runner, library, proxy.origin)})
    first = client.get(server.url())
    second = client.get(server.url())
    assert_settled(telemetry, [first, second], new(), reused())
    assert telemetry.value(semconv.POOL_LIVE) == 1
    assert proxy.timeline.count("forward") == 1
    client.close()
    assert telemetry.value(semconv.POOL_LIVE) == 0


def test_redirect_is_two_requests(runner, library, server, telemetry):
    client = runner.client(library, follow_redirects=True)
    server.reply("/old", Reply(status=302, headers=(("Location", "/new"),)))
    client.get(server.url("/old"))
    assert telemetry.requests() == {(302, None): 1, (200, None): 1}
    assert telemetry.count(semconv.LEASE_DURATION) == 2
    assert telemetry.value(semconv.ACTIVE_REQUESTS) == 0


def _transport(runner: Runner, library: Library, proxy: str) -> object:
    kind = "HTTPTransport" if runner.portal is None else "AsyncHTTPTransport"
    return getattr(library.client, kind)(proxy=proxy)
