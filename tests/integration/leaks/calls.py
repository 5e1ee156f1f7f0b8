"""Real any-llm providers with a fake server, and the requests in flight in their pools."""

import importlib
from types import ModuleType
from typing import Any

import any_llm
import openai

from gluellm_pools.fake_provider import FakeProvider
from opentelemetry.instrumentation.gluellm import snapshot

CHAT: dict[str, Any] = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 100}
STREAM: dict[str, Any] = {**CHAT, "stream": True}
OPENAI_LIBRARY = "httpx2" if int(openai.__version__.split(".")[0]) >= 3 else "httpx"
LIBRARY = {"openai": OPENAI_LIBRARY, "anthropic": "httpx"}
"""What the providers' SDKs run on."""


def library(provider: str) -> ModuleType:
    """The client library that a provider's SDK is on."""
    return importlib.import_module(LIBRARY[provider])


def arguments(provider: str, server: FakeProvider) -> dict[str, Any]:
    """What a provider needs to reach the fake one."""
    base = server.anthropic_url if provider == "anthropic" else server.openai_url
    return {"api_key": "any", "api_base": base}


def create(provider: str, server: FakeProvider, connections: int = 0, **more: Any) -> Any:
    """A provider's instance, with a pool of its own, of so many connections if given."""
    if connections:
        module: Any = library(provider)
        limits = module.Limits(max_connections=connections)
        more = {"http_client": module.AsyncClient(limits=limits, trust_env=False), **more}
    return any_llm.AnyLLM.create(provider, **arguments(provider, server), **more)


def phases(model: str) -> list[str]:
    """The phases of the requests for a model that are under way."""
    requests = (request for pool in snapshot().pools for request in pool.requests)
    return [request.phase for request in requests if request.model == model]
