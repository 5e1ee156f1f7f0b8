"""Requests that are stuck in a queue, and clients that are built per call."""

import gc
from typing import Any

import any_llm
import pytest

from opentelemetry.instrumentation.gluellm.telemetry import semconv
from support.clock import Clock
from support.providers import CHAT, STREAM, arguments
from support.waiting import until

from . import calls
from .reports import call_site

CHURN = (
    r"Client churn on (?P<pool>\S+): (?P<pools>\d+) connection pools for one origin in the last "
    r"minute: 1\.0 per call, (?P<requests>[\d.]+) requests per pool, .*They are built at "
    r"(?P<call_site>.*?)\. Keep one instance, llm = AnyLLM\.create\(\"(?P<provider>\w+)\"\), .*"
)

pytestmark = pytest.mark.anyio


async def held(llm: Any) -> Any:
    """A stream of which one token is read."""
    stream = await llm.acompletion(model="held", **STREAM)  # place: held
    await anext(aiter(stream))
    return stream


async def look_twice(llm: Any, clock: Clock) -> None:
    """Have a request under way while the watch looks."""
    stream = await held(llm)
    await clock.looked()
    await stream.aclose()
    await llm.client.close()


async def test_client_churn_is_logged_once_per_provider(server, clock, telemetry, reports):
    """The line has numbers, call site and advice."""
    chat = {**arguments("anthropic", server), **CHAT}

    async def build() -> None:
        for _ in range(12):
            await any_llm.acompletion("anthropic:m", **chat)  # place: churn
        # So few clients are churn once half of them are gone, and only the collector takes them:
        # each is in a cycle. When it would come by itself depends on all that ran before.
        gc.collect()

    await build()
    await until(lambda: reports.warnings(CHURN), "the warning")
    await build()
    await look_twice(calls.create("anthropic", server), clock)
    (told,) = reports.warnings(CHURN)
    assert told["pool"] == "anthropic/httpx"
    assert 10 <= int(told["pools"]) <= 12
    assert float(told["requests"]) == 1.0
    name = test_client_churn_is_logged_once_per_provider.__name__
    assert told["call_site"] == call_site(__file__, "churn", f"{name}.<locals>.build")
    assert told["provider"] == "anthropic"
    assert len(reports.warnings()) == 1
    assert telemetry.value(semconv.POOL_OPENED) == 25
