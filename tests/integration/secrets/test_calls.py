"""Reports on any-llm calls have only provider, operation, model and call site."""

import asyncio
import contextlib
import json
import sys
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("any_llm")
pytest.importorskip("openai")
pytest.importorskip("anthropic")

from any_llm import AnyLLM

from support.fake_llms import ANSWERS
from support.http1 import HTTP1Server
from support.script import Failure, Reply

from .outcomes import age_requests, secrets_in_context
from .places import Canaries, Places

JSON = (("content-type", "application/json"),)
EVENTS = (("content-type", "text/event-stream"),)
MODEL = "a model's name"
PROVIDERS = {
    "openai": ("/v1/chat/completions", "/chat/completions", "/v1"),
    "anthropic": ("/v1/messages", "/messages", ""),
}
"""By provider: path of its requests, name of the fake's answer, and path of its base URL."""


def answered(canaries: Canaries, ending: str) -> bytes:
    """Return the fake's answer with a secret as its text."""
    text = canaries.plant("what a model says")
    return json.dumps(ANSWERS[ending]).replace('"hi"', f'"{text}"').encode()


def streamed(canaries: Canaries, provider: str) -> tuple[bytes, bytes]:
    """Return the first events of a stream, cut in the middle of the secret."""
    secret = canaries.plant("what a model says in a stream")
    if provider == "openai":
        delta = {"role": "assistant", "content": secret}
        event: Any = {
            "id": "c",
            "object": "chat.completion.chunk",
            "created": 1,
            "model": "m",
            "choices": [{"index": 0, "delta": delta, "finish_reason": None}],
        }
        text = f"data: {json.dumps(event)}\n\n"
    else:
        start = {**ANSWERS["/messages"], "content": [], "stop_reason": None}
        delta = {"type": "text_delta", "text": secret}
        events = [
            {"type": "message_start", "message": start},
            {
                "type": "content_block_start",
                "index": 0,
                "content_block": {"type": "text", "text": ""},
            },
            {"type": "content_block_delta", "index": 0, "delta": delta},
        ]
        text = "".join(f"event: {e['type']}\ndata: {json.dumps(e)}\n\n" for e in events)
    cut = text.index(secret) + 5
    return text[:cut].encode(), text[cut:].encode()


def arguments(canaries: Canaries) -> dict[str, Any]:
    """Return the arguments of a call, with secrets in prompt, tool and model."""
    prompt = f"{canaries.plant('a prompt')} {canaries.plant('a file of a prompt')}"
    tool = {
        "name": canaries.plant("the name of a tool"),
        "description": canaries.plant("the description of a tool"),
        "parameters": {"type": "object", "properties": {}},
    }
    return {
        "model": canaries.plant(MODEL),
        "messages": [{"role": "user", "content": prompt}],
        "tools": [{"type": "function", "function": tool}],
        "max_tokens": 5,
    }


@pytest.fixture(autouse=True)
def correlation(canaries: Canaries, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fake GlueLLM's context, since GlueLLM would change any-llm permanently."""
    here = SimpleNamespace(get_correlation_id=lambda: canaries.plant("GlueLLM's correlation id"))
    monkeypatch.setitem(sys.modules, "gluellm.runtime.context", here)


async def outcomes(provider: str, server: HTTP1Server, canaries: Canaries, places: Places) -> None:
    """Make calls with an answer, an error message, a reset, a timeout, and an unread stream."""
    path, ending, base = PROVIDERS[provider]
    key = canaries.plant("an API key")
    llm = AnyLLM.create(provider, api_key=key, api_base=server.url(base))
    error = {"error": {"message": canaries.plant("a provider's error message"), "type": "x"}}
    gate = server.gate()
    for reply in (
        Reply(headers=JSON, chunks=((0.0, answered(canaries, ending)),)),
        Reply(status=401, headers=JSON, chunks=((0.0, json.dumps(error).encode()),)),
        Reply(failure=Failure.EOF_BEFORE_HEAD),
        Reply(head_after=gate),
    ):
        server.reply(path, reply)
        with contextlib.suppress(Exception):
            await asyncio.wait_for(llm.acompletion(**arguments(canaries)), 1.0)
    gate.open()
    closed = server.gate()
    first, second = streamed(canaries, provider)
    chunks = ((0.0, first), (0.01, second), (closed, b""))
    server.reply(path, Reply(headers=EVENTS, chunks=chunks))
    stream = await llm.acompletion(**arguments(canaries), stream=True)
    async for _ in stream:
        break
    age_requests(100)
    places.look()
    closed.open()
    await stream.aclose()
    places.look()


@pytest.mark.parametrize("provider", PROVIDERS)
def test_any_llm_call_leaves_no_trace_in_telemetry(provider, server, places):
    """Secrets are in prompts, tools, responses, keys and errors. Metrics have no model either."""
    with secrets_in_context(places.canaries):
        asyncio.run(outcomes(provider, server, places.canaries, places))
    places.assert_no_canary()
    assert f'"gluellm.pool.name": "{provider}"' in places.texts["metrics"]
    assert places.canaries.planted[MODEL] in places.texts["spans"]
    assert "leak suspected" in places.texts["log"]
    assert places.canaries.planted["GlueLLM's correlation id"] in places.texts["log"]
