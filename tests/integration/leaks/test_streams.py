"""All ways to use a stream, with both SDKs, and whether they are reported as leaks.

All of them run on one event loop, each with its own client. Then only time passes. The garbage
collector runs only when the test calls it.
"""

import asyncio
import gc
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from gluellm_pools.fake_provider import Behaviour, FakeProvider, FakeProviderThread
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from support.clock import Clock, instrumented
from support.providers import STREAM
from support.telemetry import Telemetry
from support.waiting import until

from . import calls
from .reports import Reports, call_site


@dataclass
class Stage:
    """Parameters of the functions below."""

    server: FakeProvider
    hold: list[Any] = field(default_factory=list)
    """Objects to which the application keeps references."""


async def read_to_its_end(llm: Any, stage: Stage) -> None:
    """The application reads the whole stream."""
    stream = await llm.acompletion(model="read_to_its_end", **STREAM)
    async for _ in stream:
        pass


async def kept(llm: Any, stage: Stage) -> None:
    """The application breaks out of the stream and keeps it."""
    stream = await llm.acompletion(model="kept", **STREAM)  # place: kept
    stage.hold.append(stream)
    async for _ in stream:
        break


async def dropped(llm: Any, stage: Stage) -> None:
    """The application breaks out of the stream and drops it."""
    stream = await llm.acompletion(model="dropped", **STREAM)  # place: dropped
    async for _ in stream:
        break


async def closed(llm: Any, stage: Stage) -> None:
    """The application breaks out of the stream and closes it."""
    stream = await llm.acompletion(model="closed", **STREAM)
    async for _ in stream:
        break
    await stream.aclose()


async def never_iterated(llm: Any, stage: Stage) -> None:
    """The application drops the stream without reading it."""
    await llm.acompletion(model="never_iterated", **STREAM)  # place: never_iterated


async def cancelled_in_a_read(llm: Any, stage: Stage) -> None:
    """The task is cancelled while it waits for the next token."""
    stage.server.script(Behaviour(stall_after=1))

    async def read() -> None:
        async for _ in await llm.acompletion(model="cancelled_in_a_read", **STREAM):
            pass

    task = asyncio.create_task(read())
    await until(lambda: calls.phases("cancelled_in_a_read") == ["reading"])
    task.cancel()
    await asyncio.wait([task])


async def cancelled_between_reads(llm: Any, stage: Stage) -> None:
    """The task is cancelled while it processes a token, which drops the stream unclosed."""
    working = asyncio.Event()

    async def work() -> None:
        stream = await llm.acompletion(model="cancelled_between_reads", **STREAM)  # place: between
        async for _ in stream:
            working.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await working.wait()
    task.cancel()
    await asyncio.wait([task])


Way = Callable[[Any, Stage], Awaitable[None]]
HARMLESS, UNTIL_COLLECTED, FOR_EVER = "no leak", "a leak until it is collected", "a leak"
VERDICTS: dict[Way, dict[str, str]] = {
    read_to_its_end: {"openai": HARMLESS, "anthropic": HARMLESS},
    dropped: {"openai": UNTIL_COLLECTED, "anthropic": HARMLESS},
    closed: {"openai": HARMLESS, "anthropic": HARMLESS},
    never_iterated: {"openai": FOR_EVER, "anthropic": HARMLESS},
    cancelled_in_a_read: {"openai": HARMLESS, "anthropic": HARMLESS},
    cancelled_between_reads: {"openai": UNTIL_COLLECTED, "anthropic": HARMLESS},
    # The last one is a leak: once it is logged, no other leak is logged any more.
    kept: {"openai": FOR_EVER, "anthropic": FOR_EVER},
}
PLACES: dict[Way, str] = {
    kept: call_site(__file__, "kept", kept),
    dropped: call_site(__file__, "dropped", dropped),
    never_iterated: call_site(__file__, "never_iterated", never_iterated),
    cancelled_between_reads: call_site(
        __file__, "between", "cancelled_between_reads.<locals>.work"
    ),
}


