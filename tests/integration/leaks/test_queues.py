"""Requests that are stuck in a queue, and clients that are built for one call each."""

from __future__ import annotations

import asyncio
import gc
import re
from typing import Any

import any_llm
import httpx
import pytest

from opentelemetry.instrumentation.gluellm import Snapshot, diagnose, snapshot
from opentelemetry.instrumentation.gluellm.cli.fake_provider import FakeProvider
from opentelemetry.instrumentation.gluellm.pool import watch
from opentelemetry.instrumentation.gluellm.pool.words import place_text
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from support.telemetry import Telemetry
from support.waiting import until

from . import calls
from .conftest import Instrument
from .reports import Reports, place

PROVIDERS = pytest.mark.parametrize("provider", ["openai", "anthropic"])
STUCK = re.compile(
    r"(?P<number>\d+) requests? ha(?:s|ve) waited in pool (?P<pool>\S+) for (?P<waited>[\d.]+) s "
    r"and longer \((?P<phases>[^)]*)\); the pool: (?P<state>[^;]*); (?P<holders>.*)\."
)
CHURN = re.compile(
    r"Client churn on (?P<pool>\S+): (?P<pools>\d+) connection pools for one origin in the last "
    r"minute, 1\.0 per call, with (?P<requests>[\d.]+) requests each, .*They are built at "
    r"(?P<place>.*?)\. Keep one instance, llm = AnyLLM\.create\(\"(?P<provider>\w+)\"\), .*"
)


def small(provider: str, server: FakeProvider) -> Any:
    """A provider's instance on a pool of two connections."""
    module: Any = httpx
    if calls.LIBRARY[provider] == "httpx2":
        import httpx2

        module = httpx2
    client = module.AsyncClient(limits=module.Limits(max_connections=2), trust_env=False)
    return calls.create(provider, server, http_client=client, max_retries=0)


async def held(llm: Any) -> Any:
    """A stream of which one token is read."""
    stream = await llm.acompletion(model="held", **calls.STREAM)  # place: held
    await anext(aiter(stream))
    return stream


def queued() -> list[float]:
    """Seconds that the requests in the queue have waited."""
    return [
        request.phase_age
        for pool in snapshot().pools
        for request in pool.requests
        if request.phase == "queued"
    ]


def stuck(reports: Reports) -> list[re.Match[str]]:
    """What was told of requests that are stuck."""
    return [found for text in reports.warnings() if (found := STUCK.fullmatch(text))]


