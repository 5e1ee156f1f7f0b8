"""Metrics under concurrent load with every outcome."""

import random
from collections import Counter

import pytest

from opentelemetry.instrumentation.gluellm.telemetry import semconv
from support.clients import PoolUnderTest, Runner
from support.exchange import Exchange
from support.http2 import HTTP2Server
from support.listener import Listener
from support.script import Failure, Reply
from support.telemetry import Telemetry
from support.waiting import LATENESS, wait_until

ROUNDS = 6
AT_ONCE = 16


@pytest.mark.modes("sync", "asyncio", "trio")
def test_metrics_agree_with_the_clients_under_load(runner, library, server, telemetry):
    """Requests are served, reset, cancelled, or time out in the queue or a read."""
    check_load(runner.pool(library, max_connections=3), server, runner, telemetry)


# Without cancelling, resets and read timeouts: on a shared connection, they can deadlock httpcore
# 1.0.9 and httpcore2 2.16.2, since a cancelled stream keeps its slot. Without threads: two that
# begin at once can send on one stream.
@pytest.mark.modes("asyncio", "trio")
def test_metrics_agree_with_the_clients_under_load_on_http2(runner, library, listen, telemetry):
    """Requests are served or time out in the queue."""
    pool = runner.pool(library, max_connections=3, http1=False, http2=True)
    check_load(pool, listen(HTTP2Server, max_streams=4), runner, telemetry, broken=0.0)


def check_load(
    pool: PoolUnderTest, server: Listener, runner: Runner, telemetry: Telemetry, broken: float = 0.3
) -> None:
    """Run a load on a pool of three connections, and compare the metrics with the outcomes.

    ``broken`` is the share of requests that are reset or never answered.
    """
    never = server.gate()
    ok = server.reply("/ok", Reply(head_after=0.01, end_after=0.01))
    reset = server.reply("/reset", Reply(failure=Failure.RESET_IN_BODY))
    hang = server.reply("/hang", Reply(head_after=never))
    chance = random.Random(7)
    exchanges: list[Exchange] = []
    for _ in range(ROUNDS):
        batch = []
        for _ in range(AT_ONCE):
            dice = chance.random()
            if dice < 1 - broken:
                batch.append(pool.send(ok, pool=0.05 if dice < 0.1 else 30))
            elif dice < 1 - broken / 2:
                batch.append(pool.send(reset))
            else:
                batch.append(pool.send(hang, read=0.03))
        for exchange in batch:
            exchange.begin_read()
        if broken and runner.mode != "sync":
            for exchange in chance.sample(batch, 3):
                exchange.cancel()
        for exchange in batch:
            exchange.wait()
        exchanges += batch
    wait_until(lambda: telemetry.value(semconv.ACTIVE_REQUESTS) == 0)
    assert all(telemetry.current(phase) == 0 for phase in semconv.PHASES)
    assert telemetry.value(semconv.REQUESTS) == len(exchanges)
    assert telemetry.count(semconv.ACQUIRE_DURATION) == len(exchanges)
    never_acquired = telemetry.count(semconv.ACQUIRE_DURATION) - telemetry.count(
        semconv.ACQUIRE_DURATION, error=None
    )
    assert telemetry.count(semconv.LEASE_DURATION) == len(exchanges) - never_acquired
    answered = Counter(exchange.answered > 0 for exchange in exchanges)
    statuses = telemetry.by(semconv.REQUESTS, "status")
    assert statuses.get(200, 0) == answered[True]
    assert statuses.get(None, 0) == answered[False]
    whole = sum(telemetry.phases().values())
    durations = sum(exchange.duration for exchange in exchanges)
    late = len(exchanges) * LATENESS.beside(0)  # each can be late by as much as the machine
    assert whole == pytest.approx(durations, abs=0.1 * durations + late)
    created = telemetry.count(semconv.CONNECTION_CREATE_DURATION, error=None)
    assert telemetry.value(semconv.CONNECTION_OPENED) == created
    assert telemetry.value(semconv.PEAK_ACTIVE) <= 3
    pool.close()
    telemetry.check(CONNECTION_CLOSED=created, OPEN_CONNECTIONS=0, CONNECTION_CONNECTING=0)
    telemetry.check(INSTRUMENTATION_ERRORS=0)
    assert telemetry.points(semconv.ANOMALIES)
    assert telemetry.value(semconv.ANOMALIES) == 0
