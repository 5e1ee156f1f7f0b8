"""What the user set for a client wins, in the way of each SDK; an SDK's own default doesn't."""

import asyncio
import sys
from collections.abc import Callable
from typing import Any

import aiohttp
import httpx
import httpx2
import pytest

from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor, snapshot
from opentelemetry.instrumentation.gluellm.limits import configure_pools

from .calls import built, call, call_at_once, create, limits_from, maximum, pool_timeout

pytest.importorskip("any_llm")

THEIRS = 7
OURS = 3


def _azure_transport() -> dict[str, Any]:
    from azure.core.pipeline.transport import AioHttpTransport

    connector = aiohttp.TCPConnector(limit=THEIRS)
    return {"transport": AioHttpTransport(session=aiohttp.ClientSession(connector=connector))}


def _botocore(**options: Any) -> dict[str, Any]:
    from botocore.config import Config

    return {"config": Config(**options)}


def _aiohttp_client() -> dict[str, Any]:
    session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=THEIRS))
    return {"http_options": {"aiohttp_client": session}}


def _lazy_aiohttp() -> dict[str, Any]:
    """A client whose connector is built at its first request, inside our call."""
    from httpx_aiohttp import HttpxAiohttpClient

    return {"httpx_client": HttpxAiohttpClient(limits=httpx.Limits(max_connections=THEIRS))}


def _client(module: Any) -> Any:
    return module.AsyncClient(limits=module.Limits(max_connections=THEIRS))


CLIENTS: list[tuple[str, Callable[[], dict[str, Any]]]] = [
    ("openai", lambda: {"http_client": _client(httpx2)}),
    ("openai", lambda: {"http_client": _client(httpx)}),
    ("anthropic", lambda: {"http_client": _client(httpx)}),
    ("groq", lambda: {"http_client": _client(httpx)}),
    ("mistral", lambda: {"async_client": _client(httpx2)}),
    ("ollama", lambda: {"limits": httpx.Limits(max_connections=THEIRS)}),
    (
        "ollama",
        lambda: {
            "transport": httpx.AsyncHTTPTransport(limits=httpx.Limits(max_connections=THEIRS))
        },
    ),
    ("liner", lambda: {"limits": httpx.Limits(max_connections=THEIRS)}),
    ("cohere", lambda: {"httpx_client": _client(httpx)}),
    ("cohere", _lazy_aiohttp),
    ("gemini", _aiohttp_client),
    (
        "gemini",
        lambda: {"http_options": {"httpx_async_client": _client(httpx2)}},
    ),
    (
        "gemini",
        lambda: {
            "http_options": {
                "async_client_args": {
                    "transport": httpx2.AsyncHTTPTransport(
                        limits=httpx2.Limits(max_connections=THEIRS)
                    )
                }
            }
        },
    ),
    ("azure", _azure_transport),
    ("bedrock", lambda: _botocore(max_pool_connections=THEIRS)),
    ("sagemaker", lambda: _botocore(max_pool_connections=THEIRS)),
]


@pytest.mark.parametrize(("provider", "given"), CLIENTS)
def test_what_the_user_set_wins(provider, given, llms):
    """No pool that was built gets our number, and each call goes through."""
    configure_pools(max_connections=OURS, pool_timeout=5)

    async def main() -> list[Any]:
        with built() as pools:
            llm = create(provider, llms.origin, **given())
            await call(llm)
        del llm
        return [(maximum(pool), limits_from(pool)) for pool in pools]

    found = asyncio.run(main())
    assert found or provider == "liner"  # whose pool is gone with the call
    assert OURS not in [number for number, _ in found]
    # Of limits= the pool timeout is no part: there ours holds.
    assert {origin for _, origin in found} <= {None, "configure_pools(pool_timeout=5)"}
    if provider not in ("bedrock", "sagemaker", "liner"):
        assert THEIRS in [pool[0] for pool in found]


@pytest.mark.all_sdks
def test_the_users_limit_of_liner_is_the_one_in_effect(llms):
    """Its pool lives for one call, so it is looked at meanwhile."""
    configure_pools(max_connections=OURS)
    GlueLLMInstrumentor().instrument()
    seen: list[tuple[int | None, str | None]] = []
    llms.slow.look = lambda _: seen.extend(
        (pool.max_connections, pool.limits_from) for pool in snapshot().pools
    )
    asyncio.run(call(create("liner", llms.origin, limits=httpx.Limits(max_connections=THEIRS))))
    assert seen == [(THEIRS, None)]


@pytest.mark.parametrize("provider", ["bedrock", "sagemaker"])
def test_a_config_without_a_limit_is_none_of_the_users(provider, llms):
    """Other options of botocore's Config say nothing of connections."""
    configure_pools(max_connections=OURS)
    with built() as pools:
        llm = create(provider, llms.origin, **_botocore(read_timeout=50))
        call_at_once(llm, 1)
    assert {maximum(pool) for pool in pools} == {OURS}


@pytest.mark.parametrize("provider", ["openai", "anthropic", "groq"])
def test_a_timeout_of_the_client_is_its_pool_timeout(provider, llms):
    """httpx takes a number for all four. The limit on connections holds all the same."""
    configure_pools(max_connections=OURS, pool_timeout=5)
    with built() as pools:
        llm = create(provider, llms.origin, timeout=60)
    assert [(maximum(pool), pool_timeout(pool)) for pool in pools] == [(OURS, None)]
    del llm


@pytest.mark.anyio
@pytest.mark.parametrize("provider", ["openai", "anthropic"])
async def test_a_timeout_of_one_call_is_its_pool_timeout(provider, llms):
    """Of that call, and of no other one of the same pool."""
    configure_pools(max_connections=OURS, pool_timeout=5)
    GlueLLMInstrumentor().instrument()
    asked: list[float | None] = []
    llms.slow.look = lambda _: asked.extend(pool.pool_timeout for pool in snapshot().pools)

    llm = create(provider, llms.origin)
    await call(llm)
    await call(llm, timeout=30)
    await call(llm)
    assert asked == [5, 30, 5]


@pytest.mark.all_sdks
def test_a_factory_of_huggingface_is_the_users(llms):
    """Its client is built inside any-llm's call, by a function that the user gave to the SDK."""
    hub = pytest.importorskip("huggingface_hub")
    configure_pools(max_connections=OURS)
    from huggingface_hub.utils import _http

    default = _http.default_async_client_factory
    hub.set_async_client_factory(lambda: _client(httpx2))
    try:
        with built() as pools:
            llm = create("huggingface", llms.origin)
            asyncio.run(call(llm))
    finally:
        hub.set_async_client_factory(default)
    assert THEIRS in [maximum(pool) for pool in pools]
    assert not [pool for pool in pools if limits_from(pool) is not None]


@pytest.mark.all_sdks
@pytest.mark.skipif(sys.version_info < (3, 12), reason="GlueLLM needs Python 3.12")
@pytest.mark.parametrize("provider", ["openai", "anthropic"])
def test_the_client_of_gluellm_is_explicit(provider, llms):
    """GlueLLM builds it from its GLUELLM_HTTP_* settings and hands it to any-llm."""
    api = pytest.importorskip("gluellm.api")
    configure_pools(max_connections=OURS, pool_timeout=5)
    with built() as pools:
        llm = create(provider, llms.origin, http_client=api._build_provider_http_client())
        call_at_once(llm, 1)
    assert not [pool for pool in pools if limits_from(pool) is not None]
    assert not [pool for pool in pools if maximum(pool) == OURS]