@PROVIDERS
@pytest.mark.parametrize("every", [600, 2], ids=["within ten minutes", "after them"])
def test_requests_that_are_stuck_in_the_queue_are_told(
    provider: str,
    every: int,
    provider_server: FakeProvider,
    instrument: Instrument,
    reports: Reports,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Once per pool and ten minutes, with the pool's state and who holds its connections."""
    monkeypatch.setattr(watch, "STUCK_AFTER", 10**9)
    monkeypatch.setattr(watch, "TOLD_EVERY", every * 10**9)
    instrument(leak_threshold=0)

    async def run() -> None:
        llm = small(provider, provider_server)
        streams = [await held(llm) for _ in range(2)]
        tasks = [
            asyncio.create_task(llm.acompletion(model="waiting", **calls.CHAT)) for _ in range(3)
        ]
        await until(lambda: len(queued()) == 3, "the queue")
        await until(lambda: stuck(reports), "the warning")
        if every == 600:
            await until(lambda: min(queued()) > 4, "some more looks")
            assert len(stuck(reports)) == 1
        else:
            await until(lambda: len(stuck(reports)) == 2, "a second warning")
        for stream in streams:
            await stream.aclose()
        await asyncio.gather(*tasks)
        await llm.client.close()

    asyncio.run(run())
    first = stuck(reports)[0]
    assert first["number"] == "3"
    assert first["pool"] == f"{provider}/{calls.LIBRARY[provider]}"
    assert 1 <= float(first["waited"]) < 6
    assert first["phases"] == "queued"
    assert first["state"] == "max 2, active 2, idle 0, connecting 0, queued 3"
    where = re.escape(place(__file__, "held", held))
    holder = rf"[\d.]+ s, unread for [\d.]+ s, provider {provider}, model held, at {where}"
    assert re.fullmatch(rf"longest held: \(1\) {holder}; \(2\) {holder}", first["holders"])


def churned(reports: Reports) -> list[re.Match[str]]:
    """What was told of clients that are built for a call."""
    return [found for text in reports.warnings() if (found := CHURN.fullmatch(text))]


async def look_twice(llm: Any) -> None:
    """Have a request under way while the watch looks twice."""
    stream = await held(llm)
    began = snapshot().taken_at
    await until(lambda: snapshot().taken_at > began + 2.5, "two looks")
    await stream.aclose()
    await llm.client.close()


@PROVIDERS
def test_clients_that_are_built_for_each_call_are_told_once(
    provider: str, provider_server: FakeProvider, instrument: Instrument, reports: Reports
) -> None:
    """any-llm's module functions do that. Numbers, the place, and the cure; once per provider."""
    telemetry = instrument(leak_threshold=0)
    arguments = {**calls.arguments(provider, provider_server), **calls.CHAT}

    async def build() -> None:
        for _ in range(15):
            await any_llm.acompletion(f"{provider}:m", **arguments)  # place: churn
        # So few clients are churn once half of them are gone, and only the collector takes them:
        # each is in a cycle. When it would come by itself depends on all that ran before.
        gc.collect()

    async def run() -> None:
        await build()
        await until(lambda: churned(reports), "the warning")
        await build()
        await look_twice(small(provider, provider_server))

    asyncio.run(run())
    (told,) = churned(reports)
    assert told["pool"] == f"{provider}/{calls.LIBRARY[provider]}"
    assert 10 <= int(told["pools"]) <= 15
    assert float(told["requests"]) == 1.0
    name = test_clients_that_are_built_for_each_call_are_told_once.__name__
    assert told["place"] == place(__file__, "churn", f"{name}.<locals>.build")
    assert told["provider"] == provider
    assert len(reports.warnings()) == 1
    assert telemetry.value(semconv.POOL_OPENED) == 31


def test_churn_names_the_line_that_built_its_pools(
    provider_server: FakeProvider, instrument: Instrument
) -> None:
    """A client that is built later on another line and kept has the same pool name."""
    instrument(leak_threshold=0, loop_lag=False)
    own = calls.arguments("openai", provider_server)
    arguments = {**own, **calls.CHAT}

    async def run() -> tuple[Snapshot, Any]:
        for _ in range(15):
            await any_llm.acompletion("openai:m", **arguments)  # place: thrown away
        llm = any_llm.AnyLLM.create("openai", **own)  # place: kept
        await llm.acompletion(model="m", **calls.CHAT)
        return snapshot(), llm

    now, _ = asyncio.run(run())
    name = f"{test_churn_names_the_line_that_built_its_pools.__name__}.<locals>.run"
    churn = [finding for finding in diagnose(now) if finding.kind == "client_churn"]
    assert [place_text(place(__file__, "thrown away", name)) in f.seen for f in churn] == [True]
    assert place(__file__, "kept", name) in {pool.built_at for pool in now.pools}


@PROVIDERS
def test_one_client_for_all_calls_is_no_churn(
    provider: str, provider_server: FakeProvider, telemetry: Telemetry, reports: Reports
) -> None:
    """However many calls it makes."""

    async def run() -> None:
        llm = calls.create(provider, provider_server)
        for _ in range(40):
            await llm.acompletion(model="m", **calls.CHAT)
        await look_twice(llm)

    asyncio.run(run())
    assert reports.warnings("Client churn") == []


@PROVIDERS
def test_a_client_for_each_event_loop_is_no_churn(
    provider: str, provider_server: FakeProvider, telemetry: Telemetry, reports: Reports
) -> None:
    """Eight loops need eight clients."""

    async def run() -> None:
        llm = calls.create(provider, provider_server)
        await llm.acompletion(model="m", **calls.CHAT)
        await llm.client.close()

    for _ in range(8):
        asyncio.run(run())
    asyncio.run(look_twice(calls.create(provider, provider_server)))
    assert telemetry.value(semconv.POOL_OPENED) == 9
    assert reports.warnings("Client churn") == []
