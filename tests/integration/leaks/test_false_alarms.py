"""Nothing is told of calls that are merely slow, however many and however long.

Time is scaled: the threshold of 5 s stands for the default of 60 s, so 50 s are ten minutes. It is
not less, since a loop that has a hundred streams or a thousand answers at once is late by seconds
on a shared machine, and then its readers have paused for as long.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import random
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from opentelemetry.instrumentation.gluellm.cli.fake_provider import Behaviour, FakeProvider
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from support.telemetry import Telemetry
from support.waiting import until

from . import calls
from .conftest import Instrument
from .reports import Reports

PROVIDERS = ("openai", "anthropic")
pytestmark = pytest.mark.slow
THRESHOLD = 5
TEN_MINUTES = 50.0
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


def test_calls_that_are_silent_for_ten_minutes_are_no_leaks(
    provider_server: FakeProvider, instrument: Instrument, reports: Reports
) -> None:
    """A thousand calls wait for their heads at once, as those of reasoning models do."""
    telemetry = instrument(leak_threshold=THRESHOLD)

    async def run() -> None:
        clients = [calls.create(name, provider_server, max_retries=0) for name in PROVIDERS]
        provider_server.behaviour = Behaviour(head_delay=TEN_MINUTES)
        answers = await asyncio.gather(
            *(
                llm.acompletion(model="silent", **calls.CHAT)
                for llm in clients
                for _ in range(CALLS // len(PROVIDERS))
            )
        )
        assert len(answers) == CALLS
        provider_server.behaviour = Behaviour()
        await leak_is_still_told(clients[0], reports)
        for llm in clients:
            await llm.client.close()

    asyncio.run(run())
    assert provider_server.counts.by_status == {200: CALLS + 1}
    only_the_leak_was_told(reports, telemetry)


Stream = Callable[[], AsyncIterator[object]]


def streams_of_sdk(llm: Any) -> Stream:
    """Streams of an any-llm provider."""

    async def stream() -> AsyncIterator[object]:
        async for chunk in await llm.acompletion(model="streamed", **calls.STREAM):
            yield chunk

    return stream


def streams_of_client(client: Any, url: str) -> Stream:
    """The same of the library that is under the SDK, which costs a fifth."""
    body = {**calls.STREAM, "model": "streamed"}

    async def stream() -> AsyncIterator[object]:
        async with client.stream("POST", url, json=body) as response:
            async for chunk in response.aiter_raw():
                yield chunk

    return stream


def test_streams_with_pauses_are_no_leaks(
    provider_server: FakeProvider, instrument: Instrument, reports: Reports
) -> None:
    """Ten thousand streams in which now the provider pauses, now the reader, now both.

    A tenth of them is any-llm's, since an SDK's stream takes milliseconds of CPU.
    """
    telemetry = instrument(leak_threshold=THRESHOLD, scope="all")
    dice = random.Random(4711)

    async def read(stream: Stream) -> None:
        rate = 2 / (LONGEST_PAUSE * dice.random() + 0.05) if dice.random() < PAUSES else 0
        provider_server.script(Behaviour(tokens=2, token_rate=rate))
        pause = LONGEST_PAUSE * dice.random() if dice.random() < PAUSES else 0
        async with contextlib.aclosing(stream()) as chunks:
            async for _ in chunks:
                if pause:
                    await asyncio.sleep(pause)
                    pause = 0

    async def work(left: Iterator[Stream]) -> None:
        for stream in left:
            await read(stream)

    async def run() -> None:
        llms = [calls.create(name, provider_server, max_retries=0) for name in PROVIDERS]
        modules = [importlib.import_module(name) for name in sorted(set(calls.LIBRARY.values()))]
        clients = [module.AsyncClient(timeout=60, trust_env=False) for module in modules]
        url = f"{provider_server.openai_url}/chat/completions"
        ways = [streams_of_sdk(llm) for llm in llms]
        raw = [streams_of_client(client, url) for client in clients]
        share = STREAMS // 10
        order = [ways[n % len(ways)] for n in range(share)]
        order += [raw[n % len(raw)] for n in range(STREAMS - share)]
        dice.shuffle(order)
        left = iter(order)
        await asyncio.gather(*(work(left) for _ in range(AT_ONCE)))
        assert provider_server.counts.by_status == {200: STREAMS}
        await leak_is_still_told(llms[0], reports)
        for llm in llms:
            await llm.client.close()
        for client in clients:
            await client.aclose()

    asyncio.run(run())
    only_the_leak_was_told(reports, telemetry)
