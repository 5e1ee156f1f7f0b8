"""Client churn: one client per call."""

import gc
from typing import Any

import any_llm
import httpx
import openai
import pytest

from opentelemetry.instrumentation.gluellm import diagnose, snapshot
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from support.providers import CHAT, arguments
from support.waiting import until

from .reports import call_site

CHURN = (
    r"Client churn on (?P<pool>\S+): (?P<pools>\d+) connection pools for one origin in the last "
    r"minute: 1\.0 per call, (?P<requests>[\d.]+) requests per pool, .*They are built at "
    r"(?P<call_site>.*?)\. Keep one instance, llm = AnyLLM\.create\(\"(?P<provider>\w+)\"\), .*"
)

pytestmark = pytest.mark.anyio


@pytest.mark.usefixtures("clock")
async def test_client_churn_is_logged_with_numbers_call_site_and_advice(server, telemetry, reports):
    """Each client is built by a call of any-llm."""
    chat = {**arguments("anthropic", server), **CHAT}

    async def build() -> None:
        for _ in range(12):
            await any_llm.acompletion("anthropic:m", **chat)  # place: churn
        # So few clients count as churn only if half of them are gone. Each is in a cycle, and the
        # time of the next automatic collection depends on earlier tests.
        gc.collect()

    await build()
    await until(lambda: reports.warnings(CHURN), "the warning")
    (warning,) = reports.warnings(CHURN)
    assert warning["pool"] == "anthropic/httpx"
    assert 10 <= int(warning["pools"]) <= 12
    assert float(warning["requests"]) == 1.0
    name = test_client_churn_is_logged_with_numbers_call_site_and_advice.__name__
    assert warning["call_site"] == call_site(__file__, "churn", f"{name}.<locals>.build")
    assert warning["provider"] == "anthropic"
    assert len(reports.warnings()) == 1
    assert telemetry.value(semconv.POOL_OPENED) == 12


CHATS = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
CLIENTS = {
    "openai": openai.OpenAI,
    "openai-async": openai.AsyncOpenAI,
    "httpx": httpx.Client,
    "httpx-async": httpx.AsyncClient,
}


def build(kind: str, url: str) -> Any:
    """Build a client, as the helper function of an application does."""
    key = {"headers": {"authorization": "Bearer any"}} if "httpx" in kind else {"api_key": "any"}
    return CLIENTS[kind](base_url=url, **key)  # place: build


async def ask(kind: str, client: Any) -> None:
    """Make one call."""
    match kind:
        case "openai":
            client.chat.completions.create(**CHATS)  # place: openai
        case "openai-async":
            await client.chat.completions.create(**CHATS)  # place: openai-async
        case "httpx":
            client.post("/chat/completions", json=CHATS)  # place: httpx
        case _:
            await client.post("/chat/completions", json=CHATS)  # place: httpx-async


@pytest.mark.parametrize("kind", CLIENTS)
async def test_churn_of_the_applications_clients_names_builder_and_caller(
    server, instrument, reports, kind
):
    """A function of the application builds a client for each request of another one."""
    instrument(scope="all")
    for _ in range(12):
        await ask(kind, build(kind, server.openai_url))
    gc.collect()
    await until(lambda: reports.warnings("Client churn"), "the warning")
    (warning,) = reports.warnings("Client churn")
    built, used = call_site(__file__, "build", build), call_site(__file__, kind, ask)
    assert f"They are built at {built}, and used at {used}. " in warning.string
    (finding,) = [one for one in diagnose(snapshot()) if one.kind == "client_churn"]
    assert f"built at {built}." in finding.observed
    assert f"12 of 12 from {used}" in finding.evidence
