"""Real any-llm providers with a fake server, and the requests in flight in their pools."""

import importlib
from types import ModuleType
from typing import Any

from gluellm_pools.fake_provider import FakeProvider
from opentelemetry.instrumentation.gluellm import snapshot
from support import providers
from support.providers import OPENAI_IS_ON_HTTPX2

LIBRARY = {"openai": "httpx2" if OPENAI_IS_ON_HTTPX2 else "httpx", "anthropic": "httpx"}
"""HTTP library of each provider's SDK."""


def library(provider: str) -> ModuleType:
    """Import the HTTP library of a provider's SDK."""
    return importlib.import_module(LIBRARY[provider])


def create(provider: str, server: FakeProvider, connections: int = 0, **more: Any) -> Any:
    """Create a provider's instance with its own pool, limited to ``connections`` if given."""
    if connections:
        module: Any = library(provider)
        limits = module.Limits(max_connections=connections)
        more = {"http_client": module.AsyncClient(limits=limits, trust_env=False), **more}
    return providers.create(provider, server, **more)


def phases(model: str) -> list[str]:
    """Return the phases of a model's requests in flight."""
    requests = (request for pool in snapshot().pools for request in pool.requests)
    return [request.phase for request in requests if request.model == model]