@dataclass
class Outcome:
    """Results of all ways with one provider."""

    provider: str
    reports: Reports
    traces: dict[str, str] = field(default_factory=dict)
    requested: set[str | None] = field(default_factory=set)
    """The models of the requests that reached the provider."""
    suspected: list[float] = field(default_factory=list)
    """``gluellm.pool.leak.suspected`` before a garbage collection, after it, and at the end."""
    leaks: list[float] = field(default_factory=list)
    """``gluellm.pool.leaks`` at the same times."""

    def verdict(self, way: Way) -> str:
        """Return what was logged about one way."""
        if not self.reports.leaks(way.__name__):
            return HARMLESS
        how = [over.how for over in self.reports.over(way.__name__)]
        return UNTIL_COLLECTED if how == ["its connection was released"] else FOR_EVER

    def expected(self, *verdicts: str) -> set[str]:
        """Return the names of the ways that should have one of these verdicts."""
        return {way.__name__ for way, by in VERDICTS.items() if by[self.provider] in verdicts}


async def run(outcome: Outcome, telemetry: Telemetry, clock: Clock, server: FakeProvider) -> None:
    """Run all ways, let time pass, collect garbage, close the clients."""
    reports, stage = outcome.reports, Stage(server)
    tracer = telemetry.tracer_provider.get_tracer("application")
    clients = []

    async def over(*verdicts: str) -> None:
        names = outcome.expected(*verdicts)
        await until(lambda: all(reports.over(name) for name in names), "the end of leaks")

    def measure() -> None:
        outcome.suspected.append(telemetry.value(semconv.LEAK_SUSPECTED))
        outcome.leaks.append(telemetry.value(semconv.LEAKS))

    for way in VERDICTS:
        clients.append(llm := calls.create(outcome.provider, server))
        with tracer.start_as_current_span("application") as span:
            outcome.traces[way.__name__] = f"{span.get_span_context().trace_id:032x}"
            await way(llm, stage)
    # In small steps, since a leak's time begins when the watch first notices the last read.
    await until(lambda: clock.advance(1) or reports.leaks("kept"), "a leak of kept")
    measure()
    for _ in range(3):
        gc.collect()
        await asyncio.sleep(0)
    await over(UNTIL_COLLECTED)
    measure()
    for llm in clients:
        await llm.client.close()
    await over(FOR_EVER)
    measure()
    stage.hold.clear()


@pytest.fixture(scope="module", params=["openai", "anthropic"])
def outcome(request: pytest.FixtureRequest) -> Iterator[Outcome]:
    """Results of all ways."""
    telemetry = Telemetry()
    gc.collect()
    gc.disable()
    try:
        with (
            instrumented(telemetry, leak_threshold=20) as clock,
            Reports.listen() as reports,
            FakeProviderThread() as server,
        ):
            found = Outcome(request.param, reports)
            asyncio.run(run(found, telemetry, clock, server))
            found.requested = {received.model for received in server.requests}
            yield found
    finally:
        gc.enable()


@pytest.mark.parametrize("way", VERDICTS, ids=lambda way: way.__name__)
def test_unread_stream_that_holds_its_connection_is_logged(way, outcome):
    """It is logged once with all details, and only if it still holds its connection.

    openai's stream releases its connection at garbage collection, which is also logged.
    """
    name, provider = way.__name__, outcome.provider
    assert outcome.verdict(way) == VERDICTS[way][provider]
    if VERDICTS[way][provider] == HARMLESS:
        return
    (leak,) = outcome.reports.leaks(name)
    assert leak.pool == f"{provider}/{calls.LIBRARY[provider]}"
    assert (leak.provider, leak.trace) == (provider, outcome.traces[name])
    assert leak.correlation_id is None
    assert leak.call_site == PLACES[way]
    assert (leak.number, leak.stack) == ("1", "")
    assert 20 <= float(leak.unread) <= float(leak.held) + 0.1


def test_stream_of_anthropic_that_is_never_iterated_sends_nothing(outcome):
    """It therefore holds no connection. openai sends its request at once."""
    assert ("never_iterated" in outcome.requested) == (outcome.provider == "openai")


def test_suspected_leaks_go_down_and_counted_leaks_do_not(outcome):
    all_of_them = len(outcome.expected(UNTIL_COLLECTED, FOR_EVER))
    assert outcome.leaks == [all_of_them] * 3
    assert outcome.suspected == [all_of_them, len(outcome.expected(FOR_EVER)), 0]
