"""One late snapshot of a process that was healthy before: the account shows what has changed."""

import asyncio
import contextlib
import itertools
import json
import time
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from gluellm_pools.fake_provider import Behaviour, FakeProvider
from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor, diagnose, snapshot
from opentelemetry.instrumentation.gluellm.diagnosis.findings import Finding, Kind, Severity
from opentelemetry.instrumentation.gluellm.watch import account, watch

from .ledger import CHAT, Ledger, create

pytestmark = pytest.mark.anyio
ROW = 0.4
"""Seconds of a row, a minute otherwise; all windows are rows."""
CALLERS = 6


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """An account whose minutes are short."""
    monkeypatch.setattr(account, "ROW", round(ROW * 1e9))
    monkeypatch.setattr(watch, "INTERVAL", 0.02)


@pytest.fixture
def everything(fast: None) -> Iterator[None]:
    """The instrumentation of all clients, any-llm's or not."""
    GlueLLMInstrumentor().instrument(scope="all")
    try:
        yield
    finally:
        GlueLLMInstrumentor().uninstrument()


async def calls(call: Any, rows: float) -> None:
    """Call again and again for so many rows."""
    until = time.monotonic() + rows * ROW

    async def caller() -> None:
        while time.monotonic() < until:
            with contextlib.suppress(Exception):
                await call()
            await asyncio.sleep(0.01)

    await asyncio.gather(*(caller() for _ in range(CALLERS)))


async def late_finding(server: FakeProvider, call: Any, incident: Behaviour) -> Finding:
    """Healthy for 15 rows, then an incident for 4; what the only snapshot shows first."""
    server.behaviour = Behaviour(head_delay=0.02)
    await calls(call, 15)
    server.behaviour = incident
    await calls(call, 4)
    taken = snapshot()
    json.dumps(taken.to_dict())
    finding, *_ = diagnose(taken)
    assert finding.severity is not Severity.INFO
    assert finding.to_dict()["observed"] == finding.observed
    return finding


async def test_failure_that_no_rule_knows(fast: None, server: FakeProvider, ledger: Ledger) -> None:
    """A key that is refused: where, how much, and what to look at."""
    llm = create("openai", server)
    refused = Behaviour(status=401, head_delay=0.02)
    finding = await late_finding(server, lambda: llm.acompletion(model="m", **CHAT), refused)
    assert finding.kind is Kind.CALLS_FAILING
    assert finding.severity is Severity.ERROR
    assert finding.pool == "openai/httpx2"
    assert " calls to openai failed in the last " in finding.observed
    assert "(0% in the " in finding.observed
    assert " x 401" in finding.observed
    assert finding.advice.startswith("Check the API key")


async def test_provider_that_becomes_slow(fast: None, server: FakeProvider, ledger: Ledger) -> None:
    """The rule that knows it begins with the account, although nothing is compared by hand."""
    llm = create("openai", server)
    slow = Behaviour(head_delay=0.7)
    finding = await late_finding(server, lambda: llm.acompletion(model="m", **CHAT), slow)
    assert finding.kind is Kind.SLOW_PROVIDER
    assert finding.observed.startswith("Calls to openai took ")
    assert "of it in awaiting_response" in finding.observed
    assert " (before: " in finding.observed


async def test_plain_sdk(everything: None, server: FakeProvider) -> None:
    """Requests outside any call, of a client that any-llm does not know."""
    refused = Behaviour(status=403, head_delay=0.02)
    async with openai.AsyncOpenAI(api_key="any", base_url=server.openai_url) as client:
        finding = await late_finding(
            server,
            lambda: client.chat.completions.create(model="m", **CHAT),
            refused,
        )
    assert finding.kind is Kind.CALLS_FAILING
    assert " requests in openai/httpx2 failed in the last " in finding.observed
    assert " x 403" in finding.observed


async def test_healthy_calls_of_all_lengths(
    fast: None, server: FakeProvider, ledger: Ledger
) -> None:
    """Some take fifty times as long as others, also the first ones, and 1 % fail."""
    numbers = itertools.count()

    def behave(_: object) -> Behaviour:
        number = next(numbers)
        if number % 100 == 50:
            return Behaviour(status=500, head_delay=0.02)
        return Behaviour(head_delay=1.0 if number % 25 == 0 else 0.02)

    llm = create("openai", server)
    server.behaviour = behave
    for _ in range(8):
        await calls(lambda: llm.acompletion(model="m", **CHAT), 3)
        found = {one.kind for one in diagnose(snapshot()) if one.severity is not Severity.INFO}
        assert found <= {Kind.BLOCKED_EVENT_LOOP}  # on a busy machine
