"""The official OpenAI SDK against the fake provider."""

import math
import time
from collections.abc import AsyncIterator

import httpx2
import openai
import pytest
from openai import AsyncOpenAI

from opentelemetry.instrumentation.gluellm.cli.fake_provider import Behaviour, FakeProvider

pytestmark = pytest.mark.anyio
MESSAGES = [{"role": "user", "content": "hi"}]


@pytest.fixture
async def provider() -> AsyncIterator[FakeProvider]:
    async with FakeProvider() as provider:
        yield provider


@pytest.fixture
async def client(provider: FakeProvider) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=provider.openai_url, api_key="demo", max_retries=0) as client:
        yield client


async def test_completion_is_read_and_its_connection_reused(provider, client):
    """A plain answer is parsed by the SDK, and the second request reuses the connection."""
    provider.behaviour = Behaviour(tokens=3)
    for _ in range(2):
        answer = await client.chat.completions.create(model="m", messages=MESSAGES)
        assert answer.choices[0].message.content == "w0 w1 w2"
    assert answer.model == "m"
    assert answer.usage.completion_tokens == 3
    assert provider.counts.requests == 2
    assert provider.counts.connections == 1
    assert provider.counts.reused == 1
    assert provider.counts.by_status == {200: 2}
    assert provider.counts.by_api == {"openai": 2}
    assert provider.requests[-1].model == "m"
    assert provider.requests[-1].path == "/v1/chat/completions"


async def test_stream_sends_its_tokens_at_the_rate(provider, client):
    """A stream's tokens arrive one by one, as fast as the behaviour says."""
    provider.behaviour = Behaviour(tokens=4, token_rate=20)
    stream = await client.chat.completions.create(
        model="m", messages=MESSAGES, stream=True, stream_options={"include_usage": True}
    )
    started = time.monotonic()
    chunks = [chunk async for chunk in stream]
    assert time.monotonic() - started >= 0.15
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert text == "w0 w1 w2 w3"
    assert chunks[-1].usage.completion_tokens == 4
    assert provider.requests[0].stream is True


async def test_head_is_delayed(provider, client):
    """The head comes no sooner than told; not streamed, the tokens have to be made first."""
    provider.behaviour = Behaviour(head_delay=0.1, tokens=2, token_rate=40)
    started = time.monotonic()
    await client.chat.completions.create(model="m", messages=MESSAGES)
    assert time.monotonic() - started >= 0.15


async def test_error_status_raises_the_sdks_error(provider, client):
    """Scripted statuses hold for one request each, then the behaviour holds again."""
    provider.script(Behaviour(status=429, retry_after=7), Behaviour(status=503))
    with pytest.raises(openai.RateLimitError, match="scripted") as limited:
        await client.chat.completions.create(model="m", messages=MESSAGES)
    assert limited.value.response.headers["retry-after"] == "7"
    with pytest.raises(openai.InternalServerError):
        await client.chat.completions.create(model="m", messages=MESSAGES, stream=True)
    await client.chat.completions.create(model="m", messages=MESSAGES)
    assert provider.counts.by_status == {429: 1, 503: 1, 200: 1}


async def test_reset_mid_stream(provider, client):
    """A reset after n tokens breaks the stream there, with what was sent before it delivered."""
    provider.script(Behaviour(tokens=5, reset_after=2))
    stream = await client.chat.completions.create(model="m", messages=MESSAGES, stream=True)
    text = []

    async def read() -> None:
        async for chunk in stream:
            text.append(chunk.choices[0].delta.content or "")

    with pytest.raises((httpx2.ReadError, openai.APIConnectionError)):
        await read()
    assert "".join(text) == "w0 w1"
    assert provider.counts.resets == 1
    assert provider.counts.completed == 0


@pytest.mark.parametrize(
    "behaviour",
    [
        Behaviour(reset_before_head=True),
        Behaviour(reset_after=1),
        Behaviour(hang_up_after=1),
        Behaviour(stall_after=0),
        Behaviour(head_delay=math.inf),
    ],
    ids=["reset-before-head", "reset", "hang-up", "stall", "never"],
)
async def test_broken_answers_reach_the_client_as_connection_errors(provider, client, behaviour):
    """Every way of not answering ends as the SDK's connection error or timeout."""
    provider.script(behaviour)
    with pytest.raises(openai.APIConnectionError):
        await client.with_options(timeout=0.2).chat.completions.create(model="m", messages=MESSAGES)
    await client.chat.completions.create(model="m", messages=MESSAGES)
    assert provider.counts.connections == 2


async def test_connection_close_is_honoured(provider, client):
    """``close`` ends the connection after the answer, so the next request makes a new one."""
    provider.behaviour = Behaviour(close=True)
    for _ in range(3):
        await client.chat.completions.create(model="m", messages=MESSAGES)
    assert provider.counts.connections == 3
    assert provider.counts.reused == 0


async def test_other_endpoints(provider, client):
    """Models, embeddings (base64 and plain), responses (streamed and not), and replies."""
    assert [model.id async for model in client.models.list()] == ["demo"]
    vectors = await client.embeddings.create(model="e", input=["a", "b"])
    assert vectors.data[1].embedding == pytest.approx([0.1, 0.2, 0.3])
    plain = await client.embeddings.create(model="e", input="a", encoding_format="float")
    assert plain.data[0].embedding == [0.1, 0.2, 0.3]
    provider.behaviour = Behaviour(tokens=2)
    assert (await client.responses.create(model="m", input="hi")).output_text == "w0 w1"
    async with client.responses.stream(model="m", input="hi") as stream:
        events = [event.type async for event in stream]
        final = await stream.get_final_response()
    assert final.output_text == "w0 w1"
    assert events.count("response.output_text.delta") == 2
    provider.replies["POST", "/v1/moderations"] = {"id": "x", "model": "m", "results": []}
    assert (await client.moderations.create(input="hi")).id == "x"
    with pytest.raises(openai.NotFoundError, match="no such endpoint"):
        await client.files.list()


async def test_sync_client_reads_a_stream(provider):
    """The synchronous SDK works from another thread."""
    from anyio import to_thread

    def call() -> str:
        with openai.OpenAI(base_url=provider.openai_url, api_key="demo") as client:
            stream = client.chat.completions.create(model="m", messages=MESSAGES, stream=True)
            return "".join(chunk.choices[0].delta.content or "" for chunk in stream)

    provider.behaviour = Behaviour(tokens=2)
    assert await to_thread.run_sync(call) == "w0 w1"
