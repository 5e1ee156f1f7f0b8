"""Makes real any-llm providers that talk to the fake one."""

from __future__ import annotations

from typing import Any

import any_llm
import httpx
import openai
import pytest
from any_llm.providers import registry
from any_llm.types.rerank import RerankResponse

from opentelemetry.instrumentation.gluellm.cli.fake_provider import FakeProvider

OPENAI_IS_ON_HTTPX2 = int(openai.__version__.split(".")[0]) >= 3

# Serves what no provider on httpx2 that is installed with any-llm's openai extra serves.
RERANKER = registry.OpenAICompatibleProviderConfig(
    name="reranker",
    env_api_key_name="RERANKER_API_KEY",
    provider_documentation_url="https://example.org",
    supports_rerank=True,
)


class RerankerProvider(registry._build_provider_class(RERANKER)):  # type: ignore[misc]
    """Reranks through the OpenAI client's pool."""

    async def _arerank(self, model: str, query: str, documents: list[str], **kwargs: Any) -> Any:
        body = {"model": model, "query": query, "documents": documents}
        answer = await self.client.post("/rerank", body=body, cast_to=dict[str, Any])
        return RerankResponse.model_validate(answer)


def register_reranker(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the key ``reranker`` known to any-llm."""
    monkeypatch.setitem(registry.PROVIDER_REGISTRY, "reranker", RERANKER)
    monkeypatch.setitem(registry._class_cache, "reranker", RerankerProvider)


def arguments(provider: str, server: FakeProvider) -> dict[str, Any]:
    """What a provider needs to reach the fake one."""
    base = server.anthropic_url if provider == "anthropic" else server.openai_url
    return {"api_key": "any", "api_base": base}


def create(provider: str, server: FakeProvider, **more: Any) -> Any:
    """A provider's instance."""
    return any_llm.AnyLLM.create(provider, **arguments(provider, server), **more)


def http_client(provider: str) -> Any:
    """A client of the user's own, of the library that the provider's SDK is on."""
    if provider == "anthropic" or not OPENAI_IS_ON_HTTPX2:
        return httpx.AsyncClient()
    import httpx2

    return httpx2.AsyncClient()


def create_lazy(provider: str, server: FakeProvider) -> Any:
    """An instance whose SDK client is built at the first call, as several providers do."""
    eager = any_llm.AnyLLM.get_provider_class(provider)

    class Lazy(eager):  # type: ignore[misc, valid-type]
        def _init_client(self, **kwargs: Any) -> None:
            self._client_arguments = kwargs
            self._client: Any = None

        @property
        def client(self) -> Any:
            if self._client is None:
                super()._init_client(**self._client_arguments)
            return self._client

        @client.setter
        def client(self, value: Any) -> None:
            self._client = value

    return Lazy(**arguments(provider, server))


__all__ = [
    "OPENAI_IS_ON_HTTPX2",
    "arguments",
    "create",
    "create_lazy",
    "http_client",
    "register_reranker",
]
