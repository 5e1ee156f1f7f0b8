"""Time by stage of real any-llm calls, for the schedule of a scripted provider."""

import asyncio
import contextlib
import contextvars
import gc
import math
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import any_llm
import pytest

from gluellm_pools.fake_provider import Behaviour, FakeProvider
from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor, diagnose, snapshot
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from support.fake_llms import ANSWERS
from support.installation import instrument as turn_on
from support.providers import CHAT, HTTP_OF_OPENAI, STREAM, arguments, create
from support.telemetry import Telemetry
from support.waiting import until

from .ledger import Ledger

pytestmark = pytest.mark.anyio
both = pytest.mark.parametrize("provider", ["openai", "anthropic"])
REFUSED = Behaviour(status=429, retry_after=0.5, head_delay=0.3)


async def read(llm: Any) -> None:
    """Read a streamed answer."""
    async for _ in await llm.acompletion(model="m", **STREAM):
        pass


@both
async def test_call_refused_twice(provider: str, server: FakeProvider, ledger: Ledger) -> None:
    """The SDK's pauses are ``backoff``, its requests ``requesting``. Two requests are retries."""
    llm = create(provider, server)
    server.script(REFUSED, REFUSED, Behaviour(head_delay=0.3))
    await llm.acompletion(model="m", **CHAT)
    ledger.check("succeeded", retries=2, requesting=0.9, backoff=1.0)
    assert (ledger.calls.pauses, ledger.calls.pauses_requested) == (2, 2)
    resent = ledger.telemetry.now().by(semconv.REQUESTS, "status", "resend")
    assert resent == {(429, None): 1, (429, True): 1, (200, True): 1}
    (span,) = ledger.telemetry.spans("gluellm.call")
    took = (span.end_time - span.start_time) / 1e9
    assert sum(ledger.calls.stage_seconds.values()) == pytest.approx(took, abs=0.05)
    assert span.attributes["gluellm.call.retries"] == 2
    assert span.attributes["gluellm.call.request.time.awaiting_response"] >= 0.9


@both
@pytest.mark.parametrize("how", ["closed", "dropped", "abandoned"])
async def test_unfinished_stream_ends_as_abandoned(
    how: str, provider: str, server: FakeProvider, ledger: Ledger
) -> None:
    """The application closes or drops it, or raises an exception while reading it."""
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
async def test_cancelled_call(
    behaviour: Behaviour, stage: str, provider: str, server: FakeProvider, ledger: Ledger
) -> None:
    """While the call hangs, its stage is known. Its outcome is ``cancelled``."""
    llm = create(provider, server)
    server.script(behaviour)
    task = asyncio.create_task(llm.acompletion(model="m", **CHAT))
    await until(lambda: snapshot().process.calls and ledger.stages() == {stage: 1}, stage)
    await asyncio.sleep(0.3)
    assert ledger.calls.oldest[stage] >= 0.3
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    ledger.check("cancelled", **{stage: 0.3})


async def test_answers_from_a_cache_are_not_failed_calls_without_a_request(
    server: FakeProvider, ledger: Ledger
) -> None:
    """Only failed calls count as calls that sent no request."""
    httpx = HTTP_OF_OPENAI
    llm = create("openai", server)
    answers = [await llm.acompletion(model="m", **CHAT) for _ in range(12)]
    cache = httpx.MockTransport(lambda _: httpx.Response(200, json=answers[0].model_dump()))
    cached = create("openai", server, http_client=httpx.AsyncClient(transport=cache))
    for _ in range(12):
        await cached.acompletion(model="m", **CHAT)

    async def fails(times: int, **arguments: Any) -> str:
        for _ in range(times):
            with pytest.raises(Exception):  # noqa: B017
                await llm.acompletion(model="m", **{**CHAT, **arguments})
        return diagnose(snapshot())[0].observed

    server.replies["POST", "/v1/chat/completions"] = {"choices": 7}
    assert "sent no" not in await fails(13)
    assert server.counts.requests == 25
    assert "At least 30 of them sent no request" in await fails(30, user=object())


