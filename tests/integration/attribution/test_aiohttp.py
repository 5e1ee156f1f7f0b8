"""Providers whose SDKs use aiohttp: each pool counts once, and clients are instrumented alone."""

from typing import Any

import aiohttp
import httpx
import httpx_aiohttp
import pytest
from any_llm import AnyLLM

from gluellm_pools.fake_provider import FakeProviderThread
from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from support.telemetry import Telemetry

pytestmark = pytest.mark.anyio
QUESTION: Any = [{"role": "user", "content": "hi"}]


@pytest.fixture
def telemetry(instrument):
    """The instrumentation with its default scope, any-llm's pools only."""
    return instrument(scope="llm")


async def test_httpx_over_aiohttp_is_one_pool(telemetry):
    """aiohttp's connector is the pool. The httpx client above it has none."""
    openai = pytest.importorskip("openai")
    with FakeProviderThread() as provider:
        llm = AnyLLM.create(
            "openai",
            api_key="none",
            api_base=provider.openai_url,
            http_client=openai.DefaultAioHttpClient(),
        )
        for _ in range(2):
            await llm.acompletion(model="model", messages=QUESTION)
    assert telemetry.by(semconv.REQUESTS, "library", "name", "status") == {
        ("aiohttp", "openai", 200): 2
    }
    assert telemetry.value(semconv.POOL_OPENED) == 1


# Clients that are handed in


def counted(telemetry: Telemetry) -> dict[Any, int]:
    """Return the requests by library and pool name."""
    return telemetry.by(semconv.REQUESTS, "library", "name")


class OwnConnector(aiohttp.TCPConnector):
    """A pool of the same library."""


@pytest.mark.parametrize(
    "handed_in",
    [
        lambda session, client: session,
        lambda session, client: session.connector,
        lambda session, client: client,
    ],
    ids=["session", "its connector", "httpx's client over it"],
)
async def test_aiohttp_clients_can_be_instrumented_alone(handed_in, telemetry, server):
    """The session's pool is observed until uninstrument_client()."""
    async with aiohttp.ClientSession(connector=OwnConnector()) as session:
        transport = httpx_aiohttp.AiohttpTransport(client=session)
        async with httpx.AsyncClient(transport=transport) as client:
            handed = handed_in(session, client)
            GlueLLMInstrumentor().instrument_client(handed, pool_name="mine")
            await client.get(server.url())
            GlueLLMInstrumentor().uninstrument_client(handed)
            await client.get(server.url())
    assert counted(telemetry) == {("aiohttp", "mine"): 1}


async def test_httpx_client_over_aiohttp_has_no_pool_before_its_first_request(telemetry, server):
    """The error message explains what to do."""
    async with httpx_aiohttp.HttpxAiohttpClient(trust_env=False) as client:
        with pytest.raises(TypeError, match="Make one request"):
            GlueLLMInstrumentor().instrument_client(client)
        await client.get(server.url())
        GlueLLMInstrumentor().instrument_client(client)
        await client.get(server.url())
    assert counted(telemetry) == {("aiohttp", "aiohttp"): 1}


async def test_instrumenting_a_closed_session_raises(telemetry):
    session = aiohttp.ClientSession()
    await session.close()
    with pytest.raises(TypeError, match="is closed"):
        GlueLLMInstrumentor().instrument_client(session)


@pytest.mark.all_sdks
async def test_sdk_clients_on_aiohttp_can_be_instrumented_alone(telemetry, server):
    """The clients are those of google-genai (before and after its first request), azure, cohere."""
    genai = pytest.importorskip("google.genai")
    azure = pytest.importorskip("azure.ai.inference.aio")
    credentials = pytest.importorskip("azure.core.credentials")
    cohere = pytest.importorskip("cohere")
    instrument_client = GlueLLMInstrumentor().instrument_client

    client = genai.Client(api_key="none", http_options={"base_url": server.origin})
    with pytest.raises(TypeError, match="Make one request"):
        instrument_client(client)
    for name in ("unnamed", "google"):
        with pytest.raises(ValueError):  # the response is not JSON
            await client.aio.models.generate_content(model="model", contents=name)
        instrument_client(client, pool_name="google")
    key = credentials.AzureKeyCredential("none")
    async with azure.ChatCompletionsClient("http://127.0.0.1:9", key) as chat:
        instrument_client(chat, pool_name="azure")
    with pytest.raises(TypeError, match="Make one request"):
        instrument_client(cohere.AsyncClientV2("none"))
    assert counted(telemetry) == {("aiohttp", "google"): 1}
