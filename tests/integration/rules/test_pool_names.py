"""The names of pools with ``scope="all"``: who built a pool, or who sent its first request."""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

import pytest

from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor
from opentelemetry.instrumentation.gluellm.adapters import callers
from opentelemetry.instrumentation.gluellm.attribution.context import current_call
from opentelemetry.instrumentation.gluellm.pool.lease import Call
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from support.telemetry import Telemetry


def names(telemetry: Telemetry) -> dict[str, int]:
    return telemetry.by(semconv.POOL_OPENED, "name")


def _openai(url: str) -> Callable[[], Any]:
    openai = pytest.importorskip("openai")
    client = openai.OpenAI(api_key="-", base_url=url, max_retries=0)
    return lambda: client.get("/nothing", cast_to=object)


def _anthropic(url: str) -> Callable[[], Any]:
    anthropic = pytest.importorskip("anthropic")
    client = anthropic.Anthropic(api_key="-", base_url=url, max_retries=0)
    return lambda: client.get("/nothing", cast_to=object)


def _groq(url: str) -> Callable[[], Any]:
    groq = pytest.importorskip("groq")
    client = groq.Groq(api_key="-", base_url=url, max_retries=0)
    return lambda: client.get("/nothing", cast_to=object)


def _boto3(url: str) -> Callable[[], Any]:
    boto3 = pytest.importorskip("boto3")
    config = pytest.importorskip("botocore.config").Config(retries={"max_attempts": 0})
    client = boto3.Session().client(
        "s3",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="-",
        aws_secret_access_key="-",
        config=config,
    )
    return lambda: client.list_buckets()


def _google_genai(url: str) -> Callable[[], Any]:
    genai = pytest.importorskip("google.genai")
    client = genai.Client(api_key="-", http_options={"base_url": url})
    return lambda: asyncio.run(client.aio.models.generate_content(model="m", contents="hi"))


SDKS = {
    "openai": _openai,
    "anthropic": _anthropic,
    "groq": _groq,
    "boto3": _boto3,
    "google-genai": _google_genai,
}


@pytest.mark.parametrize("name", SDKS)
def test_pool_has_the_name_of_the_sdk_that_built_it(name, server, instrument):
    """Not the library's, which an application's LLM, MCP and vector store clients share."""
    telemetry = instrument()
    send = SDKS[name](server.url("").rstrip("/"))
    with contextlib.suppress(Exception):  # the server's answer is none that the SDK understands
        send()
    assert set(names(telemetry)) == {name}


def test_pool_of_the_application_has_the_name_of_its_first_caller(server, instrument):
    """The application built the client, and the SDK that it gave it to sends."""
    openai = pytest.importorskip("openai")
    httpx2 = pytest.importorskip("httpx2")
    telemetry = instrument()
    with httpx2.Client() as client:
        sdk = openai.OpenAI(api_key="-", base_url=server.url(""), http_client=client)
        sdk.get("/nothing", cast_to=object)
        client.get(server.url())
        assert names(telemetry) == {"openai": 1}


def test_pool_of_the_application_itself_has_the_librarys_name(server, library, instrument):
    telemetry = instrument()
    with library.client.Client() as client:
        client.get(server.url())
    assert names(telemetry) == {library.name: 1}


def test_any_llms_name_goes_before_the_sdks(server, instrument):
    """A pool that an SDK built and an any-llm call uses first."""
    telemetry = instrument()
    send = _openai(server.url("").rstrip("/"))
    token = current_call.set(Call("groq"))
    send()
    current_call.reset(token)
    assert telemetry.by(semconv.POOL_OPENED, "name", "provider") == {("groq", "groq"): 1}


def test_users_name_goes_before_all(server, providers):
    """And without a name, a client that was handed in has the one of ``scope="all"``."""
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


def test_application_ends_the_search(server, instrument):
    """A server's module that calls the application did not build the application's client."""
    telemetry = instrument()
    httpx = pytest.importorskip("httpx")

    def tool() -> None:
        httpx.get(server.url())

    frame: dict[str, Any] = {"__name__": "mcp.server", "tool": tool}
    exec(compile("def serve():\n    tool()\n", "/site-packages/mcp/server.py", "exec"), frame)
    frame["serve"]()
    assert names(telemetry) == {"httpx": 1}


def test_stack_is_looked_at_once_for_each_pool(server, instrument, monkeypatch):
    """When the pool is built; at its first request if that found no SDK; never for later ones."""
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
