"""Both SDKs against the fake provider, over HTTP/1.1 and HTTP/2."""

from __future__ import annotations

import asyncio
import math

import pytest

from gluellm_pools.fake_provider import Behaviour, RateLimit
from support.waiting import until

from .conftest import Anthropic, OpenAI

pytestmark = pytest.mark.anyio
over_http1 = pytest.mark.parametrize("http2", [False], indirect=True)
over_http2 = pytest.mark.parametrize("http2", [True], indirect=True)


async def cancel(task):
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
    assert counts.by_status == {200: 2}
    assert {request.api for request in provider.requests} == {client.sdk.__name__}
    assert [request.stream for request in provider.requests] == [False, True]
    assert {request.model for request in provider.requests} == {"m"}
    path = "/v1/chat/completions" if isinstance(client, OpenAI) else "/v1/messages"
    assert {request.path for request in provider.requests} == {path}


async def test_head_and_tokens_have_the_configured_speed(provider, client):
    """A response that is not streamed starts after its tokens are generated."""
    provider.behaviour = Behaviour(head_delay=0.05, tokens=3, token_rate=20)
    clock = asyncio.get_running_loop().time
    started = clock()
    assert [token async for token in client.tokens()] == ["w0", " w1", " w2"]
    assert clock() - started >= 0.2
    started = clock()
    await client.ask()
    assert clock() - started >= 0.15


async def test_error_status_raises_the_sdks_error(provider, client, http2):
    """Scripted statuses hold for one request each, then the behaviour holds again."""
    provider.script(Behaviour(status=429, retry_after=7), Behaviour(status=503))
    with pytest.raises(client.sdk.RateLimitError) as limited:
        await client.ask()
    assert limited.value.response.headers["retry-after"] == "7"
    assert limited.value.response.http_version == ("HTTP/2" if http2 else "HTTP/1.1")
    with pytest.raises(client.sdk.InternalServerError):
        await client.ask()
    assert await client.ask()
    assert provider.counts.by_status == {429: 1, 503: 1, 200: 1}
    assert (provider.counts.completed, provider.counts.connections) == (3, 1)
    provider.script(Behaviour(status=529))
    with pytest.raises(client.sdk.APIStatusError) as overloaded:
        await client.ask()
    if isinstance(client, Anthropic):
        assert overloaded.value.body["error"]["type"] == "overloaded_error"
    else:
        assert "scripted" in str(overloaded.value)


async def test_stalled_stream_sends_pings_that_bring_no_item(provider, client):
    """They keep a read timeout from ending the stream."""
    provider.behaviour = Behaviour(stall_after=2, ping_every=0.05)
    # Pings would break a body whose length is known. This is tried first: over HTTP/2, the pings of
    # an abandoned stream restart the read timeouts of all requests on its connection.
    with pytest.raises(client.sdk.APITimeoutError):
        await client.ask(timeout=0.3)
    client.client = client.client.with_options(timeout=0.3)
    tokens = []

    async def read():
        async for token in client.tokens():
            tokens.append(token)

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(read(), 1.0)
    assert tokens == ["w0", " w1"]


async def test_rate_limit_refuses_what_exceeds_it_in_a_second(provider, client):
    """Each refusal asks the client to retry after a second."""
    now = [100.0]
    provider.behaviour = RateLimit(2, Behaviour(tokens=1), lambda: now[0])
    for _ in range(2):
        assert await client.ask() == "w0"
        assert await client.ask() == "w0"
        now[0] += 0.9
        with pytest.raises(client.sdk.RateLimitError) as refused:
            await client.ask()
        assert refused.value.response.headers["retry-after"] == "1"
        now[0] += 0.1


async def test_reset_mid_stream_delivers_what_was_sent_before(provider, client):
    provider.script(Behaviour(tokens=5, reset_after=2))
    tokens = []

    async def read() -> None:
        async for token in client.tokens():
            tokens.append(token)

    kinds = client.library.ReadError, client.library.RemoteProtocolError
    with pytest.raises((*kinds, client.sdk.APIConnectionError)):
        await read()
    assert tokens == ["w0", " w1"]
    assert (provider.counts.resets, provider.counts.completed) == (1, 0)


@over_http1
@pytest.mark.parametrize(
    ("behaviour", "timeout", "cause"),
    [
        (Behaviour(reset_before_head=True), 30, "ReadError"),
        (Behaviour(reset_after=1), 30, "ReadError"),
        (Behaviour(hang_up_after=1), 30, "RemoteProtocolError"),
        (Behaviour(stall_after=0), 0.2, "TimeoutException"),
        (Behaviour(head_delay=math.inf), 0.2, "TimeoutException"),
    ],
)
async def test_each_way_to_break_an_answer_has_its_own_error(
    provider, client, behaviour, timeout, cause
):
    """A reset, an orderly end and silence; the SDK raises a connection error for all."""
    provider.script(behaviour)
    with pytest.raises(client.sdk.APIConnectionError) as broken:
        await client.ask(timeout)
    assert isinstance(broken.value.__cause__, getattr(client.library, cause))
    assert await client.ask()
    assert provider.counts.connections == 2


@over_http1
async def test_reused_connections_are_dropped(provider, client):
    """A TCP reset meets the second request of every connection."""
    provider.behaviour = Behaviour(drop_reused=True)
    for _ in range(2):
        assert await client.ask()
        with pytest.raises(client.sdk.APIConnectionError) as reset:
            await client.ask()
        assert isinstance(reset.value.__cause__, client.library.ReadError)
    counts = provider.counts
    assert (counts.connections, counts.resets, counts.completed) == (2, 2, 2)
    assert (counts.requests, counts.by_status) == (4, {200: 2})


@over_http1
async def test_close_sends_the_next_request_to_a_new_connection(provider, client):
    """The response is complete, and no request fails."""
    provider.behaviour = Behaviour(close=True)
    for _ in range(3):
        assert await client.ask()
    await until(lambda: provider.counts.open_connections == 0)
    counts = provider.counts
    assert (counts.connections, counts.requests) == (3, 3)


# Streams of HTTP/2


@over_http2
async def test_limit_of_streams_holds_requests_back(provider, client):
    """No more requests arrive at once than the provider allows; all are answered."""
    provider.behaviour = Behaviour(head_delay=math.inf)
    calls = [asyncio.create_task(client.ask()) for _ in range(6)]
    await until(lambda: provider.counts.requests == 2)
    await asyncio.sleep(0.05)
    counts = provider.counts
    assert (counts.requests, counts.connections) == (2, 1)
    for call in calls:
        call.cancel()
    await asyncio.gather(*calls, return_exceptions=True)


@over_http2
@pytest.mark.parametrize(
    "behaviour",
    [
        *(Behaviour(reset_before_head=True), Behaviour(reset_after=1)),
        *(Behaviour(hang_up_after=1), Behaviour(drop_reused=True)),
    ],
)
async def test_reset_is_the_streams_own(provider, client, behaviour):
    """RST_STREAM ends one request; the connection and what else it carries go on."""
    provider.script(Behaviour(head_delay=math.inf), behaviour)
    other = asyncio.create_task(client.ask())
    await until(lambda: provider.counts.requests == 1)
    with pytest.raises(client.sdk.APIConnectionError) as reset:
        await client.ask()
    counts = provider.counts
    assert "StreamReset" in str(reset.value.__cause__)
    assert not other.done()
    assert counts.resets == 1
    assert await client.ask()
    assert counts.connections == 1
    await cancel(other)
