"""The SDKs against the fake provider, which runs on asyncio."""

from __future__ import annotations

from collections.abc import AsyncIterator
from types import ModuleType
from typing import Any

import anthropic
import httpx
import httpx2
import openai
import pytest

from gluellm_pools.fake_provider import Behaviour, FakeProvider

CALL: dict[str, Any] = {
    "model": "m",
    "max_tokens": 50,
    "messages": [{"role": "user", "content": "hi"}],
}


class OpenAI:
    """What the tests need of the SDK, the same as of the other."""

    sdk: ModuleType = openai
    library: ModuleType = httpx2

    def __init__(self, provider: FakeProvider, **protocols: bool) -> None:
        self.http_client = httpx2.AsyncClient(**protocols)
        self.client = openai.AsyncOpenAI(
            base_url=provider.openai_url,
            api_key="demo",
            max_retries=0,
            http_client=self.http_client,
        )

    async def ask(self, timeout: float = 10) -> str:
        options = self.client.with_options(timeout=timeout)
        answer = await options.chat.completions.create(**CALL)
        assert answer.usage.completion_tokens == len(answer.choices[0].message.content.split())
        return answer.choices[0].message.content

    async def tokens(self) -> AsyncIterator[str]:
        usage = {"include_usage": True}
        stream = await self.client.chat.completions.create(
            **CALL, stream=True, stream_options=usage
        )
        number = 0
        async for chunk in stream:
            if chunk.choices and chunk.choices[0].delta.content:
                number += 1
                yield chunk.choices[0].delta.content
        assert chunk.usage.completion_tokens == number


class Anthropic:
    """The same of this SDK."""

    sdk: ModuleType = anthropic
    library: ModuleType = httpx

    def __init__(self, provider: FakeProvider, **protocols: bool) -> None:
        self.http_client = httpx.AsyncClient(**protocols)
        self.client = anthropic.AsyncAnthropic(
            base_url=provider.anthropic_url,
            api_key="demo",
            max_retries=0,
            http_client=self.http_client,
        )

    async def ask(self, timeout: float = 10) -> str:
        message = await self.client.with_options(timeout=timeout).messages.create(**CALL)
        assert message.usage.output_tokens == len(message.content[0].text.split())
        return message.content[0].text

    async def tokens(self) -> AsyncIterator[str]:
        number = 0
        async with self.client.messages.stream(**CALL) as stream:
            async for text in stream.text_stream:
                number += 1
                yield text
            final = await stream.get_final_message()
        assert (final.stop_reason, final.usage.output_tokens) == ("end_turn", number)


Client = OpenAI | Anthropic


@pytest.fixture(params=[False, True], ids=["HTTP/1.1", "HTTP/2"])
def http2(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture
async def provider(http2: bool) -> AsyncIterator[FakeProvider]:
    further = {"max_streams": 2} if http2 else {}
    async with FakeProvider(http2=http2, behaviour=Behaviour(tokens=3), **further) as provider:
        yield provider


@pytest.fixture(params=[OpenAI, Anthropic], ids=["openai", "anthropic"])
async def client(
    request: pytest.FixtureRequest, provider: FakeProvider, http2: bool
) -> AsyncIterator[Client]:
    client: Client = request.param(provider, http1=not http2, http2=http2)
    async with client.http_client:
        yield client
