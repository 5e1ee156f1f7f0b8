"""Incidents played with real clients: what ends, slows or repeats their calls is named."""

import asyncio
import contextlib
import re
import time
from collections.abc import Iterator
from typing import Any

import pytest

from gluellm_pools.fake_provider import (
    Behaviour,
    FakeProvider,
    FakeProviderThread,
    RateLimit,
    ReceivedRequest,
)
from opentelemetry.instrumentation.gluellm import Finding, GlueLLMInstrumentor, diagnose, snapshot
from support.clock import instrumented
from support.telemetry import Telemetry

any_llm: Any = pytest.importorskip("any_llm")
httpx2: Any = pytest.importorskip("httpx2")
openai: Any = pytest.importorskip("openai")
MESSAGES = [{"role": "user", "content": "hi"}]


def serious(before: Any = None) -> list[Finding]:
    """The findings above INFO."""
    return [one for one in diagnose(snapshot(), before) if one.severity != "info"]


def create(provider: FakeProvider, **settings: Any) -> Any:
    return any_llm.AnyLLM.create("openai", api_key="any", api_base=provider.openai_url, **settings)


def delays(*seconds: float) -> Iterator[Behaviour]:
    for delay in seconds:
        yield Behaviour(head_delay=delay)


def test_calls_that_the_application_cancels_after_a_second(provider: FakeProvider) -> None:
    async def give_up(llm: Any) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1.0):
                await llm.acompletion(model="gpt-4o", messages=MESSAGES)

    async def run() -> None:
        llm = create(provider)
        provider.script(*delays(*[0.1] * 10, *[5.0] * 6))
        for _ in range(10):
            await give_up(llm)
        await asyncio.gather(*(give_up(llm) for _ in range(6)))
        (finding,) = serious()
        assert finding.kind == "calls_cut_short"
        assert (
            "6 of them after 1.0 s, 6 while still waiting for the response headers"
            in finding.observed
        )
        assert "test_incidents.py" in finding.observed
        assert "(gpt-4o)" in finding.observed

    asyncio.run(run())


@pytest.mark.parametrize(("longest", "kind"), [(0.8, "read_timeout"), (0.1, "slow_provider")])
def test_read_timeout_cuts_answers_or_shows_a_provider_that_hangs(
    provider: FakeProvider, longest: float, kind: str
) -> None:
    """Answers came after 0.8 s, near the limit of 1 s, or at once or never."""

    async def run() -> None:
        timeout = httpx2.Timeout(1.0, connect=5)
        async with openai.AsyncOpenAI(
            base_url=provider.openai_url, api_key="any", timeout=timeout, max_retries=0
        ) as client:
            provider.script(*delays(*[longest] * 5, *[10.0] * 5))
            for _ in range(2):
                await asyncio.gather(
                    *(
                        client.chat.completions.create(model="m", messages=MESSAGES)
                        for _ in range(5)
                    ),
                    return_exceptions=True,
                )
            (finding,) = serious()
            assert finding.kind == kind
            assert ("cuts them" in finding.explanation) is (kind == "read_timeout")

    asyncio.run(run())


@pytest.mark.parametrize("cut", ["hang_up_after", "reset_after"])
def test_answers_that_end_early(provider: FakeProvider, cut: str) -> None:
    """The connection is closed, in order or by a reset, in the middle of a stream."""

    async def read(llm: Any) -> None:
        with contextlib.suppress(Exception):
            async for _ in await llm.acompletion(model="m", messages=MESSAGES, stream=True):
                pass

    async def run() -> None:
        llm = create(provider, max_retries=0)
        provider.script(*[Behaviour(tokens=9)] * 5, *[Behaviour(tokens=9, **{cut: 4})] * 5)
        for _ in range(10):
            await read(llm)
        (finding,) = serious()
        assert finding.kind == "truncated_answers"
        assert "5 of the last 10 requests (50%) failed while reading" in finding.observed

    asyncio.run(run())


def test_rate_limit_multiplies_requests(provider: FakeProvider) -> None:
    """Five calls at a time, of which the provider answers two in each second."""

    async def run() -> None:
        llm = create(provider, max_retries=4)
        provider.behaviour = RateLimit(2, Behaviour(head_delay=0.05))
        await asyncio.gather(
            *(llm.acompletion(model="m", messages=MESSAGES) for _ in range(6)),
            return_exceptions=True,
        )
        (finding,) = serious()
        assert finding.kind == "retries"
        calls = snapshot().process.calls[0]
        assert calls.pauses == calls.pauses_requested == calls.retries >= 4
        assert f"6 calls became {provider.counts.requests} requests" in finding.observed
        assert f"429 ({provider.counts.by_status[429]})" in finding.observed
        assert f"The SDK retries ({calls.pauses} pauses)" in finding.explanation

    asyncio.run(run())


def test_line_that_blocks_the_loop_is_named_afterwards(provider: FakeProvider) -> None:
    """The loop runs again when the snapshot is taken."""

    def rank() -> None:
        time.sleep(1.0)

    async def run() -> None:
        llm = create(provider)
        provider.behaviour = Behaviour(head_delay=1.2)
        call = asyncio.create_task(llm.acompletion(model="m", messages=MESSAGES))
        await asyncio.sleep(0.5)  # until the watch has started the loop's timer
        rank()
        await call
        (finding,) = serious()
        assert finding.kind == "blocked_event_loop"
        assert "It was busy at " in finding.observed
        assert "test_incidents.py" in finding.observed
        assert f"in {rank.__qualname__} in" in finding.observed

    GlueLLMInstrumentor().uninstrument()
    with instrumented(Telemetry(), scope="all"):
        asyncio.run(run())


