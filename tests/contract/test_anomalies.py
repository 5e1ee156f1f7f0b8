"""Faults of the pool itself, provoked in the real one: each is counted, once, by its kind.

httpcore had several bugs that lost a wake-up or a connection (its issues 658, 785, 830). The faults
here do to the installed version what those did.
"""

from __future__ import annotations

from typing import Any

import pytest

from opentelemetry.instrumentation.gluellm.telemetry import semconv
from support.clients import Runner
from support.http1 import HTTP1Server
from support.libraries import Library
from support.script import Reply
from support.telemetry import Telemetry
from support.waiting import wait_until


def anomalies(telemetry: Telemetry) -> dict[Any, int]:
    """Anomalies by kind; what is 0 is left out."""
    return telemetry.by(semconv.ANOMALIES, "anomaly")


def test_lost_wake_up_is_a_waiter_beside_an_idle_connection(
    runner: Runner, library: Library, server: HTTP1Server, telemetry: Telemetry
) -> None:
    """The connection was given back, and nobody told the request that waits for it."""
    pool = runner.pool(library, max_connections=1)
    gate = server.gate()
    holder = pool.send(server.reply("/held", Reply(end_after=gate)))
    holder.head()
    waiter = pool.send(server.url("/waiter"), pool=60)
    wait_until(lambda: telemetry.current("queued") == 1)
    pool.skip_one_pass()
    gate.open()
    holder.read()
    assert telemetry.current("queued") == 1
    wait_until(lambda: anomalies(telemetry) == {"waiter_with_idle_connection": 1})
    # The next pass heals it.
    following = pool.send(server.url("/next"))
    # Either may be served first: httpcore 1.0 gives both of them the connection.
    bodies = [exchange.begin_read() for exchange in (waiter, following)]
    assert [body.result(10) for body in bodies] == [b"ok", b"ok"]
    assert anomalies(telemetry) == {"waiter_with_idle_connection": 1}


def test_lost_connection_is_orphaned(
    runner: Runner, library: Library, server: HTTP1Server, telemetry: Telemetry
) -> None:
    """Its request is over and the pool takes it for active: its place is gone for good."""
    pool = runner.pool(library, max_connections=2)
    exchange = pool.send(server.reply("/lost", Reply(end_after=server.gate())))
    exchange.head()
    pool.lose_connection()
    exchange.close()
    wait_until(lambda: anomalies(telemetry) == {"orphaned_connection": 1})
    for _ in range(3):
        pool.get(server.url("/other"))
    slow = pool.send(server.reply("/slow", Reply(head_after=2.5)))
    slow.head()
    slow.read()
    assert anomalies(telemetry) == {"orphaned_connection": 1}
    assert telemetry.value(semconv.OCCUPANCY_RATIO) == 0.5


def test_timeout_that_does_not_come_is_an_overrun(
    runner: Runner,
    library: Library,
    server: HTTP1Server,
    telemetry: Telemetry,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The request waits on, far beyond what it asked for."""
    pool = runner.pool(library, max_connections=1)
    gate = server.gate()
    holder = pool.send(server.reply("/held", Reply(end_after=gate)))
    holder.head()
    pool.wait_without_timeout(monkeypatch)
    waiter = pool.send(server.url("/waiter"), pool=0.2)
    wait_until(lambda: anomalies(telemetry) == {"pool_timeout_overrun": 1})
    gate.open()
    holder.read()
    waiter.head()
    waiter.read()
    assert anomalies(telemetry) == {"pool_timeout_overrun": 1}


@pytest.mark.modes("sync", "asyncio", "trio")
def test_pool_that_is_full_for_long_has_none(
    runner: Runner, library: Library, server: HTTP1Server, telemetry: Telemetry
) -> None:
    """A waiter within its timeout, a connection that a slow request has, an idle one elsewhere."""
    pool = runner.pool(library, max_connections=1)
    slow = pool.send(server.reply("/slow", Reply(head_after=3.5)))
    server.timeline.wait_for("request", "/slow")
    waiter = pool.send(server.url("/waiter"), pool=30)
    runner.pool(library).get(server.url("/elsewhere"))
    for exchange in (slow, waiter):
        exchange.head()
        exchange.read()
    assert len(telemetry.points(semconv.ANOMALIES)) >= 3
    assert anomalies(telemetry) == {}
