"""Names of pools with ``scope="all"``: the SDK that built the pool or sent its first request."""

from collections.abc import Callable
from typing import Any

import pytest

from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor
from opentelemetry.instrumentation.gluellm.adapters import callers
from opentelemetry.instrumentation.gluellm.attribution.context import current_call
from opentelemetry.instrumentation.gluellm.pool.call import Call
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from support.telemetry import Telemetry


def names(telemetry: Telemetry) -> dict[str, int]:
    return telemetry.by(semconv.POOL_OPENED, "name")


def _openai(url: str, sdk: str = "openai.OpenAI") -> Callable[[], Any]:
    module, _, name = sdk.partition(".")
    client = getattr(pytest.importorskip(module), name)(api_key="-", base_url=url, max_retries=0)
    return lambda: client.get("/nothing", cast_to=object)


@pytest.mark.parametrize("sdk", ["openai.OpenAI", "anthropic.Anthropic"])
def test_pool_has_the_name_of_the_sdk_that_built_it(sdk, server, instrument):
    """The library's name would be the same for LLM, MCP and vector store clients."""
    telemetry = instrument()
    _openai(server.url("").rstrip("/"), sdk)()
    assert set(names(telemetry)) == {sdk.partition(".")[0]}


SDK = """
import aiohttp, asyncio, httpx, urllib3
async def get(url):
    async with aiohttp.ClientSession() as session:
        await session.get(url)
def send(url):
    {send}
"""


@pytest.mark.parametrize(
    ("module", "send", "name"),
    [
        ("groq._client", "httpx.get(url)", "groq"),
        ("botocore.httpsession", "urllib3.request('GET', url)", "boto3"),
        ("google.genai._api_client", "asyncio.run(get(url))", "google-genai"),
    ],
)
def test_name_of_an_sdk_follows_from_its_module(module, send, name, server, instrument):
    """The test covers each library, and a package within a namespace."""
    telemetry = instrument()
    frame: dict[str, Any] = {"__name__": module}
    exec(compile(SDK.format(send=send), "/site-packages/sdk.py", "exec"), frame)
    frame["send"](server.url())
    assert names(telemetry) == {name: 1}


def test_pool_of_the_application_has_the_name_of_its_first_caller(server, instrument):
    """The application builds the client, and an SDK sends with it."""
    openai = pytest.importorskip("openai")
    httpx2 = pytest.importorskip("httpx2")
    telemetry = instrument()
    with httpx2.Client() as client:
        sdk = openai.OpenAI(api_key="-", base_url=server.url(""), http_client=client)
        sdk.get("/nothing", cast_to=object)
        client.get(server.url())
        assert names(telemetry) == {"openai": 1}


def test_any_llms_name_wins_over_the_sdks(server, instrument):
    """An SDK builds the pool, and an any-llm call uses it first."""
    telemetry = instrument()
    send = _openai(server.url("").rstrip("/"))
    token = current_call.set(Call("groq"))
    send()
    current_call.reset(token)
    assert telemetry.by(semconv.POOL_OPENED, "name", "provider") == {("groq", "groq"): 1}


def test_given_name_wins_over_all_others(server, providers):
    """A client that is instrumented without a name has the name of ``scope="all"``."""
    openai = pytest.importorskip("openai")
    named, unnamed = (
        openai.OpenAI(api_key="-", base_url=server.url(""), max_retries=0) for _ in range(2)
    )
    for client, name in ((named, "mine"), (unnamed, None)):
        GlueLLMInstrumentor.instrument_client(client, name, meter_provider=providers.meter_provider)
        client.get("/nothing", cast_to=object)
    assert names(providers) == {"mine": 1, "openai": 1}
    for client in (named, unnamed):
        GlueLLMInstrumentor.uninstrument_client(client)


def test_application_frame_ends_the_search_for_an_sdk(server, instrument):
    """A server package that calls the application did not build the application's client."""
    telemetry = instrument()
    httpx = pytest.importorskip("httpx")

    def tool() -> None:
        httpx.get(server.url())

    frame: dict[str, Any] = {"__name__": "mcp.server", "tool": tool}
    exec(compile("def serve():\n    tool()\n", "/site-packages/mcp/server.py", "exec"), frame)
    frame["serve"]()
    assert names(telemetry) == {"httpx": 1}


def test_stack_is_inspected_once_per_pool(server, instrument, monkeypatch):
    """It is inspected when the pool is built, or at its first request if that found no SDK."""
    looked = []
    frames = callers._frames
    monkeypatch.setattr(callers, "_frames", lambda: looked.append(1) or frames())
    instrument()
    send = _openai(server.url("").rstrip("/"))
    built = len(looked)
    assert built > 0
    for _ in range(5):
        send()
    assert len(looked) == built
    httpx = pytest.importorskip("httpx")
    with httpx.Client(trust_env=False) as client:
        built = len(looked)
        for _ in range(5):
            client.get(server.url())
    assert len(looked) == built + 1
