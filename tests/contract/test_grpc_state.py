"""The state of gRPC's channels, the time in it, and the calls that wait for it."""

from __future__ import annotations

import time
from typing import Any

import grpc
import pytest

from opentelemetry.instrumentation.gluellm.telemetry import semconv
from support.clients import Runner
from support.grpc_server import GrpcServer
from support.libraries import Library
from support.listener import Listen
from support.network import UNRESOLVABLE, Certificates, refused_url
from support.outcomes import (
    SLACK,
    assert_near,
    assert_settled,
    connect_failed,
    failed,
    new,
    pool_timeout,
    waited_for_ready,
)
from support.telemetry import Telemetry
from support.waiting import wait_until

STATES = semconv.CHANNEL_STATES
FAST_RETRIES = [
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 100),
]


def states(telemetry: Telemetry) -> dict[str, int]:
    """Channels by state, those that have none left out."""
    return telemetry.by(semconv.CHANNEL_CURRENT, "channel")


def times(telemetry: Telemetry) -> dict[str, float]:
    """Seconds by state."""
    return {state: telemetry.value(semconv.CHANNEL_TIME, channel=state) for state in STATES}


def test_every_state_has_its_series_from_the_first_call_on(
    runner: Runner, library: Library, server: GrpcServer, telemetry: Telemetry
) -> None:
    """An alert asks for transient_failure before there ever was one."""
    pool = runner.pool(library)
    assert telemetry.points(semconv.CHANNEL_TIME) == []
    pool.get(server.url())
    for metric in (semconv.CHANNEL_CURRENT, semconv.CHANNEL_TIME):
        told = [point.attributes[semconv.CHANNEL_STATE] for point in telemetry.points(metric)]
        assert tuple(told) == STATES


def test_slow_set_up_is_connecting_of_call_and_channel(
    runner: Runner, library: Library, listen: Listen, telemetry: Telemetry
) -> None:
    """Both leave it when the connection is there, within some hundredths of the time it took."""
    server = listen(GrpcServer, setup_after=0.4)
    pool: Any = runner.pool(library)
    exchange = pool.ask(server.url())
    wait_until(lambda: telemetry.current("connecting") == 1)
    wait_until(lambda: states(telemetry) == {"connecting": 1})
    exchange.head()
    exchange.read()
    assert_settled(telemetry, [exchange], new())
    arrived = server.timeline.at("request") - exchange.entered
    assert arrived >= 0.4
    assert_near(telemetry.phases()["connecting"], arrived, slack=0.05 * arrived + SLACK)
    assert_near(times(telemetry)["connecting"], arrived, slack=0.05 * arrived + SLACK)
    assert states(telemetry) == {"ready": 1}
    assert telemetry.count(semconv.ACQUIRE_DURATION) == 0


def test_call_that_waits_for_ready_queues_until_then(
    runner: Runner, library: Library, listen: Listen, telemetry: Telemetry
) -> None:
    """Its wait is an acquire, as it asked for, and has a span."""
    server = listen(GrpcServer, setup_after=0.4)
    pool: Any = runner.pool(library)
    exchange = pool.ask(server.url(), pool=30.0)
    wait_until(lambda: telemetry.current("queued") == 1)
    assert telemetry.value(semconv.PEAK_QUEUED) == 1
    exchange.head()
    exchange.read()
    assert_settled(telemetry, [exchange], waited_for_ready(new()))
    arrived = server.timeline.at("request") - exchange.entered
    assert_near(telemetry.total(semconv.ACQUIRE_DURATION), arrived, slack=0.05 * arrived + SLACK)
    (span,) = telemetry.spans("HTTP wait_for_connection")
    assert span.name == f"HTTP wait_for_connection {server.target}"
    assert semconv.SPAN_CONNECTION_ACTIVE not in (span.attributes or {})


def test_call_that_waits_in_vain_for_ready(
    runner: Runner, library: Library, telemetry: Telemetry
) -> None:
    """Its deadline is then a pool timeout: it never got what it queued for."""
    pool: Any = runner.pool(library)
    exchange = pool.ask(refused_url(), pool=0.4)
    wait_until(lambda: states(telemetry) == {"transient_failure": 1})
    assert telemetry.current("queued") == 1
    exchange.failure()
    assert_settled(telemetry, [exchange], waited_for_ready(pool_timeout()))
    assert telemetry.by(semconv.REQUESTS, "rpc") == {"DEADLINE_EXCEEDED": 1}
    told = times(telemetry)
    assert_near(told["transient_failure"] + told["connecting"] + told["idle"], 0.4, slack=2 * SLACK)
    (span,) = telemetry.spans("HTTP wait_for_connection")
    assert (span.attributes or {})[semconv.ERROR_TYPE] == "pool_timeout"


def test_call_that_waits_for_a_server_to_come(
    runner: Runner, library: Library, server: GrpcServer, telemetry: Telemetry
) -> None:
    """It queues through failures to connect, and the channel tells that it was not ready."""
    server.turns_away = True
    pool: Any = runner.pool(library, options=FAST_RETRIES)
    exchange = pool.ask(server.url(), pool=30.0)
    wait_until(lambda: states(telemetry) == {"transient_failure": 1})
    wait_until(lambda: time.monotonic() > exchange.entered + 0.3)
    server.turns_away = False
    exchange.head()
    exchange.read()
    assert_settled(telemetry, [exchange], waited_for_ready(new()))
    assert telemetry.total(semconv.ACQUIRE_DURATION) >= 0.3
    assert times(telemetry)["transient_failure"] > 0.1


