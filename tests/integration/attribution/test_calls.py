"""Begin, end and separation of calls, with real any-llm providers and sockets."""

import asyncio
import random
import threading
from typing import Any

import httpx
import pytest
from any_llm.providers.openai.openai import OpenaiProvider
from any_llm.utils.aio import run_async_in_sync

from gluellm_pools.fake_provider import Behaviour
from opentelemetry.instrumentation.gluellm.attribution.any_llm import AnyLLMAttribution
from opentelemetry.instrumentation.gluellm.attribution.context import current_call
from support.providers import arguments, create
from support.waiting import until

from . import providers
from .providers import Probe

pytestmark = pytest.mark.anyio
CHAT: dict[str, Any] = {"messages": [{"role": "user", "content": "hi"}]}


def held(pool: Any) -> int:
    """Return the number of connections in use."""
    return sum(not (c.is_idle() or c.is_closed()) for c in pool.connections)


@pytest.fixture(autouse=True)
def _installed(attribution: AnyLLMAttribution, probe: Probe) -> None:
    attribution.install()


async def dropped(llm, server, probe):
    """Break out of a stream and drop it."""
    stream = await llm.acompletion(model="m", stream=True, **CHAT)
    async for _ in stream:
        break
    assert not probe.requests[-1].call.ended


async def closed(llm, server, probe):
    """Close a stream, which also closes the SDK's stream."""
    stream = await llm.acompletion(model="m", stream=True, **CHAT)
    await anext(stream)
    assert not probe.requests[-1].call.ended
    await stream.aclose()
    assert probe.requests[-1].call.ended  # while the stream is still referenced
    assert not held(probe.pools[-1])


async def reset(llm, server, probe):
    """Reset the connection in the middle of a stream."""
    server.script(Behaviour(tokens=5, reset_after=2))
    stream = await llm.acompletion(model="m", stream=True, **CHAT)
    with pytest.raises(Exception):  # noqa: B017  its class depends on the SDK's version
        async for _ in stream:
            pass
    assert probe.requests[-1].call.ended


async def failed(llm, server, probe):
    """Answer with error statuses. All attempts of the SDK belong to one call."""
    server.script(Behaviour(status=500), Behaviour(status=500))
    with pytest.raises(Exception, match="scripted"):
        await llm.acompletion(model="m", **CHAT)


async def cancelled(llm, server, probe):
    """Cancel a call while it waits for the response."""
    server.script(Behaviour(head_delay=30))
    before = len(server.requests)
    task = asyncio.create_task(llm.acompletion(model="m", **CHAT))
    await until(lambda: len(server.requests) > before, "the request is on the server")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
@pytest.mark.parametrize("way", [dropped, closed, reset, failed, cancelled])
async def test_call_ends_with_its_request_whatever_the_outcome(
    provider, way, probe, provider_server
):
    retries = 1 if way is failed else 0
    llm = create(provider, provider_server, max_retries=retries)
    await way(llm, provider_server, probe)
    assert len(probe.requests) == 1 + retries
    (call,) = {seen.call for seen in probe.requests}
    assert call is not None
    assert call.ended
    await probe.close()


def test_call_in_an_executor_is_attributed_by_the_pools_constructor(probe, provider_server):
    """The executor's thread does not have the call's context."""

    class Blocking(OpenaiProvider):
        PROVIDER_NAME = "blocking"

        client: Any

        def _init_client(self, *args: Any, **kwargs: Any) -> None:
            self.client = httpx.Client()

        async def _alist_models(self, **kwargs: Any) -> Any:
            url = f"{provider_server.openai_url}/models"
            loop = asyncio.get_running_loop()
            return (await loop.run_in_executor(None, self.client.get, url)).json()["data"]

    llm = Blocking(**arguments("openai", provider_server))
    asyncio.run(llm.alist_models())
    llm.client.close()
    (builder,) = probe.builders
    assert builder is not None
    assert builder.provider == "blocking"
    assert probe.claims == [None]


NAMES = ("openai", "anthropic")
CLAIMS = {(NAMES[n % 2], f"{NAMES[n % 2]}-{n}", "chat") for n in range(24)}
"""24 calls of two providers, each with its own model. Every other pair of calls streams."""


def arguments_of(number: int) -> dict[str, Any]:
    model = f"{NAMES[number % 2]}-{number}"
    return {"model": model, "stream": number % 4 < 2, "max_tokens": 5, **CHAT}


async def test_concurrent_calls_on_one_loop_are_attributed_separately(probe, provider_server):
    llms = [create(name, provider_server) for name in NAMES]
    chaos = random.Random(1)

    async def one(number: int) -> None:
        answer = await llms[number % 2].acompletion(**arguments_of(number))
        if number % 4 < 2:
            async for _ in answer:
                assert current_call.get() is None
                await asyncio.sleep(chaos.random() / 100)

    await asyncio.gather(*(one(number) for number in range(24)))
    await probe.close()
    assert len(probe.requests) == 24
    assert set(probe.claims) == CLAIMS
    libraries = {seen.library for seen in probe.requests}
    assert libraries == {"httpcore", "httpcore2" if providers.OPENAI_IS_ON_HTTPX2 else "httpcore"}


def test_sync_call_leaves_no_context_on_the_runner_loop(probe, provider_server):
    """Other code on any-llm's loop between two calls is not attributed."""
    llm = create("openai", provider_server)
    llm.completion(model="m", **CHAT)

    async def look() -> Any:
        return current_call.get(), threading.current_thread().name

    call, thread = run_async_in_sync(look())
    assert call is None
    assert thread == "any-llm-async-runner"
    run_async_in_sync(probe.close())


async def test_stream_in_flight_continues_after_uninstall(attribution, probe, provider_server):
    """A later call is not attributed."""
    llm = create("openai", provider_server)
    stream = await llm.acompletion(model="m", stream=True, **CHAT)
    await anext(stream)
    attribution.uninstall()
    assert [chunk async for chunk in stream]
    await llm.acompletion(model="m", **CHAT)
    await probe.close()
    assert probe.claims == [("openai", "m", "chat"), None]


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
def test_abandoned_sync_stream_ends_its_call(provider, probe, provider_server):
    """any-llm's generator closes the stream on its loop when it is collected."""
    llm = create(provider, provider_server)
    provider_server.script(Behaviour(tokens=1000, token_rate=100))
    stream = llm.completion(model="m", stream=True, max_tokens=5, **CHAT)
    next(stream)
    call: Any = probe.requests[-1].call
    ended = [call.ended]
    del stream
    assert [*ended, call.ended] == [False, True]
    run_async_in_sync(probe.close())
