"""Slow readers, readers that come back, and the sync API."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import anthropic
import openai
import pytest

from opentelemetry.instrumentation.gluellm import snapshot
from opentelemetry.instrumentation.gluellm.cli.fake_provider import Behaviour, FakeProvider
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from support.telemetry import Telemetry
from support.waiting import until, wait_until

from . import calls
from .conftest import Instrument
from .reports import TOLD_FOR_TASKS, Leak, Over, Reports, place

PROVIDERS = pytest.mark.parametrize("provider", ["openai", "anthropic"])


async def is_told(reports: Reports, model: str) -> Leak:
    """Wait for a leak to be told, on a loop that goes on."""
    await until(lambda: reports.leaks(model), f"a leak of {model}")
    return reports.leaks(model)[0]


async def is_over(reports: Reports, model: str) -> Over:
    """Wait for a leak to be told to be over."""
    await until(lambda: reports.over(model), f"the end of a leak of {model}")
    return reports.over(model)[0]


@PROVIDERS
def test_slow_consumer_that_goes_on_reading_is_no_leak(
    provider: str, provider_server: FakeProvider, telemetry: Telemetry, reports: Reports
) -> None:
    """A reader that takes a token every second, for longer than the threshold in all.

    A stream that is abandoned in the end shows that a leak would have been told.
    """

    async def run() -> None:
        llm = calls.create(provider, provider_server)
        provider_server.script(Behaviour(tokens=6, token_rate=1.5))
        async for _ in await llm.acompletion(model="slow", **calls.STREAM):
            await asyncio.sleep(1)
        stream = await llm.acompletion(model="abandoned", **calls.STREAM)
        await anext(aiter(stream))
        await is_told(reports, "abandoned")
        await llm.client.close()

    asyncio.run(run())
    assert [leak.whose.model for leak in reports.leaks()] == ["abandoned"]


@PROVIDERS
def test_provider_that_is_silent_is_no_leak(
    provider: str, provider_server: FakeProvider, telemetry: Telemetry, reports: Reports
) -> None:
    """Silent before the head, or in the middle of the stream: a read waits for it all the time."""

    async def run() -> None:
        llm = calls.create(provider, provider_server)
        for behaviour in (Behaviour(stall_after=1), Behaviour(head_delay=60)):
            provider_server.script(behaviour)
        tasks = []
        for number, phase in ((1, "reading"), (2, "awaiting_response")):
            tasks.append(asyncio.create_task(read(llm)))
            await until(lambda: len(calls.phases("silent")) == number, phase)  # noqa: B023
            await until(lambda: phase in calls.phases("silent"), phase)  # noqa: B023
        stream = await llm.acompletion(model="abandoned", **calls.STREAM)
        await anext(aiter(stream))
        await is_told(reports, "abandoned")
        assert sorted(calls.phases("silent")) == ["awaiting_response", "reading"]
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        await llm.client.close()

    async def read(llm: Any) -> None:
        async for _ in await llm.acompletion(model="silent", **calls.STREAM):
            pass

    asyncio.run(run())
    assert [leak.whose.model for leak in reports.leaks()] == ["abandoned"]


async def read_on(stream: Any, server: FakeProvider, reports: Reports) -> None:
    """Read on, and wait for the provider, which has fallen silent."""

    async def read() -> None:
        async for _ in stream:
            pass

    task = asyncio.create_task(read())
    await is_over(reports, "paused")
    task.cancel()
    await asyncio.wait([task])


async def read_to_the_end(stream: Any, server: FakeProvider, reports: Reports) -> None:
    """Read all that is left at once."""
    async for _ in stream:
        pass


async def close(stream: Any, server: FakeProvider, reports: Reports) -> None:
    """Close it instead of reading on."""
    await stream.aclose()


@PROVIDERS
@pytest.mark.parametrize(
    ("then", "how"),
    [
        (read_on, "is read again after all"),
        (read_to_the_end, "was released after all"),
        (close, "was released after all"),
    ],
    ids=["read on", "read to its end", "closed"],
)
def test_consumer_that_comes_back_is_told(
    provider: str,
    then: Callable[[Any, FakeProvider, Reports], Awaitable[None]],
    how: str,
    provider_server: FakeProvider,
    telemetry: Telemetry,
    reports: Reports,
) -> None:
    """After a pause beyond the threshold: a WARNING, and an INFO when it was none after all.

    What is suspected goes down again, what was counted stays.
    """

    async def run() -> None:
        llm = calls.create(provider, provider_server)
        # Read at once, it has to be over before the watch looks again, on a busy machine too.
        few = then is read_to_the_end
        tokens = Behaviour(
            tokens=200 if few else 5000, stall_after=4000 if then is read_on else None
        )
        provider_server.script(tokens)
        stream = await llm.acompletion(model="paused", **calls.STREAM)  # place: paused
        reader = aiter(stream)
        await anext(reader)
        leak = await is_told(reports, "paused")
        assert telemetry.value(semconv.LEAK_SUSPECTED) == 1
        await then(stream, provider_server, reports)
        over = await is_over(reports, "paused")
        assert over.how == how
        assert over.pool == leak.pool
        assert over.whose == leak.whose
        assert leak.held <= over.held
        assert over.whose.place == place(
            __file__, "paused", f"{test_consumer_that_comes_back_is_told.__name__}.<locals>.run"
        )
        assert telemetry.value(semconv.LEAK_SUSPECTED) == 0
        assert telemetry.value(semconv.LEAKS) == 1
        await llm.client.close()

    asyncio.run(run())
    assert len(reports.leaks()) == len(reports.over()) == 1


def sync_client(provider: str, server: FakeProvider) -> Any:
    """The SDK's own client for sync code."""
    if provider == "anthropic":
        return anthropic.Anthropic(base_url=server.anthropic_url, api_key="any", max_retries=0)
    return openai.OpenAI(base_url=server.openai_url, api_key="any", max_retries=0)


