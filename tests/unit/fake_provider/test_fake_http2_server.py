"""The fake provider as an HTTP/2 server: its options, its limits, its manners on the wire."""

import asyncio
import math
import sys
from collections.abc import AsyncIterator

import h2.config
import h2.connection
import h2.events
import h2.settings
import httpx
import pytest

from opentelemetry.instrumentation.gluellm.cli import fake_provider
from opentelemetry.instrumentation.gluellm.cli.fake_provider import (
    Behaviour,
    FakeProvider,
    FakeProviderThread,
)
from support.waiting import PATIENCE, until

pytestmark = pytest.mark.anyio
BIG = bytes(range(256)) * 1024


class RawClient:
    """A client that says and withholds what it likes, unlike httpx."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.state = h2.connection.H2Connection(h2.config.H2Configuration())
        self.state.initiate_connection()
        self.body = bytearray()
        self.ended = False

    def send(self) -> None:
        self._writer.write(self.state.data_to_send())

    def get(self, path: str) -> None:
        names = {":method": "GET", ":authority": "x", ":scheme": "http", ":path": path}
        self.state.send_headers(1, list(names.items()), end_stream=True)
        self.send()

    async def read(self, length: int) -> None:
        """Read until that much of the body is there; grants no window."""
        async with asyncio.timeout(PATIENCE):
            while len(self.body) < length:
                data = await self._reader.read(65536)
                assert data, "the provider closed the connection"
                for event in self.state.receive_data(data):
                    if isinstance(event, h2.events.DataReceived):
                        self.body += event.data
                    self.ended |= isinstance(event, h2.events.StreamEnded)
                self.send()


@pytest.fixture
async def provider() -> AsyncIterator[FakeProvider]:
    async with FakeProvider(http2=True) as provider:
        provider.replies["GET", "/big"] = BIG
        yield provider


@pytest.fixture
async def raw(provider: FakeProvider) -> AsyncIterator[RawClient]:
    reader, writer = await asyncio.open_connection(provider.host, provider.port)
    yield RawClient(reader, writer)
    writer.close()


async def test_client_that_resets_a_stream_is_counted(provider, raw):
    """RST_STREAM ends the request, and the connection stays."""
    provider.script(Behaviour(head_delay=math.inf))
    raw.get("/v1/models")
    await until(lambda: provider.counts.open_streams == 1)
    raw.state.reset_stream(1)
    raw.send()
    await until(lambda: provider.counts.abandoned == 1)
    assert provider.counts.open_streams == 0
    assert provider.counts.open_connections == 1


async def test_no_more_is_sent_than_the_window_allows(provider, raw):
    """The provider waits for the stream's window, and goes on when it opens."""
    raw.state.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 1000})
    raw.get("/big")
    await raw.read(1000)
    assert bytes(raw.body) == BIG[:1000]
    raw.state.increment_flow_control_window(len(BIG))
    raw.state.increment_flow_control_window(len(BIG), stream_id=1)
    raw.send()
    await raw.read(len(BIG))
    assert bytes(raw.body) == BIG
    await until(lambda: provider.counts.completed == 1)
    assert raw.ended


async def test_bodies_larger_than_a_frame_pass_both_ways(provider):
    """Request bodies are acknowledged, answers are cut into frames."""
    async with httpx.AsyncClient(http1=False, http2=True) as client:
        for _ in range(3):
            assert (await client.get(f"{provider.url}/big")).content == BIG
            assert (await client.post(f"{provider.url}/v1/x", content=BIG)).status_code == 404
    assert provider.counts.connections == 1


async def test_http1_is_not_understood(provider):
    """A client that does not know beforehand gets no answer, and the provider goes on."""
    async with httpx.AsyncClient() as client:
        with pytest.raises(httpx.RemoteProtocolError):
            await client.get(f"{provider.openai_url}/models")
    await until(lambda: provider.counts.open_connections == 0)
    assert provider.counts.requests == 0


def test_thread_takes_the_same_arguments():
    """A synchronous client is told the limit of the provider in the thread."""
    with (
        FakeProviderThread(http2=True, max_streams=7) as provider,
        httpx.Client(http1=False, http2=True) as client,
    ):
        assert client.get(f"{provider.openai_url}/models").http_version == "HTTP/2"
        assert provider.max_streams == 7


def test_limit_of_no_streams_is_refused():
    """It would be a provider that nobody can ask."""
    with pytest.raises(ValueError, match="max_streams must be 1 or more, found 0"):
        FakeProvider(http2=True, max_streams=0)


def test_missing_library_is_said_plainly(monkeypatch):
    """Without h2 there is HTTP/1.1, and what to install for more."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "h2"]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(sys.modules, f"{fake_provider.__name__}.http2", raising=False)
    FakeProvider()
    with pytest.raises(ImportError, match="needs the library h2 for HTTP/2"):
        FakeProvider(http2=True)
