"""How late an event loop is that requests run on."""

from __future__ import annotations

import time

import pytest

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
    (point,) = telemetry.points(semconv.EVENT_LOOP_LAG_PEAK)
    assert not point.attributes
    gate.open()
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
