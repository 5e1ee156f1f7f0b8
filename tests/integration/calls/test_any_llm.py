"""Where the seconds of real any-llm calls go, by the schedule of a scripted provider."""

import asyncio
import contextlib
import functools
import math
import ssl
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import any_llm
import httpx
import pytest

from gluellm_pools.fake_provider import Behaviour, FakeProvider
from opentelemetry.instrumentation.gluellm import snapshot
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from support.waiting import until

from .ledger import CHAT, STREAM, Ledger, arguments, create

pytestmark = pytest.mark.anyio
both = pytest.mark.parametrize("provider", ["openai", "anthropic"])
REFUSED = Behaviour(status=429, retry_after=0.5, head_delay=0.3)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@both
async def test_refused_twice(provider: str, server: FakeProvider, ledger: Ledger) -> None:
    """The SDK's pauses are ``backoff``, its requests ``requesting``; two of these are retries."""
    llm = create(provider, server)
    server.script(REFUSED, REFUSED, Behaviour(head_delay=0.3))
    began = time.monotonic()
    await llm.acompletion(model="m", **CHAT)
    took = time.monotonic() - began
    ledger.check("succeeded", retries=2, requesting=0.9, backoff=1.0)
    assert sum(ledger.calls.stage_seconds.values()) == pytest.approx(took, abs=0.005)
    resent = ledger.telemetry.now().by(semconv.REQUESTS, "status", "resend")
    assert resent == {(429, None): 1, (429, True): 1, (200, True): 1}
    (span,) = ledger.telemetry.spans("gluellm.call")
    assert span.attributes["gluellm.call.retries"] == 2
    assert span.attributes["gluellm.call.request.time.awaiting_response"] >= 0.9


@both
async def test_refused_for_good(provider: str, server: FakeProvider, ledger: Ledger) -> None:
    """The reason of the last request comes before the SDK's exception."""
    llm = create(provider, server)
    server.behaviour = Behaviour(status=429, retry_after=0.2)
    with pytest.raises(Exception, match="429"):
        await llm.acompletion(model="m", **CHAT)
    ledger.check("failed", retries=2, backoff=0.4)
    assert ledger.calls.errors == {"429": 1}


@both
async def test_stream_read_to_its_end(provider: str, server: FakeProvider, ledger: Ledger) -> None:
    """A slow consumer is still ``requesting``; the call ends with its stream."""
    llm = create(provider, server)
    server.script(Behaviour(tokens=4, token_rate=10))
    async for _ in await llm.acompletion(model="m", **STREAM):
        assert ledger.stages() in ({"requesting": 1}, {"finishing": 1})
        await asyncio.sleep(0.05)
    ledger.check("succeeded", requesting=0.3)
    assert ledger.calls.oldest_silence == 0


@both
def test_synchronous_stream_ends_when_the_application_has_read_it(
    provider: str, server: FakeProvider, ledger: Ledger
) -> None:
    """any-llm reads ahead in a thread."""
    llm = create(provider, server)
    stream = llm.completion(model="m", **STREAM)
    for number, _ in enumerate(stream):
        time.sleep(0.05)
        if number == 2:
            assert sum(ledger.stages().values()) == 1
    ledger.check("succeeded")


@both
@pytest.mark.parametrize("how", ["closed", "dropped", "abandoned"])
async def test_stream_that_is_left(
    how: str, provider: str, server: FakeProvider, ledger: Ledger
) -> None:
    """Closed, dropped, or left by an exception of the application: ``abandoned``."""
    llm = create(provider, server)
    server.script(Behaviour(tokens=50, token_rate=20))

    async def consume() -> None:
        stream = await llm.acompletion(model="m", **STREAM)
        async for _ in stream:
            if how == "closed":
                await stream.aclose()
                return
            if how == "abandoned":
                raise LookupError
            return

    with contextlib.suppress(LookupError):
        await consume()
    await until(lambda: not ledger.calls.in_flight, "the end of the call")
    ledger.check("abandoned")


