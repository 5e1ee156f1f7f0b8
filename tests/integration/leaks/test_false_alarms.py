"""Nothing is told of calls that are merely slow, however many and however long.

Time is scaled: the threshold of 2 s stands for the default of 60 s, so 20 s are ten minutes. The
streams have a threshold of 5 s: a loop that is busy with a hundred of them on a shared machine can
be late by more than 2 s, and then its readers have paused for as long.
"""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from opentelemetry.instrumentation.gluellm.cli.fake_provider import Behaviour, FakeProvider
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from support.telemetry import Telemetry
from support.waiting import until

from . import calls
from .conftest import Instrument
from .reports import Reports

pytestmark = pytest.mark.slow
TEN_MINUTES = 20.0
PATIENT_THRESHOLD = 5
LONGEST_PAUSE = 1.0
"""Seconds."""
CALLS = 1_000
STREAMS = 10_000
AT_ONCE = 100
PAUSES = 0.3
"""The share of streams in which somebody pauses."""


async def leak_is_still_told(llm: Any, reports: Reports) -> None:
    """Leave a stream: if that is told, anything that had gone on for longer would have been."""
    stream = await llm.acompletion(model="abandoned", **calls.STREAM)
    await anext(aiter(stream))
    await until(lambda: reports.leaks("abandoned"), "the leak that is one")
    await stream.aclose()


def only_the_leak_was_told(reports: Reports, telemetry: Telemetry) -> None:
    """Neither a leak, nor a stuck queue, nor an anomaly."""
    assert [leak.whose.model for leak in reports.leaks()] == ["abandoned"]
    assert len(reports.warnings()) == 1
    assert telemetry.value(semconv.LEAKS) == 1
    assert telemetry.value(semconv.ANOMALIES) == 0
    assert telemetry.value(semconv.INSTRUMENTATION_ERRORS) == 0


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
def test_calls_that_are_silent_for_ten_minutes_are_no_leaks(
    provider: str, provider_server: FakeProvider, telemetry: Telemetry, reports: Reports
) -> None:
    """A thousand calls wait for their heads at once, as those of reasoning models do."""
    number = CALLS // 2

    async def run() -> None:
        llm = calls.create(provider, provider_server, max_retries=0)
        provider_server.behaviour = Behaviour(head_delay=TEN_MINUTES)
        tasks = [
            asyncio.create_task(llm.acompletion(model="silent", **calls.CHAT))
            for _ in range(number)
        ]
        answers = await asyncio.gather(*tasks)
        assert len(answers) == number
        provider_server.behaviour = Behaviour()
        await leak_is_still_told(llm, reports)
        await llm.client.close()

    asyncio.run(run())
    assert provider_server.counts.by_status == {200: number + 1}
    only_the_leak_was_told(reports, telemetry)


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
def test_streams_with_pauses_are_no_leaks(
    provider: str, provider_server: FakeProvider, instrument: Instrument, reports: Reports
) -> None:
    """Ten thousand streams in which now the provider pauses, now the reader, now both."""
    telemetry = instrument(leak_threshold=PATIENT_THRESHOLD)
    number = STREAMS // 2
    dice = random.Random(4711)

    async def read(llm: Any) -> None:
        rate = 2 / (LONGEST_PAUSE * dice.random() + 0.05) if dice.random() < PAUSES else 0
        provider_server.script(Behaviour(tokens=2, token_rate=rate))
        pause = LONGEST_PAUSE * dice.random() if dice.random() < PAUSES else 0
        async for _ in await llm.acompletion(model="streamed", **calls.STREAM):
            if pause:
                await asyncio.sleep(pause / 2)

    async def work(llm: Any, share: int) -> None:
        for _ in range(share):
            await read(llm)

    async def run() -> None:
        llm = calls.create(provider, provider_server, max_retries=0)
        await asyncio.gather(*(work(llm, number // AT_ONCE) for _ in range(AT_ONCE)))
        await leak_is_still_told(llm, reports)
        await llm.client.close()

    asyncio.run(run())
    assert provider_server.counts.by_status == {200: number + 1}
    only_the_leak_was_told(reports, telemetry)
