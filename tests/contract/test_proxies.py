"""Pools behind proxies: connecting to the proxy and through it is set-up."""

import time
from typing import Any

import pytest

from opentelemetry.instrumentation.gluellm import snapshot
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from support.clients import PoolUnderTest, Runner
from support.http1 import HTTP1Server
from support.http2 import HTTP2Server
from support.libraries import Library
from support.listener import Listen
from support.network import Certificates, refused_url, unreachable
from support.outcomes import assert_near, assert_phases, assert_settled
from support.proxies import HTTPProxy, Proxy, SOCKSProxy
from support.rows import connect_failed, new, reused
from support.script import Reply
from support.waiting import wait_until

KINDS = {"forward": HTTPProxy, "tunnel": HTTPProxy, "socks": SOCKSProxy, "socks-tls": SOCKSProxy}


def proxied(
    runner: Runner, library: Library, kind: str, url: str, certificates: Certificates, **more: Any
) -> PoolUnderTest:
    """A pool behind the proxy at this URL."""
    if kind.startswith("socks"):
        url = url.replace("http:", "socks5:")
    proxy = library.core.Proxy(url)
    return runner.pool(library, proxy=proxy, ssl_context=certificates.client(), **more)


def target(listen: Listen, kind: str, certificates: Certificates) -> HTTP1Server:
    """The server behind the proxy: only TLS needs a tunnel."""
    tls = certificates.server() if kind in ("tunnel", "socks-tls") else None
    return listen(HTTP1Server, tls=tls)


@pytest.mark.parametrize("kind", KINDS)
def test_requests_through_a_proxy_have_the_target_as_origin(
    runner, library, listen, certificates, telemetry, kind
):
    """A new and a reused connection; the origin is never the proxy."""
    proxy: Proxy = listen(KINDS[kind])
    proxy.tunnel_after = tunnel = proxy.gate()
    server = target(listen, kind, certificates)
    server.reply("/", Reply(head_after=0.1))
    pool = proxied(runner, library, kind, proxy.origin, certificates)
    first = pool.send(server.url())
    if kind != "forward":
        wait_until(lambda: telemetry.current("connecting") == 1)
        wait_until(lambda: time.monotonic() > first.entered + 0.15)
        telemetry.check(CONNECTION_CONNECTING=1, OPEN_CONNECTIONS=0)
    tunnel.open()
    first.finish()
    second = pool.get(server.url())
    assert_settled(telemetry, [first, second], new(), reused())
    assert telemetry.by(semconv.LEASE_DURATION, "port") == {server.port: 2}
    assert telemetry.by(semconv.CONNECTION_CREATE_DURATION, "port") == {server.port: 1}
    setup = 0.0 if kind == "forward" else server.timeline.at("request") - first.entered
    assert_near(telemetry.total(semconv.CONNECTION_CREATE_DURATION), setup)
    awaited = first.answered + second.answered - first.entered - second.entered - setup
    assert_phases(telemetry, connecting=setup, awaiting_response=awaited)
    assert telemetry.value(semconv.CONNECTION_OPENED) == 1
    assert telemetry.value(semconv.OPEN_CONNECTIONS, state="idle", version="1.1") == 1
    pool.close()
    assert telemetry.closed() == {"pool_closed": 1}
    assert proxy.timeline.count("accept") == 1


@pytest.mark.parametrize("kind", ["tunnel", "socks", "socks-tls"])
def test_refused_tunnel_leaves_no_open_connection(
    runner, library, listen, certificates, telemetry, kind
):
    """The connection to the origin was never established."""
    proxy: Proxy = listen(KINDS[kind])
    proxy.refuses = True
    proxy.tunnel_after = 0.1
    pool = proxied(runner, library, kind, proxy.origin, certificates)
    exchange = pool.send(target(listen, kind, certificates).url())
    assert isinstance(exchange.failure(), library.core.ProxyError)
    # urllib3 has one class for a SOCKS proxy that refuses and one that cannot be reached.
    known = library.name != "urllib3" or kind == "tunnel"
    error = "proxy_error" if known else "connection_error"
    assert_settled(telemetry, [exchange], connect_failed(error))
    assert_phases(telemetry, connecting=exchange.duration)
    telemetry.check(CONNECTION_OPENED=0, OPEN_CONNECTIONS=0, CONNECTION_CONNECTING=0)


@pytest.mark.parametrize("kind", ["forward", "tunnel", "socks"])
def test_missing_proxy_fails_like_a_missing_origin(
    runner, library, listen, certificates, telemetry, kind
):
    """Both for a proxy that refuses connections and for one that cannot be reached."""
    url = target(listen, kind, certificates).url()
    refused = proxied(runner, library, kind, refused_url(), certificates).send(url)
    assert isinstance(refused.failure(), library.raises("connection_error"))
    with unreachable() as proxy:
        late = proxied(runner, library, kind, proxy, certificates).send(url, connect=0.15)
        assert isinstance(late.failure(), library.raises("connect_timeout"))
    rows = connect_failed("connection_error"), connect_failed("connect_timeout")
    assert_settled(telemetry, [refused, late], *rows)
    took = telemetry.total(semconv.CONNECTION_CREATE_DURATION, error="connect_timeout")
    assert_near(took, late.duration)


@pytest.mark.parametrize("kind", ["tunnel", "socks-tls"])
def test_untrusted_server_behind_a_proxy_is_a_failed_set_up(
    runner, library, listen, certificates, telemetry, kind
):
    """TLS fails after the tunnel is established."""
    proxy: Proxy = listen(KINDS[kind])
    server = target(listen, kind, certificates)
    url = proxy.origin if kind == "tunnel" else proxy.origin.replace("http:", "socks5:")
    distrusting = certificates.distrusting_client()
    pool = runner.pool(library, proxy=library.core.Proxy(url), ssl_context=distrusting)
    exchange = pool.send(server.url())
    assert isinstance(exchange.failure(), library.raises("connection_error"))
    assert_settled(telemetry, [exchange], connect_failed("secure_connection_error"))
    (failure,) = snapshot().totals[0].failures
    assert failure.verify_code in (19, 20)  # the authority is unknown
    telemetry.check(CONNECTION_OPENED=0, OPEN_CONNECTIONS=0)


@pytest.mark.parametrize("kind", ["tunnel", "socks-tls"])
def test_protocol_version_is_that_of_the_origin_behind_a_proxy(
    runner, library, listen, certificates, telemetry, kind
):
    proxy: Proxy = listen(KINDS[kind])
    server = listen(HTTP2Server, tls=certificates.server("h2"))
    pool = proxied(runner, library, kind, proxy.origin, certificates, http2=True)
    first = pool.get(server.url())
    second = pool.get(server.url())
    assert_settled(telemetry, [first, second], new(), reused())
    assert telemetry.value(semconv.OPEN_CONNECTIONS, version="2", state="idle") == 1
    telemetry.check(OPEN_CONNECTIONS=1, CONNECTION_OPENED=1)
