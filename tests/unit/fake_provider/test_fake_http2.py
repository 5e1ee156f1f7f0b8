"""Both SDKs against the fake provider over HTTP/2: openai on httpx2, anthropic on httpx."""

import asyncio
import math
from collections.abc import AsyncIterator
from types import ModuleType

import anthropic
import httpx
import httpx2
import openai
import pytest

from opentelemetry.instrumentation.gluellm.cli.fake_provider import Behaviour, FakeProvider
from support.waiting import until

pytestmark = pytest.mark.anyio
CALL = {"model": "m", "max_tokens": 50, "messages": [{"role": "user", "content": "hi"}]}


class OpenAI:
    """What the tests need of the SDK, the same as of the other."""

    sdk: ModuleType = openai
    library: ModuleType = httpx2

    def __init__(self, provider: FakeProvider) -> None:
        self.http_client = httpx2.AsyncClient(http1=False, http2=True)
        self._client = openai.AsyncOpenAI(
            base_url=provider.openai_url,
            api_key="demo",
            max_retries=0,
            http_client=self.http_client,
        )

    async def ask(self) -> str:
        answer = await self._client.chat.completions.create(**CALL)
        return answer.choices[0].message.content

    async def tokens(self) -> AsyncIterator[str]:
        stream = await self._client.chat.completions.create(**CALL, stream=True)
        async for chunk in stream:
            if chunk.choices and chunk.choices[0].delta.content:
                yield chunk.choices[0].delta.content


class Anthropic:
    """The same of this SDK."""

    sdk: ModuleType = anthropic
    library: ModuleType = httpx

    def __init__(self, provider: FakeProvider) -> None:
        self.http_client = httpx.AsyncClient(http1=False, http2=True)
        self._client = anthropic.AsyncAnthropic(
            base_url=provider.anthropic_url,
            api_key="demo",
            max_retries=0,
            http_client=self.http_client,
        )

    async def ask(self) -> str:
        message = await self._client.messages.create(**CALL)
        return message.content[0].text

    async def tokens(self) -> AsyncIterator[str]:
        async with self._client.messages.stream(**CALL) as stream:
            async for text in stream.text_stream:
                yield text


Client = OpenAI | Anthropic


@pytest.fixture
async def provider() -> AsyncIterator[FakeProvider]:
    async with FakeProvider(http2=True, max_streams=2, behaviour=Behaviour(tokens=3)) as provider:
        yield provider


@pytest.fixture(params=[OpenAI, Anthropic], ids=["openai", "anthropic"])
async def client(request: pytest.FixtureRequest, provider: FakeProvider) -> AsyncIterator[Client]:
    client: Client = request.param(provider)
    async with client.http_client:
        yield client


async def cancel(task: asyncio.Task[str]) -> None:
    """Cancel a request as a caller does that lost interest."""
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_answers_are_read_one_after_the_other_on_one_connection(provider, client):
    """A plain answer and a streamed one are parsed by the SDK."""
    assert await client.ask() == "w0 w1 w2"
    assert [token async for token in client.tokens()] == ["w0", " w1", " w2"]
    counts = provider.counts
    assert (counts.connections, counts.requests, counts.completed) == (1, 2, 2)
    assert counts.reused == 1
    assert counts.by_status == {200: 2}
    assert counts.by_api == {client.sdk.__name__: 2}
    assert counts.most_streams == 1
    assert [request.stream for request in provider.requests] == [False, True]


async def test_tokens_are_sent_at_the_rate(provider, client):
    """A stream's tokens arrive one by one, as fast as the behaviour says."""
    provider.behaviour = Behaviour(head_delay=0.05, tokens=3, token_rate=20)
    clock = asyncio.get_running_loop().time
    started = clock()
    tokens = client.tokens()
    assert [token async for token in tokens] == ["w0", " w1", " w2"]
    assert clock() - started >= 0.2


async def test_answers_overtake_each_other(provider, client):
    """Streams are side by side on one connection: the later request is answered first."""
    provider.script(Behaviour(head_delay=math.inf))
    first = asyncio.create_task(client.ask())
    await until(lambda: provider.counts.requests == 1)
    assert await client.ask()
    assert provider.counts.open_streams == 1
    assert provider.counts.most_streams == 2
    assert provider.counts.connections == 1
    await cancel(first)


async def test_limit_of_streams_holds_requests_back(provider, client):
    """No more requests arrive at once than the provider allows; all are answered."""
    provider.behaviour = Behaviour(head_delay=0.05, tokens=1)
    assert await asyncio.gather(*(client.ask() for _ in range(6))) == ["w0"] * 6
    assert provider.counts.most_streams == 2
    assert provider.counts.connections == 1


