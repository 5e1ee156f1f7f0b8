"""The official Anthropic SDK against the fake provider."""

from collections.abc import AsyncIterator

import anthropic
import httpx
import pytest
from anthropic import AsyncAnthropic

from opentelemetry.instrumentation.gluellm.cli.fake_provider import Behaviour, FakeProvider

pytestmark = pytest.mark.anyio
CALL = {"model": "m", "max_tokens": 50, "messages": [{"role": "user", "content": "hi"}]}


@pytest.fixture
async def provider() -> AsyncIterator[FakeProvider]:
    async with FakeProvider(behaviour=Behaviour(tokens=3)) as provider:
        yield provider


@pytest.fixture
async def client(provider: FakeProvider) -> AsyncIterator[AsyncAnthropic]:
    async with AsyncAnthropic(
        base_url=provider.anthropic_url, api_key="demo", max_retries=0
    ) as client:
        yield client


async def test_message_is_read(provider, client):
    """A plain message is parsed by the SDK."""
    message = await client.messages.create(**CALL)
    assert message.content[0].text == "w0 w1 w2"
    assert message.usage.output_tokens == 3
    assert provider.counts.by_api == {"anthropic": 1}


async def test_stream_is_accumulated(provider, client):
    """The SDK's own accumulation accepts the order and the shape of the events."""
    async with client.messages.stream(**CALL) as stream:
        text = "".join([part async for part in stream.text_stream])
        final = await stream.get_final_message()
    assert text == "w0 w1 w2"
    assert final.stop_reason == "end_turn"
    assert final.usage.output_tokens == 3
    await client.messages.create(**CALL)
    assert provider.counts.connections == 1


async def test_error_status_raises_the_sdks_error(provider, client):
    """The error body is Anthropic's."""
    provider.script(Behaviour(status=529), Behaviour(status=429))
    with pytest.raises(anthropic.APIStatusError) as overloaded:
        await client.messages.create(**CALL)
    assert overloaded.value.body["error"]["type"] == "overloaded_error"
    with pytest.raises(anthropic.RateLimitError):
        await client.messages.create(**CALL)


async def test_reset_mid_stream(provider, client):
    """A reset after n tokens breaks the stream there."""
    provider.script(Behaviour(tokens=5, reset_after=2))
    text = []

    async def read() -> None:
        async with client.messages.stream(**CALL) as stream:
            async for part in stream.text_stream:
                text.append(part)

    with pytest.raises((httpx.ReadError, anthropic.APIConnectionError)):
        await read()
    assert "".join(text) == "w0 w1"
    assert provider.counts.resets == 1


async def test_other_endpoints(client):
    """Models and token counts."""
    assert [model.id async for model in client.models.list()] == ["demo"]
    count = await client.messages.count_tokens(model="m", messages=CALL["messages"])
    assert count.input_tokens == 4
