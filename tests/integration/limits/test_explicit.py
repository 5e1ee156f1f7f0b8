"""Limits that the user sets on a client win; an SDK's defaults do not."""

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import httpx2
import pytest

from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor, snapshot
from opentelemetry.instrumentation.gluellm.limits import configure_pools

from .calls import built, call, create, limits_from, maximum, pool_timeout

pytest.importorskip("any_llm")

THEIRS = 7
OURS = 3


def _botocore() -> dict[str, Any]:
    from botocore.config import Config

    return {"config": Config(max_pool_connections=THEIRS)}


def _lazy_aiohttp() -> dict[str, Any]:
    """Return a client whose connector is built during its first request."""
    from httpx_aiohttp import HttpxAiohttpClient

    return {"httpx_client": HttpxAiohttpClient(limits=httpx.Limits(max_connections=THEIRS))}


def _client(module: Any) -> Any:
    return module.AsyncClient(limits=module.Limits(max_connections=THEIRS))


LIMITS = httpx.Limits(max_connections=THEIRS)
CLIENTS: list[tuple[str, Callable[[], dict[str, Any]]]] = [
    ("openai", lambda: {"http_client": _client(httpx2)}),
    ("openai", lambda: {"http_client": _client(httpx)}),
    ("anthropic", lambda: {"http_client": _client(httpx)}),
    ("mistral", lambda: {"async_client": _client(httpx2)}),
    ("ollama", lambda: {"limits": LIMITS}),
    ("ollama", lambda: {"transport": httpx.AsyncHTTPTransport(limits=LIMITS)}),
    ("cohere", _lazy_aiohttp),
    ("gemini", lambda: {"http_options": {"httpx_async_client": _client(httpx2)}}),
    ("bedrock", _botocore),
]


@pytest.mark.parametrize(("provider", "given"), CLIENTS)
def test_limits_set_on_a_client_win_over_configured_ones(provider, given, llms):
    """No pool gets the configured number, and each call succeeds."""
    configure_pools(max_connections=OURS, pool_timeout=5)

    async def main() -> list[Any]:
        with built() as pools:
            llm = create(provider, llms.origin, **given())
            await call(llm)
        del llm
        return [(maximum(pool), limits_from(pool)) for pool in pools]

    found = asyncio.run(main())
    assert OURS not in [number for number, _ in found]
    # limits= has no pool timeout, so the configured one applies.
    assert {origin for _, origin in found} <= {None, "configure_pools(pool_timeout=5)"}
    if provider != "bedrock":  # whose pools don't block
        assert THEIRS in [pool[0] for pool in found]
    assert found


@pytest.mark.parametrize("provider", ["openai", "anthropic", "groq"])
def test_a_timeout_of_the_client_is_also_its_pool_timeout(provider, llms):
    """httpx uses one number for all four timeouts. The limit of connections still applies."""
    configure_pools(max_connections=OURS, pool_timeout=5)
    with built() as pools:
        llm = create(provider, llms.origin, timeout=60)
    assert [(maximum(pool), pool_timeout(pool)) for pool in pools] == [(OURS, None)]
    del llm


@pytest.mark.anyio
@pytest.mark.parametrize("provider", ["openai", "anthropic"])
async def test_a_timeout_of_one_call_is_also_its_pool_timeout(provider, llms):
    """It does not apply to other calls of the same pool."""
    configure_pools(max_connections=OURS, pool_timeout=5)
    GlueLLMInstrumentor().instrument()
    asked: list[float | None] = []
    llms.slow.look = lambda _: asked.extend(pool.pool_timeout for pool in snapshot().pools)

    llm = create(provider, llms.origin)
    await call(llm)
    await call(llm, timeout=30)
    await call(llm)
    assert asked == [5, 30, 5]
