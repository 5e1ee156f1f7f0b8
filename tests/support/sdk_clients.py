"""Clients of openai's and anthropic's SDKs that speak to the fake provider."""

from typing import Any

import anthropic
import openai

from gluellm_pools.fake_provider import FakeProvider

SDKS = ("openai", "anthropic")
_CLASSES: dict[tuple[str, bool], Any] = {
    ("openai", False): openai.OpenAI,
    ("openai", True): openai.AsyncOpenAI,
    ("anthropic", False): anthropic.Anthropic,
    ("anthropic", True): anthropic.AsyncAnthropic,
}
MESSAGES = [{"role": "user", "content": "hi"}]


def client_of(sdk: str, server: FakeProvider, *, is_async: bool = False, **more: Any) -> Any:
    """A client of an SDK."""
    base = server.anthropic_url if sdk == "anthropic" else server.openai_url
    return _CLASSES[sdk, is_async](api_key="any", base_url=base, **more)


def completions_of(client: Any) -> Any:
    """The part of a client that has ``create()`` and ``stream()``."""
    return client.messages if hasattr(client, "messages") else client.chat.completions


def chat(client: Any, **more: Any) -> Any:
    """Make a call; the coroutine of an async client."""
    create = completions_of(client).create
    return create(**{"model": "m", "messages": MESSAGES, "max_tokens": 100, **more})
