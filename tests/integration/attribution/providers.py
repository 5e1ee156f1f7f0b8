"""Real any-llm providers that use the fake one, and a probe of the calls that enter their pools."""

import functools
import importlib
from dataclasses import dataclass, field
from typing import Any

import any_llm
import httpx
import pytest
from any_llm.providers import registry

from gluellm_pools.fake_provider import FakeProvider
from opentelemetry.instrumentation.gluellm.attribution.context import current_call
from opentelemetry.instrumentation.gluellm.pool.call import Call
from support.providers import OPENAI_IS_ON_HTTPX2, arguments

# A provider for `rerank`: no provider of any-llm's openai extra has it.
RERANKER = registry.OpenAICompatibleProviderConfig(
    name="reranker",
    env_api_key_name="RERANKER_API_KEY",
    provider_documentation_url="https://example.org",
    supports_rerank=True,
)


class RerankerProvider(registry._build_provider_class(RERANKER)):  # type: ignore[misc]
    """Rerank through the OpenAI client's pool."""

    async def _arerank(self, model: str, query: str, documents: list[str], **kwargs: Any) -> Any:
        return await self.client.post("/rerank", body={"query": query}, cast_to=dict[str, Any])


def register_reranker(monkeypatch: pytest.MonkeyPatch) -> None:
    """Register the key ``reranker`` with any-llm."""
    monkeypatch.setitem(registry.PROVIDER_REGISTRY, "reranker", RERANKER)
    monkeypatch.setitem(registry._class_cache, "reranker", RerankerProvider)


def http_client(provider: str) -> Any:
    """Return a user's own client, of the library that the provider's SDK uses."""
    if provider == "anthropic" or not OPENAI_IS_ON_HTTPX2:
        return httpx.AsyncClient()
    import httpx2

    return httpx2.AsyncClient()


def create_lazy(provider: str, server: FakeProvider) -> Any:
    """Create an instance that builds its SDK client at the first call, as several providers do."""
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


@dataclass(frozen=True)
class Seen:
    """A request that entered a pool, with the call that was current then."""

    library: str
    host: str
    call: Call | None
    ended: bool

    @property
    def claim(self) -> tuple[str, str | None, str | None] | None:
        if self.call is None or self.ended:
            return None
        return self.call.provider, self.call.model, self.call.operation


@dataclass
class Probe:
    """Record requests that enter pools and calls that build pools, while the monkeypatch lasts."""

    requests: list[Seen] = field(default_factory=list)
    builders: list[Call | None] = field(default_factory=list)
    """For each pool, the call that built it, or None for a pool built outside of calls."""
    pools: list[Any] = field(default_factory=list)
    """All pools that were built, so that they can be closed on the loop that used them."""

    async def close(self) -> None:
        """Close the pools. Await this on the loop that made the requests."""
        while self.pools:
            pool = self.pools.pop()
            await pool.aclose() if hasattr(pool, "aclose") else pool.close()

    def attach(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("httpcore", "httpcore2"):
            try:
                module = importlib.import_module(name)
            except ImportError:
                continue
            for pool in (module.AsyncConnectionPool, module.ConnectionPool):
                self._attach(monkeypatch, module.__name__, pool)

    def _attach(self, monkeypatch: pytest.MonkeyPatch, library: str, pool: Any) -> None:
        build = pool.__init__
        asynchronous = hasattr(pool, "handle_async_request")
        name = "handle_async_request" if asynchronous else "handle_request"
        handle = getattr(pool, name)

        @functools.wraps(build)
        def __init__(this: Any, *args: Any, **kwargs: Any) -> None:
            call = current_call.get()
            self.builders.append(None if call is None or call.ended else call)
            self.pools.append(this)
            build(this, *args, **kwargs)

        @functools.wraps(handle)
        def handle_request(this: Any, request: Any) -> Any:
            self._enter(library, request)
            return handle(this, request)

        @functools.wraps(handle)
        async def handle_async_request(this: Any, request: Any) -> Any:
            self._enter(library, request)
            return await handle(this, request)

        monkeypatch.setattr(pool, "__init__", __init__)
        monkeypatch.setattr(pool, name, handle_async_request if asynchronous else handle_request)

    def _enter(self, library: str, request: Any) -> None:
        call = current_call.get()
        ended = call is not None and call.ended
        self.requests.append(Seen(library, request.url.host.decode(), call, ended))

    @property
    def claims(self) -> list[tuple[str, str | None, str | None] | None]:
        return [seen.claim for seen in self.requests]