@both
async def test_pings_do_not_end_a_silence(
    provider: str, server: FakeProvider, ledger: Ledger
) -> None:
    """The SDK hides pings, so the application still waits for the next item."""
    server.script(Behaviour(stall_after=2, ping_every=0.05))
    task = asyncio.create_task(read(create(provider, server)))
    await until(lambda: ledger.silence > 0.5, "the silence")
    assert ledger.stages() == {"requesting": 1}
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    ledger.check("cancelled", requesting=0.5)


async def test_call_cancelled_in_the_queue(server: FakeProvider, ledger: Ledger) -> None:
    """A request that waits for a connection is in flight, in the phase ``queued``."""
    server.script(Behaviour(head_delay=math.inf))
    limits = HTTP_OF_OPENAI.Limits(max_connections=1)
    async with HTTP_OF_OPENAI.AsyncClient(limits=limits) as client:
        llm = create("openai", server, http_client=client)
        tasks = [asyncio.create_task(llm.acompletion(model="m", **CHAT)) for _ in range(2)]
        await until(lambda: ledger.telemetry.current("queued") == 1, "the wait")
        assert ledger.stages() == {"requesting": 2}
        await asyncio.sleep(0.3)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    ledger.check("cancelled", requesting=0.6)


async def test_client_for_each_call(server: FakeProvider, ledger: Ledger) -> None:
    """any-llm's functions build a client and its TLS context in each call: ``preparing``."""
    client = {"provider": "openai", **arguments("openai", server)}
    server.behaviour = Behaviour(head_delay=0.2)
    for _ in range(3):
        await any_llm.acompletion(model="m", **client, **CHAT)
    assert server.counts.connections == 3
    assert ledger.calls.stage_seconds["preparing"] > 0
    ledger.check("succeeded", requesting=0.6)


@pytest.mark.all_sdks
async def test_wait_for_a_thread_of_a_full_executor(
    server: FakeProvider, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """any-llm runs a blocking SDK in the loop's executor. Waiting for a thread is ``preparing``."""
    pytest.importorskip("boto3")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "none")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    server.replies["POST", "/model/m/converse"] = ANSWERS["/converse"]
    server.script(Behaviour(head_delay=0.3))
    llm = any_llm.AnyLLM.create("bedrock", api_base=server.url)
    with ThreadPoolExecutor(1) as executor:
        asyncio.get_running_loop().set_default_executor(executor)
        freed = threading.Event()
        busy = asyncio.ensure_future(asyncio.to_thread(freed.wait))
        await asyncio.sleep(0)
        call = asyncio.create_task(llm.acompletion(model="m", messages=CHAT["messages"]))
        await until(lambda: snapshot().process.calls, "the call")
        await until(lambda: ledger.calls.oldest["preparing"] > 0.9, "the wait")
        freed.set()
        await asyncio.gather(call, busy)
    ledger.check("succeeded", preparing=0.9, requesting=0.3)


async def test_context_that_outlives_its_call_does_not_keep_the_installation_alive(
    server: FakeProvider, providers: Telemetry
) -> None:
    """An event loop created in a call keeps the call's context, as any-llm's sync API does.

    Otherwise, the log of leaks would keep its leases after ``uninstrument()``.
    """
    contexts = []

    async def note(_: Any) -> None:
        contexts.append(contextvars.copy_context())

    turn_on(providers)
    installation: Any = GlueLLMInstrumentor._installation
    observer = weakref.ref(installation.registry.observer)
    del installation
    async with HTTP_OF_OPENAI.AsyncClient(event_hooks={"request": [note]}) as client:
        await create("openai", server, http_client=client).acompletion(model="m", **CHAT)
    del client
    GlueLLMInstrumentor().uninstrument()
    gc.collect()
    assert contexts
    assert observer() is None
