"""Calls of source ``http`` beside those of SDKs and any-llm, counted against the provider."""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest
from opentelemetry.trace import SpanKind

from gluellm_pools.fake_provider import Behaviour, FakeProvider
from opentelemetry.instrumentation.gluellm import diagnose, snapshot
from support.fake_llms import ANSWERS
from support.providers import CHAT, HTTP_OF_OPENAI, create
from support.sdk_clients import SDKS, chat, client_of
from support.telemetry import Telemetry

pytestmark = pytest.mark.anyio
BODY = {"model": "m", "messages": CHAT["messages"]}


@pytest.fixture
def telemetry(server: FakeProvider, instrument: Callable[..., Telemetry]) -> Telemetry:
    """The instrumentation, to which the fake provider is a server of one's own."""
    return instrument(scope="llm", hosts={f"127.0.0.1:{server.port}": "vllm"})


def calls() -> dict[tuple[str, str | None], int]:
    """Ended calls by source and provider."""
    ended = {(one.source, one.provider): one.ended for one in snapshot().process.calls}
    return {key: count for key, count in ended.items() if count}


async def test_plain_client_at_an_own_host(server: FakeProvider, telemetry: Telemetry) -> None:
    """Each POST is a call, whatever its path."""
    server.replies["POST", "/generate"] = {}
    async with HTTP_OF_OPENAI.AsyncClient(base_url=server.url) as client:
        for path in ("/v1/chat/completions", "/generate"):
            (await client.post(path, json=BODY)).raise_for_status()
        with contextlib.suppress(Exception):
            await client.get("/v1/models")
    assert calls() == {("http", "vllm"): 2}
    assert {pool.provider for pool in snapshot().totals} == {"vllm"}


@pytest.mark.parametrize("kind", [HTTP_OF_OPENAI.AsyncClient, aiohttp.ClientSession])
@pytest.mark.usefixtures("telemetry")
async def test_call_site_is_looked_up_once_and_where_the_last_one_was(
    kind: Any, server: FakeProvider, forbid_walks: Any
) -> None:
    """The stack is not walked again, also if aiohttp looks up a proxy before."""

    async def ask() -> None:
        await client.post(f"{server.url}/v1/chat/completions", json=BODY)

    async with kind(trust_env=kind is aiohttp.ClientSession) as client:
        await ask()
        found = forbid_walks()
        await ask()
        # Closing a session with an unread response looks for the line that closes it.
        assert found == ["ask"]


@pytest.mark.parametrize("sdk", SDKS)
@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
async def test_call_of_an_sdk_counts_once(
    sdk: str, is_async: bool, server: FakeProvider, telemetry: Telemetry
) -> None:
    """Its retries are in it, and it has the host's provider."""
    client = client_of(sdk, server, is_async=is_async)
    server.script(Behaviour(status=429, retry_after=0.01))
    for more in ({}, {"stream": True}):
        answer = chat(client, **more)
        if is_async:
            answer = await answer
            if more:
                async for _ in answer:
                    pass
        elif more:
            list(answer)
    assert server.counts.requests == 3
    assert calls() == {("sdk", "vllm"): 2}


async def test_file_of_an_sdk_is_no_call(server: FakeProvider, telemetry: Telemetry) -> None:
    """The next request of another client in the same task is one."""
    server.replies["POST", "/v1/files"] = {"id": "f", "object": "file"}
    client = client_of("openai", server, is_async=True)
    await client.files.create(file=b"{}", purpose="batch")
    assert (server.counts.requests, calls()) == (1, {})
    async with HTTP_OF_OPENAI.AsyncClient(base_url=server.url) as plain:
        await plain.post("/v1/chat/completions", json=BODY)
    assert calls() == {("http", "vllm"): 1}


@pytest.mark.parametrize("provider", SDKS)
async def test_call_of_any_llm_counts_once(
    provider: str, server: FakeProvider, telemetry: Telemetry
) -> None:
    """Also in several tasks at once."""
    llm = create(provider, server)
    await asyncio.gather(*(llm.acompletion(model="m", **CHAT) for _ in range(5)))
    assert calls() == {("any_llm", provider): 5}


