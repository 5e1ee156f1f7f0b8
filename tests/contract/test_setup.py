"""Establishing a connection: its time and its failures."""

import time

import pytest

from opentelemetry.instrumentation.gluellm.telemetry import semconv
from support.http1 import HTTP1Server
from support.network import refused_url
from support.outcomes import assert_near, assert_phases, assert_settled
from support.rows import connect_failed, new, reused
from support.waiting import wait_until


@pytest.mark.modes("sync", "asyncio", "trio")
def test_slow_set_up_counts_as_connecting_and_not_as_queued(
    runner, library, listen, certificates, telemetry
):
    """A TLS handshake that the server delays is set-up time; the acquire is immediate."""
    server = listen(HTTP1Server, tls=certificates.server())
    server.setup_after = gate = server.gate()
    pool = runner.pool(library, ssl_context=certificates.client())
    exchange = pool.send(server.url())
    server.timeline.wait_for("accept")
    wait_until(lambda: telemetry.current("connecting") == 1)
    telemetry.check(CONNECTION_CONNECTING=1, OPEN_CONNECTIONS=0)
    wait_until(lambda: time.monotonic() > exchange.entered + 0.2)
    gate.open()
    exchange.finish()
    again = pool.get(server.url())
    assert_settled(telemetry, [exchange, again], new(), reused())
    setup = server.timeline.at("secured") - exchange.entered
    assert_near(telemetry.total(semconv.CONNECTION_CREATE_DURATION), setup)
    assert_phases(telemetry, connecting=setup)
    assert telemetry.total(semconv.ACQUIRE_DURATION) == 0
    assert telemetry.value(semconv.CONNECTION_CONNECTING) == 0
    assert telemetry.value(semconv.OPEN_CONNECTIONS, state="idle") == 1


def test_retries_belong_to_one_set_up(runner, library, telemetry):
    """``retries`` give one set-up time, which covers all attempts."""
    pool = runner.pool(library, retries=1)
    exchange = pool.send(refused_url())
    assert isinstance(exchange.failure(), library.raises("connection_error"))
    assert_settled(telemetry, [exchange], connect_failed("connection_error"))
    assert_near(telemetry.total(semconv.CONNECTION_CREATE_DURATION), exchange.duration)


def test_connections_over_a_unix_socket_have_the_origin_of_the_request(
    runner, library, listen, telemetry, tmp_path
):
    """The origin is that of the URL, not the path of the socket."""
    path = tmp_path / "socket"
    server = listen(HTTP1Server, unix_path=path)
    pool = runner.pool(library, uds=str(path))
    first = pool.get(server.url("/a"))
    second = pool.get(server.url("/b"))
    assert_settled(telemetry, [first, second], new(), reused())
    assert telemetry.count(semconv.LEASE_DURATION, address="local") == 2
    assert telemetry.value(semconv.OPEN_CONNECTIONS, state="idle", address="local") == 1


def test_url_with_unsupported_protocol_is_not_counted(pool, library, server, telemetry):
    """A URL that the pool refuses to queue is not recorded and does not affect later requests."""
    refused = pool.send(server.url().replace("http:", "gopher:"))
    assert isinstance(refused.failure(), library.core.UnsupportedProtocol)
    served = pool.get(server.url())
    assert_settled(telemetry, [served], new())
