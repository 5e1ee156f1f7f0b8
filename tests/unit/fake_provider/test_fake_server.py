"""The fake provider as a server: listening, refusing, breaking off, TLS, its own thread, HTTP/2.

Tests in tests/integration, such as calls and demo, read its answers with SDKs.
"""

import asyncio
import contextlib
import math
import ssl
import sys
import time
from dataclasses import replace

import httpx
import pytest
import trustme
from h2.connection import H2Connection

from gluellm_pools.fake_provider import Behaviour, FakeProvider, FakeProviderThread, RateLimit
from support.waiting import until

pytestmark = pytest.mark.anyio


async def ask(provider: FakeProvider, client: httpx.AsyncClient, **more: object) -> httpx.Response:
    """Send a chat request."""
    return await client.post(f"{provider.openai_url}/chat/completions", json={"model": "m", **more})


async def test_refused_connections_and_recovery_on_the_same_port():
    """`refuse` keeps open connections, refuses new ones, and `listen` takes the port again."""
    async with FakeProvider() as provider, httpx.AsyncClient() as client:
        url = f"{provider.openai_url}/models"
        assert (await client.get(url)).status_code == 200
        await provider.refuse()
        assert (await client.get(url)).status_code == 200
        await provider.drop()
        with pytest.raises(httpx.ConnectError):
            await client.get(url)
        await provider.listen()
        assert (await client.get(url)).status_code == 200
        assert provider.counts.connections == 2


async def test_idle_connections_are_closed_after_the_timeout():
    """A connection is idle when it carries nothing, however long the last answer took."""
    slow = Behaviour(head_delay=0.2)
    async with (
        FakeProvider(idle_timeout=0.05, behaviour=slow) as provider,
        httpx.AsyncClient() as client,
    ):
        while not provider.counts.completed:
            with contextlib.suppress(httpx.TransportError):  # it was idle before the request
                await client.get(f"{provider.openai_url}/models")
        await until(lambda: provider.counts.open_connections == 0)


async def test_client_that_leaves_is_counted():
    """A client that gives up is noticed while the provider still waits."""
    async with FakeProvider(behaviour=Behaviour(head_delay=60)) as provider:
        async with httpx.AsyncClient(timeout=httpx.Timeout(10, read=0.05)) as client:
            with pytest.raises(httpx.ReadTimeout):
                await client.get(f"{provider.openai_url}/models")
        await until(lambda: provider.counts.abandoned == 1)
        assert provider.counts.completed == 0


async def test_provider_speaks_tls():
    """TLS is enabled by an SSL context; resets work as well."""
    authority = trustme.CA()
    server, trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("127.0.0.1").configure_cert(server)
    authority.configure_trust(trusting)
    async with (
        FakeProvider(ssl_context=server) as provider,
        httpx.AsyncClient(verify=trusting) as client,
    ):
        assert provider.openai_url.startswith("https://")
        assert (await client.get(f"{provider.openai_url}/models")).status_code == 200
        provider.script(Behaviour(reset_before_head=True))
        with pytest.raises(httpx.TransportError):
            await client.get(f"{provider.openai_url}/models")


async def test_bytes_that_are_no_request_end_the_connection():
    """The provider continues to serve."""
    async with FakeProvider() as provider:
        reader, writer = await asyncio.open_connection("127.0.0.1", provider.port)
        writer.write(b"hello\r\n\r\n")
        assert await reader.read() == b""
        writer.close()
        assert provider.counts.requests == 0


def test_behaviour_can_depend_on_the_request():
    """After the script, a function of the request determines the answer."""
    teapots = FakeProviderThread(
        behaviour=lambda request: Behaviour(status=418 if request.model == "pot" else 200)
    )
    with teapots as provider, httpx.Client() as client:
        provider.script(Behaviour(status=500))

        def ask(model):
            url = f"{provider.openai_url}/chat/completions"
            return client.post(url, json={"model": model}).status_code

        assert [ask("pot"), ask("pot"), ask("pan")] == [500, 418, 200]


def test_h2_is_needed_for_http2_only(monkeypatch):
    """h2 may be missing."""
    monkeypatch.delitem(sys.modules, "gluellm_pools.fake_provider.http2", raising=False)
    monkeypatch.setitem(sys.modules, "h2.connection", None)
    with FakeProviderThread() as provider:
        assert httpx.get(f"{provider.openai_url}/models").status_code == 200
    with pytest.raises(ImportError):
        FakeProviderThread(http2=True)


def test_port_in_use_is_an_error():
    with (
        FakeProviderThread() as provider,
        pytest.raises(OSError, match="in use"),
        FakeProviderThread(port=provider.port),
    ):
        pass


async def test_http2_client_that_resets_a_stream():
    """RST_STREAM ends its request alone. An answered request is not abandoned."""
    async with FakeProvider(http2=True) as provider:
        provider.script(Behaviour(head_delay=math.inf))
        client = H2Connection()
        client.initiate_connection()
        reader, writer = await asyncio.open_connection(provider.host, provider.port)
        for number in (1, 3):
            names = {":method": "GET", ":authority": "x", ":scheme": "http", ":path": "/v1/models"}
            client.send_headers(number, list(names.items()), end_stream=True)
        writer.write(client.data_to_send())
        await until(lambda: provider.counts.completed == 1)
        client.reset_stream(1)
        writer.write(client.data_to_send())
        await until(lambda: provider.counts.abandoned == 1)
        assert provider.counts.open_connections == 1
        writer.close()
        await until(lambda: provider.counts.open_connections == 0)
        assert provider.counts.abandoned == 1
        del reader