@PROVIDERS
def test_leak_of_a_sync_client_is_told_with_the_line_of_the_callers_thread(
    provider: str, provider_server: FakeProvider, instrument: Instrument, reports: Reports
) -> None:
    """Under scope="all" it is the line that sent the request."""
    instrument(scope="all")
    held = []

    def abandon() -> None:
        client = sync_client(provider, provider_server)
        create = (
            client.messages.create if provider == "anthropic" else client.chat.completions.create
        )
        stream = create(model="sync", **calls.STREAM)  # place: sync
        held.extend((client, stream))
        next(iter(stream))

    caller = threading.Thread(target=abandon, name="caller")
    caller.start()
    caller.join()
    (leak,) = wait_until(reports.leaks, "the leak")
    assert leak.whose.place == place(
        __file__,
        "sync",
        "test_leak_of_a_sync_client_is_told_with_the_line_of_the_callers_thread.<locals>.abandon",
    )
    client, stream = held
    stream.close()
    (over,) = wait_until(reports.over, "its end")
    assert over.how == "was released after all"
    client.close()


@PROVIDERS
def test_stream_of_any_llms_sync_api_that_is_left_is_no_leak(
    provider: str, provider_server: FakeProvider, telemetry: Telemetry, reports: Reports
) -> None:
    """any-llm's own thread reads it all into a queue, whether anybody takes it from there or not.

    While the provider is silent that read is seen, with the line that made the call.
    """
    provider_server.script(Behaviour(tokens=5000), Behaviour(stall_after=1))
    llm = calls.create(provider, provider_server)
    left = llm.completion(model="left", **calls.STREAM)
    next(iter(left))
    wait_until(lambda: provider_server.counts.completed == 1, "its end on the server")
    wait_until(lambda: not calls.phases("left"), "its end")
    silent = llm.completion(model="silent", **calls.STREAM)  # place: silent
    next(iter(silent))
    wait_until(lambda: calls.phases("silent") == ["reading"], "a read")
    (request,) = [request for pool in snapshot().pools for request in pool.requests]
    line = place(__file__, "silent", test_stream_of_any_llms_sync_api_that_is_left_is_no_leak)
    assert request.place == (line if TOLD_FOR_TASKS else None)
    download = abandoned_download(llm, provider_server)
    wait_until(reports.leaks, "the leak that is one")
    silent.close()
    assert [leak.whose.model for leak in reports.leaks()] == [None]
    download.__exit__(None, None, None)


@PROVIDERS
def test_download_of_the_sync_api_that_is_left_is_told(
    provider: str, provider_server: FakeProvider, telemetry: Telemetry, reports: Reports
) -> None:
    """A download is read on demand, so it can be left, and it is over once it is closed."""
    llm = calls.create(provider, provider_server)
    download = abandoned_download(llm, provider_server)
    (leak,) = wait_until(reports.leaks, "the leak")
    assert leak.whose.provider == provider
    assert leak.pool == f"{provider}/{calls.LIBRARY[provider]}"
    download.__exit__(None, None, None)
    (over,) = wait_until(reports.over, "its end")
    assert over.how == "was released after all"


def abandoned_download(llm: Any, server: FakeProvider) -> Any:
    """A download of which the first chunk was read. It is larger than any buffer on the way."""
    server.replies = {("GET", "/v1/files/f1/content"): b"0" * 1_000_000}
    download = llm.download_file("f1", chunk_size=10)
    next(iter(download.__enter__().chunks))
    return download