@pytest.mark.parametrize("kind", ["stream", "one answer"])
@pytest.mark.parametrize(
    ("where", "error"),
    [("refused", "connection_error"), ("unresolvable", "name_resolution_error")],
)
def test_fail_fast_fails_at_once(
    runner: Runner,
    library: Library,
    telemetry: Telemetry,
    kind: str,
    where: str,
    error: str,
) -> None:
    """By reason; the channel goes on trying."""
    url = refused_url() if where == "refused" else UNRESOLVABLE
    pool: Any = runner.pool(library)
    exchange = (pool.send if kind == "stream" else pool.ask)(url)
    exchange.failure()
    assert_settled(telemetry, [exchange], connect_failed(error))
    assert telemetry.by(semconv.REQUESTS, "rpc") == {"UNAVAILABLE": 1}
    assert set(states(telemetry)) <= {"transient_failure", "connecting", "idle"}
    assert telemetry.phases()["awaiting_response"] == 0


def test_call_on_a_channel_that_has_failed_fails_without_a_wait(
    runner: Runner, library: Library, telemetry: Telemetry
) -> None:
    """Each is told, and the series that an alert asks for was there from the start."""
    pool: Any = runner.pool(library)
    url = refused_url()
    exchanges = [pool.ask(url) for _ in range(3)]
    for exchange in exchanges:
        exchange.failure()
    assert_settled(telemetry, exchanges, *[connect_failed("connection_error")] * 3)
    (point,) = telemetry.points(semconv.REQUESTS, rpc="UNAVAILABLE", error="name_resolution_error")
    assert point.value == 0


def test_deadline_while_connecting_is_a_connect_timeout(
    runner: Runner, library: Library, listen: Listen, telemetry: Telemetry
) -> None:
    """The call did not ask to wait: it was about to go out as soon as there is a connection."""
    server = listen(GrpcServer, setup_after=30.0)
    pool: Any = runner.pool(library)
    exchange = pool.ask(server.url(), connect=0.2)
    exchange.failure()
    assert_settled(telemetry, [exchange], failed("connect_timeout"))
    assert_near(telemetry.phases()["connecting"], 0.2)


def test_certificate_that_is_not_trusted(
    runner: Runner,
    library: Library,
    listen: Listen,
    certificates: Certificates,
    telemetry: Telemetry,
) -> None:
    """TLS failed, not the connection as such."""
    server = listen(GrpcServer, tls=certificates.server("h2"))
    pool: Any = runner.pool(library, credentials=grpc.ssl_channel_credentials())
    exchange = pool.ask(server.url())
    exchange.failure()
    assert_settled(telemetry, [exchange], connect_failed("secure_connection_error"))


def test_channel_over_tls(
    runner: Runner,
    library: Library,
    listen: Listen,
    certificates: Certificates,
    telemetry: Telemetry,
) -> None:
    """It works, and is told as any other."""
    server = listen(GrpcServer, tls=certificates.server("h2"))
    trusted = grpc.ssl_channel_credentials(certificates.authority.cert_pem.bytes())
    pool: Any = runner.pool(library, credentials=trusted)
    exchange = pool.ask(server.url())
    exchange.head()
    exchange.read()
    assert_settled(telemetry, [exchange], new())
    assert server.timeline.count("secured") == 1


def test_connection_that_the_server_closes_leaves_the_channel_idle(
    runner: Runner, library: Library, server: GrpcServer, telemetry: Telemetry
) -> None:
    """An async channel is asked at each collection, a sync one at its next call."""
    pool: Any = runner.pool(library)
    pool.get(server.url())
    ready = time.monotonic()
    wait_until(lambda: time.monotonic() > ready + 0.2)
    server.hang_up()
    if runner.mode != "sync":
        wait_until(lambda: states(telemetry) == {"idle": 1})
        assert_near(times(telemetry)["ready"], time.monotonic() - ready)
    exchange = pool.ask(server.url())
    exchange.head()
    exchange.read()
    wait_until(lambda: states(telemetry) == {"ready": 1})
    assert server.timeline.count("accept") == 2


def test_times_add_up_to_the_channels_life(
    runner: Runner, library: Library, server: GrpcServer, telemetry: Telemetry
) -> None:
    """Whatever states it was in, and after its end too."""
    pool: Any = runner.pool(library)
    pool.get(server.url())
    before = time.monotonic()
    until_then, began = sum(times(telemetry).values()), time.monotonic()
    wait_until(lambda: time.monotonic() > began + 0.2)
    passed = sum(times(telemetry).values()) - until_then
    assert_near(passed, time.monotonic() - began)
    ended = time.monotonic()
    pool.close()
    told = times(telemetry)
    alive = sum(told.values()) - told["shutdown"] - until_then
    assert ended - began <= alive <= time.monotonic() - before
    assert states(telemetry) == {"shutdown": 1}