async def test_http2_request_bodies_are_acknowledged():
    """The body exceeds the window of a connection."""
    async with (
        FakeProvider(http2=True) as provider,
        httpx.AsyncClient(http1=False, http2=True) as client,
    ):
        body = bytes(200_000)
        assert (await client.post(f"{provider.url}/v1/x", content=body)).status_code == 404


async def test_tokens_have_the_configured_rate():
    """A whole answer comes once its last token is due."""
    behaviour = Behaviour(tokens=3, token_rate=20)
    async with FakeProvider(behaviour=behaviour) as provider, httpx.AsyncClient() as client:
        for stream in (True, False):
            began = time.monotonic()
            await ask(provider, client, stream=stream)
            assert time.monotonic() - began >= 0.14


# Answers that are broken off


@pytest.mark.parametrize(
    ("behaviour", "error"),
    [
        (Behaviour(reset_before_head=True), httpx.ReadError),
        (Behaviour(reset_after=1), httpx.ReadError),
        (Behaviour(hang_up_after=1), httpx.RemoteProtocolError),
        (Behaviour(stall_after=0), httpx.ReadTimeout),
        (Behaviour(head_delay=math.inf), httpx.ReadTimeout),
    ],
)
async def test_each_way_to_break_an_answer_has_its_own_error(behaviour, error):
    """A reset, an orderly end and silence. Pings do not end the silence of a whole answer."""
    async with FakeProvider() as provider, httpx.AsyncClient() as client:
        provider.script(replace(behaviour, ping_every=0.05))
        client.timeout = httpx.Timeout(60, read=0.5 if error is httpx.ReadTimeout else 60)
        with pytest.raises(error):
            await ask(provider, client)
        client.timeout = 60
        assert (await ask(provider, client)).is_success
        assert provider.counts.connections == 2


async def test_stream_that_is_reset_or_stalls_has_delivered_its_tokens():
    """The pings of a stalled stream continue, so that no read timeout ends it."""
    texts = []
    async with FakeProvider() as provider, httpx.AsyncClient(timeout=60) as client:
        for behaviour in (Behaviour(reset_after=2), Behaviour(stall_after=2, ping_every=0.05)):
            provider.script(behaviour)
            asked = {"url": f"{provider.openai_url}/chat/completions", "json": {"stream": True}}
            text = ""
            with contextlib.suppress(httpx.ReadError):
                async with client.stream("POST", **asked) as response:
                    async for part in response.aiter_text():
                        text += part
                        if text.count(": ping") > 10:
                            break
            texts.append(text)
    assert [text.count(" w1") for text in texts] == [1, 1]
    assert [" w2" in text for text in texts] == [False, False]
    assert [text.count(": ping") > 10 for text in texts] == [False, True]


async def test_connections_are_dropped_or_closed_as_configured():
    """A TCP reset ends the second request of each connection, or each answer closes it."""
    async with FakeProvider() as provider, httpx.AsyncClient() as client:
        provider.behaviour = Behaviour(drop_reused=True)
        for _ in range(2):
            assert (await ask(provider, client)).is_success
            with pytest.raises(httpx.ReadError):
                await ask(provider, client)
        counts = provider.counts
        assert (counts.connections, counts.resets, counts.completed) == (2, 2, 2)
        provider.behaviour = Behaviour(close=True)
        for _ in range(3):
            assert (await ask(provider, client)).is_success
        await until(lambda: counts.open_connections == 0)
        assert counts.connections == 5


def test_rate_limit_refuses_what_exceeds_it_in_a_second():
    now = [100.0]
    limit = RateLimit(2, Behaviour(), lambda: now[0])
    found = []
    for wait in (0, 0, 0.9, 0.1, 0):
        now[0] += wait
        found.append(limit(None))
    assert [answer.status for answer in found] == [200, 200, 429, 200, 200]
    assert found[2].retry_after == 1


# Streams of HTTP/2


async def test_limit_of_streams_holds_requests_back():
    """No more requests arrive at once than the provider allows."""
    async with (
        FakeProvider(http2=True, max_streams=2) as provider,
        httpx.AsyncClient(http1=False, http2=True) as client,
    ):
        provider.behaviour = Behaviour(head_delay=math.inf)
        calls = [asyncio.create_task(ask(provider, client)) for _ in range(6)]
        await until(lambda: provider.counts.requests == 2)
        await asyncio.sleep(0.05)
        assert (provider.counts.requests, provider.counts.connections) == (2, 1)
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)


@pytest.mark.parametrize("option", ["reset_before_head", "reset_after", "hang_up_after"])
async def test_reset_ends_one_stream_only(option):
    """RST_STREAM ends one request; the connection and its other requests continue."""
    async with (
        FakeProvider(http2=True) as provider,
        httpx.AsyncClient(http1=False, http2=True) as client,
    ):
        provider.script(Behaviour(head_delay=math.inf), Behaviour(**{option: 1}))
        other = asyncio.create_task(ask(provider, client))
        await until(lambda: provider.counts.requests == 1)
        with pytest.raises(httpx.RemoteProtocolError, match="StreamReset"):
            await ask(provider, client)
        assert not other.done()
        assert (await ask(provider, client)).is_success
        assert (provider.counts.resets, provider.counts.connections) == (1, 1)
        other.cancel()
        await asyncio.gather(other, return_exceptions=True)
