"""Pools behind proxies: the way to the proxy and through it is set-up."""

from __future__ import annotations

from typing import Any

import pytest

from opentelemetry.instrumentation.gluellm.telemetry import semconv
from support.clients import PoolUnderTest, Runner
from support.http1 import HTTP1Server
from support.http2 import HTTP2Server
from support.libraries import Library
from support.listener import Listen
from support.network import Certificates, refused_url, unreachable
from support.outcomes import (
    assert_near,
    assert_phases,
    assert_settled,
    connect_failed,
    new,
    reused,
)
from support.proxies import HTTPProxy, Proxy, SOCKSProxy
from support.script import Reply
from support.telemetry import Telemetry
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
    """The server behind: a tunnel is made for TLS only."""
    tls = certificates.server() if kind in ("tunnel", "socks-tls") else None
    return listen(HTTP1Server, tls=tls)


@pytest.mark.parametrize("kind", KINDS)
def test_through_a_proxy(
    runner: Runner,
    library: Library,
    listen: Listen,
    certificates: Certificates,
    telemetry: Telemetry,
    kind: str,
) -> None:
    """A new and a reused connection; the origin is the one asked for, never the proxy."""
    proxy: Proxy = listen(KINDS[kind])
    proxy.tunnel_after = 0.15
    server = target(listen, kind, certificates)
    server.reply("/", Reply(head_after=0.1))
    pool = proxied(runner, library, kind, proxy.origin, certificates)
    first = pool.send(server.url())
    if kind != "forward":
        wait_until(lambda: telemetry.current("connecting") == 1)
        assert telemetry.value(semconv.CONNECTION_CONNECTING) == 1
        assert telemetry.value(semconv.OPEN_CONNECTIONS) == 0
    first.head()
    first.read()
    second = pool.get(server.url())
    assert_settled(telemetry, [first, second], new(), reused())
    for metric in (semconv.LEASE_DURATION, semconv.CONNECTION_CREATE_DURATION):
        assert {point.attributes[semconv.SERVER_PORT] for point in telemetry.points(metric)} == {
            server.port
        }
    setup = 0.0 if kind == "forward" else 0.15
    assert_near(telemetry.total(semconv.CONNECTION_CREATE_DURATION), setup)
    heads = sum(server.timeline.at("head", nth=n) for n in (0, 1))
    asked = sum(server.timeline.at("request", nth=n) for n in (0, 1))
    assert_phases(telemetry, connecting=setup, awaiting_response=heads - asked)
    assert telemetry.value(semconv.CONNECTION_OPENED) == 1
    assert telemetry.value(semconv.OPEN_CONNECTIONS, state="idle", version="1.1") == 1
    pool.close()
    assert telemetry.by(semconv.CONNECTION_CLOSED, "reason") == {"pool_closed": 1}
    assert proxy.timeline.count("accept") == 1


@pytest.mark.parametrize("kind", ["tunnel", "socks", "socks-tls"])
def test_proxy_that_refuses(
    runner: Runner,
    library: Library,
    listen: Listen,
    certificates: Certificates,
    telemetry: Telemetry,
    kind: str,
) -> None:
    """The connection to the origin was not established: no open connection is left behind."""
    proxy: Proxy = listen(KINDS[kind])
    proxy.refuses = True
    proxy.tunnel_after = 0.1
    pool = proxied(runner, library, kind, proxy.origin, certificates)
    exchange = pool.send(target(listen, kind, certificates).url())
    assert isinstance(exchange.failure(), library.core.ProxyError)
    assert_settled(telemetry, [exchange], connect_failed("connection_error"))
    assert_phases(telemetry, connecting=exchange.duration)
    assert telemetry.value(semconv.CONNECTION_OPENED) == 0
    assert telemetry.value(semconv.OPEN_CONNECTIONS) == 0
    assert telemetry.value(semconv.CONNECTION_CONNECTING) == 0


@pytest.mark.parametrize("kind", ["forward", "tunnel", "socks"])
def test_proxy_that_is_not_there(
    runner: Runner,
    library: Library,
    listen: Listen,
    certificates: Certificates,
    telemetry: Telemetry,
    kind: str,
) -> None:
    """A refused and an unreachable proxy fail like a refused and an unreachable origin."""
    url = target(listen, kind, certificates).url()
    refused = proxied(runner, library, kind, refused_url(), certificates).send(url)
    assert isinstance(refused.failure(), library.raises("connection_error"))
    with unreachable() as proxy:
        late = proxied(runner, library, kind, proxy, certificates).send(url, connect=0.15)
        assert isinstance(late.failure(), library.raises("connect_timeout"))
    rows = connect_failed("connection_error"), connect_failed("connect_timeout")
    assert_settled(telemetry, [refused, late], *rows)
    assert_near(telemetry.total(semconv.CONNECTION_CREATE_DURATION, error="connect_timeout"), 0.15)


@pytest.mark.parametrize("kind", ["tunnel", "socks-tls"])
def test_certificate_behind_a_proxy_that_is_not_trusted(
    runner: Runner,
    library: Library,
    listen: Listen,
    certificates: Certificates,
    telemetry: Telemetry,
    kind: str,
) -> None:
    """TLS fails after the tunnel stood: still a set-up that failed."""
    proxy: Proxy = listen(KINDS[kind])
    server = target(listen, kind, certificates)
    url = proxy.origin if kind == "tunnel" else proxy.origin.replace("http:", "socks5:")
    distrusting = certificates.distrusting_client()
    pool = runner.pool(library, proxy=library.core.Proxy(url), ssl_context=distrusting)
    exchange = pool.send(server.url())
    assert isinstance(exchange.failure(), library.raises("connection_error"))
    assert_settled(telemetry, [exchange], connect_failed("secure_connection_error"))
    assert telemetry.value(semconv.CONNECTION_OPENED) == 0
    assert telemetry.value(semconv.OPEN_CONNECTIONS) == 0


@pytest.mark.parametrize("kind", ["tunnel", "socks-tls"])
def test_http2_through_a_proxy(
    runner: Runner,
    library: Library,
    listen: Listen,
    certificates: Certificates,
    telemetry: Telemetry,
    kind: str,
) -> None:
    """What is spoken with the origin counts, whatever is spoken with the proxy."""
    proxy: Proxy = listen(KINDS[kind])
    server = listen(HTTP2Server, tls=certificates.server("h2"))
    pool = proxied(runner, library, kind, proxy.origin, certificates, http2=True)
    first = pool.get(server.url())
    second = pool.get(server.url())
    assert_settled(telemetry, [first, second], new(), reused())
    assert telemetry.value(semconv.OPEN_CONNECTIONS, version="2", state="idle") == 1
    assert telemetry.value(semconv.OPEN_CONNECTIONS) == 1
    assert telemetry.value(semconv.CONNECTION_OPENED) == 1
