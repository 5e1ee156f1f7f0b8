"""Slow calls are not reported as leaks."""

import random

import pytest

from gluellm_pools.fake_provider import Behaviour

from . import calls
from .conftest import PROVIDERS

STREAMS = 4

pytestmark = pytest.mark.anyio


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
    # A stream that is left is logged, so anything that had gone on for longer would have been.
    stream = await llm.acompletion(model="abandoned", **calls.STREAM)
    await anext(aiter(stream))
    clock.advance(3)
    await reports.leak("abandoned")
    await stream.aclose()
    assert [leak.model for leak in reports.leaks()] == ["abandoned"]
    assert len(reports.warnings()) == 1  # nor is a queue stuck, or a client churned
    telemetry.check(LEAKS=1, ANOMALIES=0, INSTRUMENTATION_ERRORS=0)
    await llm.client.close()