@pytest.mark.parametrize(
    "behaviour",
    [Behaviour(head_delay=math.inf), Behaviour(stall_after=1)],
    ids=["before-head", "in-body"],
)
async def test_cancelled_stalled_requests_use_the_streams_up(provider, client, behaviour):
    """Nobody resets the streams of cancelled requests, so none is left for the next request."""
    assert await client.ask()  # a client that is cancelled before may not know the limit yet
    provider.script(behaviour, behaviour)
    for number in (1, 2):
        stuck = asyncio.create_task(client.ask())
        await until(lambda: provider.counts.requests == number + 1)  # noqa: B023
        await cancel(stuck)
    for _ in range(2):
        with pytest.raises(client.sdk.APIConnectionError) as refused:
            await client.ask()
        assert isinstance(refused.value.__cause__, client.library.LocalProtocolError)
        assert "Max outbound streams is 2, 2 open" in str(refused.value.__cause__)
    assert provider.counts.requests == 3
    assert provider.counts.open_streams == 2
    assert provider.counts.abandoned == 0
    await client.http_client.aclose()
    await until(lambda: provider.counts.abandoned == 2)
    assert provider.counts.open_streams == 0
    await until(lambda: provider.counts.open_connections == 0)


async def test_cancelled_request_is_answered_all_the_same(provider, client):
    """A stream ends with its answer, though nobody waits for it, and is free for others then."""
    provider.script(Behaviour(head_delay=0.05))
    task = asyncio.create_task(client.ask())
    await until(lambda: provider.counts.requests == 1)
    await cancel(task)
    await until(lambda: provider.counts.completed == 1)
    assert provider.counts.open_streams == 0
    assert await client.ask()  # only now the client reads that the other stream is over
    assert await asyncio.gather(client.ask(), client.ask())
    assert provider.counts.connections == 1


async def test_error_status_raises_the_sdks_error(provider, client):
    """An error ends its stream only."""
    provider.script(Behaviour(status=429, retry_after=7), Behaviour(status=503))
    with pytest.raises(client.sdk.RateLimitError) as limited:
        await client.ask()
    assert limited.value.response.headers["retry-after"] == "7"
    assert limited.value.response.http_version == "HTTP/2"
    with pytest.raises(client.sdk.InternalServerError):
        await client.ask()
    assert await client.ask()
    assert provider.counts.by_status == {429: 1, 503: 1, 200: 1}
    assert provider.counts.completed == 3
    assert provider.counts.connections == 1


@pytest.mark.parametrize(
    "behaviour",
    [Behaviour(reset_before_head=True), Behaviour(reset_after=1)],
    ids=["before-head", "in-body"],
)
async def test_reset_is_the_streams_own(provider, client, behaviour):
    """RST_STREAM ends one request; the connection and what else it carries go on."""
    provider.script(Behaviour(head_delay=math.inf), behaviour)
    other = asyncio.create_task(client.ask())
    await until(lambda: provider.counts.requests == 1)
    with pytest.raises(client.sdk.APIConnectionError) as reset:
        await client.ask()
    assert "StreamReset" in str(reset.value.__cause__)
    assert provider.counts.resets == 1
    assert await client.ask()
    assert not other.done()
    assert provider.counts.connections == 1
    assert provider.counts.open_streams == 1
    await cancel(other)


async def test_reset_mid_stream(provider, client):
    """What was sent before the reset is delivered."""
    provider.script(Behaviour(tokens=5, reset_after=2))
    tokens = []

    async def read() -> None:
        async for token in client.tokens():
            tokens.append(token)

    with pytest.raises((client.library.RemoteProtocolError, client.sdk.APIConnectionError)):
        await read()
    assert tokens == ["w0", " w1"]
    assert provider.counts.completed == 0


async def test_hang_up_takes_all_streams_with_it(provider, client):
    """The end of the connection is the end of every answer on it."""
    provider.script(Behaviour(head_delay=math.inf), Behaviour(hang_up_after=1))
    other = asyncio.create_task(client.ask())
    await until(lambda: provider.counts.requests == 1)
    for request in (client.ask(), other):
        with pytest.raises(client.sdk.APIConnectionError):
            await request
    assert provider.counts.resets == 2
    assert provider.counts.abandoned == 0
    assert provider.counts.open_streams == 0
    assert await client.ask()
    assert provider.counts.connections == 2


async def test_reused_connections_are_dropped(provider, client):
    """A TCP reset meets the second request of every connection."""
    provider.behaviour = Behaviour(drop_reused=True)
    for _ in range(2):
        assert await client.ask()
        with pytest.raises(client.sdk.APIConnectionError) as reset:
            await client.ask()
        assert isinstance(reset.value.__cause__, client.library.ReadError)
    assert provider.counts.connections == 2
    assert provider.counts.resets == 2
    assert provider.counts.completed == 2


async def test_close_sends_the_next_request_to_a_new_connection(provider, client):
    """GOAWAY comes with the answer; nothing fails."""
    provider.behaviour = Behaviour(close=True)
    for _ in range(3):
        assert await client.ask()
    await until(lambda: provider.counts.open_connections == 0)
    assert provider.counts.connections == 3
    assert provider.counts.idle_closed == 0
