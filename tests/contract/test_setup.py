"""Establishing a connection: what it took, and how it failed."""

from __future__ import annotations

import pytest

from opentelemetry.instrumentation.gluellm.telemetry import semconv
from support.http1 import HTTP1Server
from support.network import UNRESOLVABLE, refused_url, unreachable
from support.outcomes import assert_near, assert_phases, assert_settled
from support.rows import connect_failed, new, reused
from support.waiting import wait_until


@pytest.mark.modes("sync", "asyncio", "trio")
def test_slow_set_up_is_connecting_and_no_wait(runner, library, listen, certificates, telemetry):
    """A TLS handshake that the server holds back is set-up time: the acquire was immediate."""
    server = listen(HTTP1Server, tls=certificates.server(), setup_after=0.2)
    pool = runner.pool(library, ssl_context=certificates.client())
    exchange = pool.send(server.url())
    server.timeline.wait_for("accept")
    wait_until(lambda: telemetry.current("connecting") == 1)
    telemetry.check(CONNECTION_CONNECTING=1, OPEN_CONNECTIONS=0)
    exchange.finish()
    again = pool.get(server.url())
    assert_settled(telemetry, [exchange, again], new(), reused())
    setup = server.timeline.at("secured") - exchange.entered
    assert_near(telemetry.total(semconv.CONNECTION_CREATE_DURATION), setup)
    assert_phases(telemetry, connecting=setup)
    assert telemetry.total(semconv.ACQUIRE_DURATION) == 0
    assert telemetry.value(semconv.CONNECTION_CONNECTING) == 0
    assert telemetry.value(semconv.OPEN_CONNECTIONS, state="idle") == 1


@pytest.mark.parametrize("error", ["connection_error", "name_resolution_error"])
def test_connecting_fails_at_once(pool, library, telemetry, error):
    """It counts as a lease, with a set-up that failed and no timeout; no connection is left."""
    url = refused_url() if error == "connection_error" else UNRESOLVABLE
    exchange = pool.send(url, connect=5)
    assert isinstance(exchange.failure(), library.raises("connection_error"))
    assert_settled(telemetry, [exchange], connect_failed(error))
    assert_near(telemetry.phases()["connecting"], exchange.duration)
    telemetry.check(CONNECTION_OPENED=0, CONNECTION_CLOSED=0, OPEN_CONNECTIONS=0)
    telemetry.check(CONNECTION_CONNECTING=0)


@pytest.mark.modes("sync", "asyncio", "trio")
def test_connect_timeout(pool, library, telemetry):
    """The set-up took as long as it was given."""
    with unreachable() as url:
        exchange = pool.send(url, connect=0.2)
        wait_until(lambda: telemetry.current("connecting") == 1)
        assert telemetry.value(semconv.CONNECTION_CONNECTING) == 1
        assert isinstance(exchange.failure(), library.raises("connect_timeout"))
    assert_settled(telemetry, [exchange], connect_failed("connect_timeout"))
    took = telemetry.total(semconv.CONNECTION_CREATE_DURATION, error="connect_timeout")
    assert_near(took, exchange.duration)
    assert_phases(telemetry, connecting=exchange.duration)
    assert telemetry.value(semconv.CONNECTION_CONNECTING) == 0


def test_connecting_is_tried_again(runner, library, telemetry):
    """``retries`` belong to the same set-up: one value, which covers them all."""
    pool = runner.pool(library, retries=1)
    exchange = pool.send(refused_url())
    assert isinstance(exchange.failure(), library.raises("connection_error"))
    assert_settled(telemetry, [exchange], connect_failed("connection_error"))
    assert_near(telemetry.total(semconv.CONNECTION_CREATE_DURATION), exchange.duration)


def test_unix_socket(runner, library, listen, telemetry, tmp_path):
    """A Unix socket's connections are like any other's, at the origin as asked for."""
    path = tmp_path / "socket"
    server = listen(HTTP1Server, unix_path=path)
    pool = runner.pool(library, uds=str(path))
    first = pool.get(server.url("/a"))
    second = pool.get(server.url("/b"))
    assert_settled(telemetry, [first, second], new(), reused())
    assert telemetry.count(semconv.LEASE_DURATION, address="local") == 2
    assert telemetry.value(semconv.OPEN_CONNECTIONS, state="idle", address="local") == 1


def test_unsupported_protocol_never_entered_the_pool(pool, library, server, telemetry):
    """A URL that the pool refuses to queue leaves no trace, and disturbs no later request."""
    refused = pool.send(server.url().replace("http:", "gopher:"))
    assert isinstance(refused.failure(), library.core.UnsupportedProtocol)
    served = pool.get(server.url())
    assert_settled(telemetry, [served], new())
