"""How late an event loop is that requests run on."""

from __future__ import annotations

import time

import pytest

from opentelemetry.instrumentation.gluellm import diagnose, snapshot
from opentelemetry.instrumentation.gluellm.diagnosis.findings import Kind, Severity
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from support.clients import Runner
from support.http1 import HTTP1Server
from support.installation import instrument
from support.libraries import Library
from support.script import Reply
from support.telemetry import Telemetry
from support.waiting import wait_until

BLOCK = 0.5


@pytest.mark.modes("asyncio")
def test_blocked_loop_is_seen(
    runner: Runner, library: Library, server: HTTP1Server, telemetry: Telemetry
) -> None:
    """A request waits for its head while other code of the loop doesn't let go of it."""
    gate = server.gate()
    exchange = runner.pool(library).send(server.reply("/held", Reply(head_after=gate)))
    server.timeline.wait_for("request", "/held")
    portal = runner.portal
    assert portal is not None
    assert telemetry.value(semconv.EVENT_LOOP_LAG_PEAK) < BLOCK / 2

    def blocked() -> bool:
        portal.call(time.sleep, BLOCK)
        return telemetry.value(semconv.EVENT_LOOP_LAG_PEAK) >= BLOCK / 2

    # The first look, which starts the timer, comes within a second.
    wait_until(blocked)
    for metric in (semconv.EVENT_LOOP_LAG_PEAK, semconv.EVENT_LOOP_LATE_TIME):
        (point,) = telemetry.points(metric)
        assert not point.attributes
    late = telemetry.value(semconv.EVENT_LOOP_LATE_TIME)
    assert late >= BLOCK / 2
    portal.call(time.sleep, BLOCK)
    # Not at once: the timer may be firing.
    wait_until(lambda: telemetry.value(semconv.EVENT_LOOP_LATE_TIME) >= late + BLOCK / 2)
    gate.open()
    exchange.head()
    exchange.read()


def _found() -> dict[Kind, Severity]:
    return {finding.kind: finding.severity for finding in diagnose(snapshot())}


@pytest.mark.modes("asyncio")
def test_one_pause_does_not_hide_who_waits(
    runner: Runner, library: Library, server: HTTP1Server, telemetry: Telemetry
) -> None:
    """The loop pauses once, and requests that are stuck are reported all the same."""
    pool = runner.pool(library, max_connections=1)
    gate = server.gate()
    held = pool.send(server.reply("/held", Reply(head_after=gate)))
    server.timeline.wait_for("request", "/held")
    waiters = [pool.send(server.url()) for _ in range(5)]
    wait_until(lambda: telemetry.current("queued") == 5)
    portal = runner.portal
    assert portal is not None

    def paused() -> bool:
        portal.call(time.sleep, 0.35)
        return telemetry.value(semconv.EVENT_LOOP_LAG_PEAK) > 0.2

    wait_until(paused)
    wait_until(
        lambda: (
            Severity.WARNING
            in (_found().get(Kind.POOL_SATURATED), _found().get(Kind.POOL_TOO_SMALL))
        )
    )
    assert _found()[Kind.BLOCKED_EVENT_LOOP] is Severity.INFO
    gate.open()
    for exchange in (held, *waiters):
        exchange.head()
        exchange.read()


@pytest.mark.modes("asyncio")
def test_blocked_loop_does_not_hide_a_wait_that_it_cannot_explain(
    runner: Runner, library: Library, server: HTTP1Server, telemetry: Telemetry
) -> None:
    """The loop is late for most of the time, but by a tenth of the wait at most."""
    pool = runner.pool(library, max_connections=1)
    gate = server.gate()
    held = pool.send(server.reply("/held", Reply(head_after=gate)))
    server.timeline.wait_for("request", "/held")
    waiter = pool.send(server.url())
    wait_until(lambda: telemetry.current("queued") == 1)
    portal = runner.portal
    assert portal is not None

    def both() -> bool:
        portal.call(time.sleep, 0.15)
        found = _found()
        blocked = found.get(Kind.BLOCKED_EVENT_LOOP, Severity.INFO)
        return blocked is not Severity.INFO and Kind.POOL_SATURATED in found

    wait_until(both)
    gate.open()
    for exchange in (held, waiter):
        exchange.head()
        exchange.read()


@pytest.mark.modes("sync", "asyncio", "trio")
def test_healthy_loop_is_not_late(
    runner: Runner, library: Library, server: HTTP1Server, telemetry: Telemetry
) -> None:
    """A request waits for two seconds, and nothing else happens. Threads have no loop."""
    exchange = runner.pool(library).send(server.reply("/slow", Reply(head_after=2.0)))
    exchange.head()
    exchange.read()
    late = telemetry.value(semconv.EVENT_LOOP_LAG_PEAK)
    if runner.mode == "asyncio":
        assert late < 0.5
    else:
        assert late == 0


def test_turned_off_there_is_no_series(
    runner: Runner, library: Library, server: HTTP1Server, untouched: Telemetry
) -> None:
    """With ``loop_lag=False``."""
    instrument(untouched, loop_lag=False)
    runner.pool(library).get(server.url())
    assert untouched.value(semconv.POOL_OPENED) == 1
    assert untouched.points(semconv.EVENT_LOOP_LAG_PEAK) == []
    assert untouched.points(semconv.EVENT_LOOP_LATE_TIME) == []


def test_late_time_is_0_from_the_start(library: Library, telemetry: Telemetry) -> None:
    """Before any request: a rate cannot see a series that is born late."""
    (point,) = telemetry.points(semconv.EVENT_LOOP_LATE_TIME)
    assert point.value == 0