def test_peer_that_lowers_its_limit_on_streams() -> None:
    """Ten requests at a time over one connection, of which two can be sent."""

    async def ask(http: Any, provider: FakeProvider) -> None:
        await http.post(
            f"{provider.openai_url}/chat/completions",
            json={"model": "m", "messages": MESSAGES},
            headers={"authorization": "Bearer any"},
        )

    async def run(provider: FakeProvider) -> None:
        for limit in (100, 2):
            provider.max_streams = limit
            async with httpx2.AsyncClient(
                http1=False, http2=True, limits=httpx2.Limits(max_connections=50), trust_env=False
            ) as http:
                for _ in range(2):
                    await asyncio.gather(*(ask(http, provider) for _ in range(10)))
                if limit == 100:
                    assert serious() == []
                else:
                    (finding,) = serious()
        assert finding.kind == "http2_stuck"
        assert "the peer lowered its limit from 100 to 2" in finding.observed
        assert "100 connections" not in finding.advice

    with FakeProviderThread(http2=True, behaviour=Behaviour(head_delay=0.3)) as provider:
        asyncio.run(run(provider))


def test_one_model_of_two_becomes_slow(provider: FakeProvider) -> None:
    """The other's answers become longer at the same speed."""
    tokens, slow = {"small": 5, "large": 5}, 0.0

    def behave(request: ReceivedRequest) -> Behaviour:
        model = str(request.model)
        delay = 0.1 + (slow if model == "small" else 0)
        return Behaviour(head_delay=delay, tokens=tokens[model], token_rate=50)

    async def ask(llm: Any, model: str) -> None:
        async for _ in await llm.acompletion(model=model, messages=MESSAGES, stream=True):
            pass

    async def run() -> None:
        nonlocal slow
        llm = create(provider)
        provider.behaviour = behave
        for _ in range(10):
            await asyncio.gather(ask(llm, "small"), ask(llm, "large"))
        before = snapshot()
        tokens["large"] = 50
        for _ in range(6):
            await ask(llm, "large")
        assert serious(before) == []
        slow = 0.5
        for _ in range(6):
            await asyncio.gather(ask(llm, "small"), ask(llm, "large"))
        (finding,) = serious(before)
        assert finding.kind == "slow_provider"
        where = r" from \S+test_incidents\.py:\d+ in \S+ask"
        assert re.search(f"Only small{where}: 0.6", finding.observed)
        assert re.search(f"as fast as before: large{where}", finding.observed)

    asyncio.run(run())


def test_one_caller_holds_the_pool(provider: FakeProvider) -> None:
    async def batch_report(llm: Any) -> None:
        await llm.acompletion(model="report", messages=MESSAGES)

    async def chat(llm: Any) -> None:
        await llm.acompletion(model="chat", messages=MESSAGES)

    async def run() -> None:
        http = httpx2.AsyncClient(limits=httpx2.Limits(max_connections=4), timeout=60)
        llm = create(provider, http_client=http)
        provider.behaviour = lambda request: Behaviour(
            head_delay=5.0 if request.model == "report" else 0.1
        )
        for _ in range(6):
            await chat(llm)
        calls = [asyncio.create_task(batch_report(llm)) for _ in range(8)]
        await asyncio.sleep(0.3)
        calls += [asyncio.create_task(chat(llm)) for _ in range(2)]
        await asyncio.sleep(1.5)
        found = serious()
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        (finding,) = found
        assert finding.kind == "one_caller_holds_pool"
        assert "4 of 4 connections are held by " in finding.observed
        assert "batch_report (report); 2 requests of other callers queued" in finding.observed
        assert finding.advice.endswith("The others need about 1 connection.")

    asyncio.run(run())


def test_streams_that_ping_without_items(provider: FakeProvider) -> None:
    """Two streams stall, one with pings and one without; two more go on."""
    GlueLLMInstrumentor().uninstrument()

    async def read(llm: Any, model: str) -> None:
        async for _ in await llm.acompletion(model=model, messages=MESSAGES, stream=True):
            pass

    def behave(request: ReceivedRequest) -> Behaviour:
        ping = 0.1 if request.model == "pings" else 0.0
        stalls = 2 if request.model != "goes on" else None
        return Behaviour(tokens=100, token_rate=10, stall_after=stalls, ping_every=ping)

    async def run() -> None:
        llm = create(provider)
        provider.behaviour = behave
        models = ["pings", "pings", "silent", "goes on", "goes on"]
        calls = [asyncio.create_task(read(llm, model)) for model in models]
        await asyncio.sleep(3.5)
        found = [one for one in serious() if one.kind == "stalled_streams"]
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        (finding,) = found
        assert "2 streams without an item, the longest for 3." in finding.observed
        assert "2 of 2 from " in finding.evidence
        assert "(pings)" in finding.evidence

    with instrumented(Telemetry(), scope="all", silence_threshold=2.0):
        asyncio.run(run())
