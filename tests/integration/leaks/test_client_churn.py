"""Client churn: a client for each call."""

import gc
from typing import Any

import httpx
import openai
import pytest

from opentelemetry.instrumentation.gluellm import diagnose, snapshot

from .reports import call_site

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
@pytest.mark.anyio
async def test_churn_of_the_applications_clients_names_builder_and_caller(server, instrument, kind):
    """A function of the application builds a client for each request of another one."""
    instrument(scope="all")
    for _ in range(12):
        await ask(kind, build(kind, server.openai_url))
    gc.collect()
    built, used = call_site(__file__, "build", build), call_site(__file__, kind, ask)
    (finding,) = [one for one in diagnose(snapshot()) if one.kind == "client_churn"]
    assert f"built at {built}." in finding.observed
    assert f"12 of 12 from {used}" in str(finding.evidence[0])
