"""Calls of SDKs below frameworks and other runtimes: each counts once, and none is lost."""

import asyncio
import importlib.util
import json
import math
from typing import Any

import anyio.to_thread
import pytest
from opentelemetry.trace import SpanKind

from gluellm_pools.fake_provider import Behaviour, FakeProvider
from opentelemetry.instrumentation.gluellm import snapshot
from support.programs import run_code
from support.sdk_clients import SDKS, chat, client_of
from support.waiting import until

from .ledger import Ledger

pytestmark = pytest.mark.anyio


def langchain_models(server: FakeProvider) -> tuple[Any, Any]:
    """Chat models of LangChain: one on openai's SDK, and one on anthropic's."""
    openai = pytest.importorskip("langchain_openai")
    anthropic = pytest.importorskip("langchain_anthropic")
    settings: dict[str, Any] = {"model": "m", "api_key": "any", "max_retries": 0}
    return (
        openai.ChatOpenAI(base_url=server.openai_url, **settings),
        anthropic.ChatAnthropic(base_url=server.anthropic_url, **settings),
    )


@pytest.mark.all_sdks
@pytest.mark.parametrize("first", SDKS)
async def test_fallback_of_langchain_is_a_call_of_its_own(
    first: str, server: FakeProvider, ledger: Ledger
) -> None:
    """Nothing spans the two. The failed call and the one that replaces it have their providers."""
    models = langchain_models(server)
    model, other = models if first == "openai" else models[::-1]
    chain = model.with_fallbacks([other])
    for _ in range(2):
        server.script(Behaviour(status=500), Behaviour())
        await chain.ainvoke("hi")
    server.script(Behaviour(status=500), Behaviour())
    assert [chunk async for chunk in chain.astream("hi")]
    server.script(Behaviour(status=500), Behaviour())
    chain.invoke("hi")
    (second,) = set(SDKS) - {first}
    assert {
        (calls.source, calls.provider, outcome): count
        for calls in snapshot().process.calls
        for outcome, count in calls.outcomes.items()
        if count
    } == {("sdk", first, "failed"): 4, ("sdk", second, "succeeded"): 4}
    assert server.counts.requests == 8


_GREENLETS = """
    import gevent.monkey
    gevent.monkey.patch_all()
    import sys, json, gevent
    from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor, snapshot
    GlueLLMInstrumentor().instrument()
    import openai, anthropic
    hi = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
    one = openai.OpenAI(api_key="any", base_url=sys.argv[1]).chat.completions
    two = anthropic.Anthropic(api_key="any", base_url=sys.argv[2]).messages
    def read(part):
        for _ in part.create(**hi, stream=True):
            gevent.sleep(0)
    tasks = [gevent.spawn(part.create, **hi) for part in (one, two) for _ in range(10)]
    tasks += [gevent.spawn(read, part) for part in (one, two) for _ in range(10)]
    gevent.joinall(tasks, raise_error=True)
    print(json.dumps([[c.source, c.provider, c.outcomes["succeeded"], c.ended, c.in_flight,
                       c.retries] for c in snapshot().process.calls]))
"""


def test_calls_of_greenlets(server: FakeProvider) -> None:
    """gevent switches between them while they wait for the provider."""
    pytest.importorskip("gevent")
    done = run_code(_GREENLETS, server.openai_url, server.anthropic_url)
    counted = sorted(json.loads(done.stdout.splitlines()[-1]))
    assert counted == [["sdk", sdk, 20, 20, 0, 0] for sdk in sorted(SDKS)]
    assert server.counts.requests == 40


@pytest.mark.parametrize("sdk", SDKS)
async def test_parallel_calls_of_a_task_group(
    sdk: str, server: FakeProvider, ledger: Ledger
) -> None:
    """One that fails cancels the others."""
    async with client_of(sdk, server, is_async=True, max_retries=0) as client:
        async with asyncio.TaskGroup() as group:
            for _ in range(5):
                group.create_task(chat(client))
        server.behaviour = Behaviour(head_delay=math.inf)

        async def some_fail() -> None:
            async with asyncio.TaskGroup() as group:
                for _ in range(4):
                    group.create_task(chat(client))
                await until(lambda: server.counts.requests == 9, "the requests")
                server.script(Behaviour(status=500))
                group.create_task(chat(client))

        with pytest.raises(ExceptionGroup):
            await some_fail()
    assert {name: count for name, count in ledger.calls.outcomes.items() if count} == {
        "succeeded": 5,
        "cancelled": 4,
        "failed": 1,
    }
    assert server.counts.requests == 10


async def test_anthropics_own_span_is_around_one_call(server: FakeProvider, ledger: Ledger) -> None:
    """It begins inside the SDK's call, so it carries the waits of the call's requests only."""
    if importlib.util.find_spec("anthropic._tracing") is None:
        pytest.skip("anthropic opens spans of its own from version 1.14 on")
    tracing = {"tracer_provider": ledger.telemetry.tracer_provider}
    client = client_of("anthropic", server, is_async=True, open_telemetry=tracing)
    async with client:
        server.script(Behaviour(status=429, retry_after=0.1))
        await chat(client)
        async for _ in await chat(client, stream=True):
            pass
    calls = ledger.calls
    assert (calls.source, calls.provider, calls.retries) == ("sdk", "anthropic", 1)
    assert calls.outcomes["succeeded"] == calls.ended == 2
    spans = [span for span in ledger.telemetry.spans() if span.kind is SpanKind.CLIENT]
    assert ["gluellm.pool.acquire.duration" in (span.attributes or {}) for span in spans] == [
        True,
        True,
    ]


async def _asked(port: int) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
    answer = await reader.read()
    writer.close()
    return answer.splitlines()[0]


async def test_calls_in_endpoints_of_uvicorn(server: FakeProvider, ledger: Ledger) -> None:
    """FastAPI runs an endpoint that is a plain function in one of AnyIO's worker threads."""
    uvicorn = pytest.importorskip("uvicorn")
    clients = {sdk: (client_of(sdk, server), client_of(sdk, server, is_async=True)) for sdk in SDKS}

    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        for blocking, other in clients.values():
            await anyio.to_thread.run_sync(chat, blocking)
            async for _ in await chat(other, stream=True):
                pass
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    serving = uvicorn.Server(uvicorn.Config(app, port=0, lifespan="off", log_level="warning"))
    task = asyncio.create_task(serving.serve())
    await until(lambda: serving.started, "uvicorn")
    port = serving.servers[0].sockets[0].getsockname()[1]
    answers = await asyncio.gather(*(_asked(port) for _ in range(10)))
    assert set(answers) == {b"HTTP/1.1 204 No Content"}
    serving.should_exit = True
    await task
    for blocking, other in clients.values():
        blocking.close()
        await other.close()
    counted = {(c.source, c.provider): (c.ended, c.retries) for c in snapshot().process.calls}
    assert counted == {("sdk", sdk): (20, 0) for sdk in SDKS}
    assert all(c.outcomes["succeeded"] == 20 for c in snapshot().process.calls)
    assert server.counts.requests == 40
