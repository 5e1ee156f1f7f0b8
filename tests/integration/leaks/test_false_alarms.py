"""Slow calls are not reported as leaks."""

import asyncio
import random
from typing import Any

import pytest

from gluellm_pools.fake_provider import Behaviour
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from support.clock import Clock
from support.telemetry import Telemetry
from support.waiting import until

from . import calls
from .conftest import PROVIDERS
from .reports import Reports

CALLS = 20
STREAMS = 4

pytestmark = pytest.mark.anyio


async def only_a_leak_is_told(
    llm: Any, clock: Clock, reports: Reports, telemetry: Telemetry
) -> None:
    """Leave a stream: that is told, so anything that had gone on for longer would have been."""
    stream = await llm.acompletion(model="abandoned", **calls.STREAM)
    await anext(aiter(stream))
    clock.advance(3)
    await reports.leak("abandoned")
    await stream.aclose()
    assert [leak.model for leak in reports.leaks()] == ["abandoned"]
    assert len(reports.warnings()) == 1  # nor is a queue stuck, or a client churned
    assert telemetry.value(semconv.LEAKS) == 1
    assert telemetry.value(semconv.ANOMALIES) == 0
    assert telemetry.value(semconv.INSTRUMENTATION_ERRORS) == 0


@PROVIDERS
async def test_calls_that_are_silent_for_ten_minutes_are_no_leaks(
    provider, server, clock, reports, telemetry
):
    """The silence is before the head, as with reasoning models, or in a stream."""

    async def read(llm: Any) -> None:
        async for _ in await llm.acompletion(model="silent", **calls.STREAM):
            pass

    llm = calls.create(provider, server, max_retries=0)
    for behaviour in (Behaviour(stall_after=1), Behaviour(head_delay=600)):
        server.script(*[behaviour] * CALLS)
    tasks = [asyncio.create_task(read(llm)) for _ in range(2 * CALLS)]
    silent = ["awaiting_response"] * CALLS + ["reading"] * CALLS
    await until(lambda: sorted(calls.phases("silent")) == silent, "the silence")
    for _ in range(10):
        clock.advance(60)
        await clock.looked(1)
    await only_a_leak_is_told(llm, clock, reports, telemetry)
    assert sorted(calls.phases("silent")) == silent
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    await llm.client.close()


@PROVIDERS
async def test_streams_with_pauses_are_no_leaks(provider, server, clock, reports, telemetry):
    """The reader comes back before the threshold each time, for much longer than it in all."""
    dice = random.Random(4711)

    llm = calls.create(provider, server)
    server.behaviour = Behaviour(tokens=10)
    for _ in range(STREAMS):
        async for _ in await llm.acompletion(model="slow", **calls.STREAM):
            clock.advance(1.9 * dice.random())
            await clock.looked(0)
    await only_a_leak_is_told(llm, clock, reports, telemetry)
    await llm.client.close()