async def test_genai_span_has_the_provider_of_an_sdk_at_an_unknown_host(
    server: FakeProvider, instrument: Callable[..., Telemetry]
) -> None:
    """Without one, it is that of the API that the SDK speaks."""
    telemetry = instrument(scope="llm")
    client = client_of("openai", server)
    start = telemetry.tracer_provider.get_tracer("test").start_as_current_span
    named = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "x_ai"}
    with start("chat m", kind=SpanKind.CLIENT, attributes=named):
        chat(client)
    chat(client)
    assert calls() == {("sdk", "xai"): 1, ("sdk", "openai"): 1}


async def test_refusals_that_are_repeated_with_success_are_no_finding(
    server: FakeProvider, telemetry: Telemetry
) -> None:
    """A fifth of 429, as LiteLLM and tenacity get through."""
    async with HTTP_OF_OPENAI.AsyncClient(base_url=server.url) as client:
        for _ in range(20):
            server.script(Behaviour(status=429))
            for _ in range(5):
                await client.post("/v1/chat/completions", json=BODY)
    (found,) = snapshot().process.calls
    assert found.outcomes == {"succeeded": 80, "failed": 20, "abandoned": 0, "cancelled": 0}
    assert not diagnose(snapshot())


@pytest.mark.all_sdks
@pytest.mark.parametrize("client", ["litellm", "cohere", "boto3", "ollama"])
async def test_client_without_hooks(
    client: str,
    server: FakeProvider,
    telemetry: Telemetry,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each request is a call: LiteLLM's own handler, cohere, AWS's SDK, Ollama's."""
    pytest.importorskip(client)
    await CLIENTS[client](server, monkeypatch)
    assert server.counts.requests == 2
    assert calls() == {("http", "vllm"): 2}


async def _litellm(server: FakeProvider, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "true")
    import litellm

    to = {"api_base": server.anthropic_url, "api_key": "any", "num_retries": 0}
    litellm.completion(model="anthropic/m", messages=CHAT["messages"], **to)
    await litellm.acompletion(model="anthropic/m", messages=CHAT["messages"], **to)


async def _cohere(server: FakeProvider, monkeypatch: pytest.MonkeyPatch) -> None:
    import cohere

    server.replies["POST", "/v2/chat"] = ANSWERS["/v2/chat"]
    to: Any = {"api_key": "any", "base_url": server.url}
    asked: Any = {"model": "m", "messages": CHAT["messages"]}
    cohere.ClientV2(**to).chat(**asked)
    await cohere.AsyncClientV2(**to).chat(**asked)


async def _boto3(server: FakeProvider, monkeypatch: pytest.MonkeyPatch) -> None:
    import boto3

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "any")
    server.replies["POST", "/model/m/converse"] = ANSWERS["/converse"]
    client = boto3.client("bedrock-runtime", region_name="us-east-1", endpoint_url=server.url)
    for _ in range(2):
        client.converse(modelId="m", messages=[{"role": "user", "content": [{"text": "hi"}]}])


async def _ollama(server: FakeProvider, monkeypatch: pytest.MonkeyPatch) -> None:
    import ollama

    server.replies["POST", "/api/chat"] = ANSWERS["/api/chat"]
    ollama.Client(server.url).chat("m", CHAT["messages"])
    await ollama.AsyncClient(server.url).chat("m", CHAT["messages"])


CLIENTS = {"litellm": _litellm, "cohere": _cohere, "boto3": _boto3, "ollama": _ollama}


@pytest.mark.all_sdks
@pytest.mark.parametrize("first", [False, True], ids=["after", "before"])
async def test_call_counts_once_under_spans_of_another_instrumentation(
    first: bool,
    server: FakeProvider,
    providers: Telemetry,
    instrument: Callable[..., Telemetry],
) -> None:
    """That of openai, turned on before or after this one. The spans stay the same."""
    spans = pytest.importorskip("opentelemetry.instrumentation.openai_v2").OpenAIInstrumentor()
    steps = [
        lambda: instrument(scope="llm"),
        lambda: spans.instrument(tracer_provider=providers.tracer_provider),
    ]
    for step in reversed(steps) if first else steps:
        step()
    try:
        chat(client_of("openai", server))
        await chat(client_of("openai", server, is_async=True))
    finally:
        spans.uninstrument()
    assert server.counts.requests == 2
    assert calls() == {("sdk", "openai"): 2}
    assert len(providers.spans("chat m")) == 2
