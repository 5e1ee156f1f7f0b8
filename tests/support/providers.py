"""Real any-llm providers that talk to the fake one."""

from typing import Any

import any_llm
import openai

from gluellm_pools.fake_provider import FakeProvider

CHAT: dict[str, Any] = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 100}
STREAM: dict[str, Any] = {**CHAT, "stream": True}
OPENAI_IS_ON_HTTPX2 = int(openai.__version__.split(".")[0]) >= 3


def arguments(provider: str, server: FakeProvider) -> dict[str, Any]:
    """What a provider needs to reach the fake one."""
    base = server.anthropic_url if provider == "anthropic" else server.openai_url
    return {"api_key": "any", "api_base": base}


def create(provider: str, server: FakeProvider, **more: Any) -> Any:
    """A provider's instance."""
    return any_llm.AnyLLM.create(provider, **arguments(provider, server), **more)