@both
@pytest.mark.parametrize(
    ("behaviour", "stage"),
    [
        (Behaviour(head_delay=math.inf), "requesting"),
        (Behaviour(status=429, retry_after=30), "backoff"),
    ],
    ids=["waiting for the head", "in back-off"],
)
async def test_cancelled(
    behaviour: Behaviour, stage: str, provider: str, server: FakeProvider, ledger: Ledger
) -> None:
    """While it hangs, its stage says where. Its end is a cancellation, whatever came before."""
    llm = create(provider, server)
    server.script(behaviour)
    task = asyncio.create_task(llm.acompletion(model="m", **CHAT))
    await until(lambda: snapshot().process.calls and ledger.stages() == {stage: 1}, stage)
    await asyncio.sleep(0.3)
    assert ledger.calls.oldest[stage] >= 0.3
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    ledger.check("cancelled", **{stage: 0.3})


async def test_cancelled_while_queued(server: FakeProvider, ledger: Ledger) -> None:
    """The pool's queue is part of ``requesting``; the request's phase says more."""
    client = httpx.AsyncClient(limits=httpx.Limits(max_connections=1), trust_env=False)
    llm = create("anthropic", server, http_client=client)
    server.script(Behaviour(head_delay=math.inf))
    tasks = [asyncio.create_task(llm.acompletion(model="m", **CHAT)) for _ in range(2)]

    def queued() -> bool:
        return any(pool.queued for pool in snapshot().pools)

    await until(queued, "a queued request")
    assert ledger.stages() == {"requesting": 2}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert ledger.calls.outcomes["cancelled"] == 2
    await client.aclose()


async def test_client_per_call(
    server: FakeProvider, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """any-llm's module functions build one, with its TLS context, in the call."""

    def slow(original: Any) -> Any:
        def create_default_context(*args: Any, **kwargs: Any) -> Any:
            time.sleep(0.5)
            return original(*args, **kwargs)

        return create_default_context

    await any_llm.acompletion("openai:m", **arguments("openai", server), **CHAT)
    before = ledger.calls.stage_seconds["preparing"]
    monkeypatch.setattr(ssl, "create_default_context", slow(ssl.create_default_context))
    await any_llm.acompletion("openai:m", **arguments("openai", server), **CHAT)
    assert ledger.calls.stage_seconds["preparing"] - before >= 0.5
    assert ledger.calls.outcomes["succeeded"] == 2


async def test_module_function_that_fails_before_its_call(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is a call that failed, under its provider and operation."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(any_llm.exceptions.MissingApiKeyError):
        await any_llm.aembedding("openai:m", "text", api_key="")
    assert (ledger.calls.provider, ledger.calls.errors) == ("openai", {"MissingApiKeyError": 1})


async def test_executor_is_full(server: FakeProvider, ledger: Ledger) -> None:
    """Waiting for a thread, as SDKs that block do, is ``preparing``."""
    with ThreadPoolExecutor(1) as executor:

        class Blocking(type(create("openai", server))):  # type: ignore[misc]
            async def _acompletion(self, *args: Any, **kwargs: Any) -> Any:
                run = asyncio.get_running_loop().run_in_executor
                await run(executor, functools.partial(time.sleep, 0))
                return await super()._acompletion(*args, **kwargs)

        executor.submit(time.sleep, 1.0)
        llm = Blocking(**arguments("openai", server))
        await llm.acompletion(model="m", **CHAT)
    ledger.check("succeeded")
    assert ledger.calls.stage_seconds["preparing"] >= 0.9


async def test_tool_loop(server: FakeProvider, ledger: Ledger) -> None:
    """Each round is a call; the application's tools between them are none."""
    llm = create("openai", server)
    for _ in range(3):
        await llm.acompletion(model="m", **CHAT)
        await asyncio.sleep(1.0)
    assert ledger.calls.outcomes["succeeded"] == 3
    assert sum(ledger.calls.stage_seconds.values()) < 3.0
    assert ledger.telemetry.now().count(semconv.CALL_DURATION) == 3
