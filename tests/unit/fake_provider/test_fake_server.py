"""The fake provider as a server: listening, refusing, dropping, TLS, its own thread, HTTP/2."""

import asyncio
import math
import ssl
import sys

import httpx
import pytest
import trustme
from h2.connection import H2Connection

from gluellm_pools.fake_provider import Behaviour, FakeProvider, FakeProviderThread
from support.waiting import until

pytestmark = pytest.mark.anyio


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


@pytest.mark.parametrize("http2", [False], indirect=True)
async def test_idle_connections_are_closed_after_the_timeout(provider):
    """A connection is idle when it carries nothing, however long the last answer took."""
    provider.idle_timeout = 0.05
    provider.script(Behaviour(head_delay=0.2))
    async with httpx.AsyncClient() as client:
        assert (await client.get(f"{provider.openai_url}/models")).status_code == 200
        assert provider.counts.completed == 1
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
    """The provider is not disturbed."""
    async with FakeProvider() as provider:
        reader, writer = await asyncio.open_connection("127.0.0.1", provider.port)
        writer.write(b"hello\r\n\r\n")
        assert await reader.read() == b""
        writer.close()
        assert provider.counts.requests == 0


def test_reply_can_depend_on_the_request():
    """Its function gets the fields of the request."""
    replies = {("POST", "/v1/echo"): lambda fields: {"echo": fields["word"]}}
    with FakeProviderThread(replies=replies) as provider, httpx.Client() as client:
        answer = client.post(f"{provider.openai_url}/echo", json={"word": "hi"})
    assert answer.json() == {"echo": "hi"}


def test_behaviour_can_depend_on_the_request():
    """A function of the request says how it is answered, once the script is done."""
    teapots = FakeProviderThread(
        behaviour=lambda request: Behaviour(status=418 if request.model == "pot" else 200)
    )
    with teapots as provider, httpx.Client() as client:
        provider.script(Behaviour(status=500))

        def ask(model):
            url = f"{provider.openai_url}/chat/completions"
            return client.post(url, json={"model": model}).status_code

        assert [ask("pot"), ask("pot"), ask("pan")] == [500, 418, 200]


def test_what_is_not_spoken_need_not_be_installed(monkeypatch):
    """h2 is for HTTP/2 alone."""
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
    """Beyond the window of a connection."""
    async with (
        FakeProvider(http2=True) as provider,
        httpx.AsyncClient(http1=False, http2=True) as client,
    ):
        body = bytes(200_000)
        assert (await client.post(f"{provider.url}/v1/x", content=body)).status_code == 404
