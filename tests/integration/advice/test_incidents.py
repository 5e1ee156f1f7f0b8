"""Simulate incidents with real clients: findings name what ends their calls.

``make -C tests/studies score`` simulates all other incidents.
"""

import asyncio
import contextlib
import re
import time
from typing import Any

import pytest

from gluellm_pools.fake_provider import Behaviour, FakeProvider
from opentelemetry.instrumentation.gluellm import Finding, diagnose, snapshot
from support.clock import Clock

any_llm: Any = pytest.importorskip("any_llm")
MESSAGES = [{"role": "user", "content": "hi"}]


def serious() -> list[Finding]:
    """Return the findings above INFO."""
    return [one for one in diagnose(snapshot()) if one.severity != "info"]


def create(provider: FakeProvider, **settings: Any) -> Any:
    return any_llm.AnyLLM.create("openai", api_key="any", api_base=provider.openai_url, **settings)


def test_calls_that_the_application_cancels_after_a_second(provider: FakeProvider) -> None:
    async def give_up(llm: Any, after: float | None = 1.0) -> float:
        began = time.monotonic()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(after):
                await llm.acompletion(model="gpt-4o", messages=MESSAGES)
        return time.monotonic() - began

    async def run() -> None:
        llm = create(provider)
        provider.script(*[Behaviour(head_delay=0.1)] * 10, *[Behaviour(head_delay=5.0)] * 6)
        for _ in range(10):
            await give_up(llm, after=None)
        took = await asyncio.gather(*(give_up(llm) for _ in range(6)))
        (finding,) = serious()
        assert finding.kind == "calls_cut_short"
        cut = r"were cancelled after about ([\d.]+) s, all while waiting for the response headers"
        about = re.search(cut, finding.observed)
        assert about is not None
        assert 0.9 <= float(about[1]) <= max(took) + 0.1
        (fact,) = finding.evidence
        assert "test_incidents.py" in (fact.call_site or "")
        assert fact.model == "gpt-4o"

    asyncio.run(run())


@pytest.mark.parametrize("cut", ["hang_up_after", "reset_after"])
def test_answers_that_end_early_are_found(provider: FakeProvider, cut: str) -> None:
    """The provider closes the connection, normally or by a reset, in the middle of a stream."""

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


def test_retries_of_an_application_around_those_of_the_sdk(
    provider: FakeProvider, clock: Clock
) -> None:
    """One number for the call site, and whose they are."""
    openai: Any = pytest.importorskip("openai")
    provider.behaviour = Behaviour(status=500, retry_after=0.01)
    with openai.OpenAI(api_key="any", base_url=provider.openai_url) as client:

        def ask() -> None:
            for _ in range(3):
                clock.advance(5)
                with contextlib.suppress(openai.InternalServerError):
                    client.chat.completions.create(model="m", messages=MESSAGES)

        for _ in range(6):
            ask()
            clock.advance(30)
        (finding,) = serious()
    assert provider.counts.requests == 6 * 9
    assert finding.kind == "retries"
    layers = re.search(
        r"The SDK retries \(36 pauses\)\. Up to 9 requests for one call at .*:\d+ "
        r"in .*ask: 3 by a loop .* such as tenacity x 3 by the SDK\.",
        finding.explanation,
    )
    assert layers is not None, finding.explanation
    assert "Retry in one layer only: max_retries=0 of the SDK's client." in finding.advice
