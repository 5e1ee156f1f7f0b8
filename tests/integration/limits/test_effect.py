"""Limits set by ``configure_pools()``, measured at the server."""

import asyncio
import time
from typing import Any

import pytest

from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor, snapshot
from opentelemetry.instrumentation.gluellm.limits import configure_pools
from support.counted_llms import CountedLLMs
from support.waiting import until, wait_until

from .calls import call, call_at_once, create, many_threads

pytest.importorskip("any_llm")

HTTPX2 = ["openai", "mistral", "huggingface", "deepseek"]
HTTPX = ["anthropic", "groq", "ollama"]
AIOHTTP = ["gemini", "cohere", "azure", "fireworks"]
URLLIB3 = ["bedrock", "sagemaker", "otari"]
EVERY = [*HTTPX2, *HTTPX, *AIOHTTP, *URLLIB3]
"""One pool per instance. lmstudio, liner, voyage and watsonx have one per call."""
MANY = 10


@pytest.mark.parametrize("provider", EVERY)
def test_max_connections_bounds_the_peak(provider, llms):
    """Without the limit, each concurrent call has its own connection."""
    llms.answer_together(MANY)
    call_at_once(create(provider, llms.origin), MANY)
    assert llms.peak == MANY
    wait_until(lambda: _closed(llms), "the first instance's connections are closed")

    llms.peak = 0
    configure_pools(max_connections=3)
    llms.answer_together(3, 0.05)
    call_at_once(create(provider, llms.origin), MANY)
    assert llms.peak == 3


def _closed(llms: CountedLLMs) -> bool:
    llms.hang_up()
    return llms.open_now == 0


@pytest.mark.parametrize(
    "provider", ["openai", "mistral", "anthropic", "groq", "ollama", "bedrock"]
)
def test_pool_timeout_bounds_the_wait_for_a_connection(provider, llms):
    """By default, the SDKs of openai and anthropic wait for ten minutes, and urllib3 for ever."""
    configure_pools(max_connections=1, pool_timeout=0.2)
    gate = llms.gate()
    llms.answer_after(gate)

    async def second_fails() -> BaseException:
        llm = create(provider, llms.origin)
        first = asyncio.ensure_future(call(llm))
        await until(lambda: llms.slow.paths, "the first call has the connection")
        started = time.monotonic()
        with pytest.raises(Exception) as failed:
            await call(llm)
        assert time.monotonic() - started >= 0.19
        gate.open()
        await first
        return failed.value

    with many_threads() as run:
        error = run(second_fails())
    causes = [type(cause).__name__ for cause in _causes(error)]
    if provider == "bedrock":
        assert "EmptyPoolError" in causes
    else:
        assert "PoolTimeout" in causes
    assert llms.accepted == 1


def _causes(error: BaseException | None) -> Any:
    while error is not None:
        yield error
        more = error.kwargs.get("error") if hasattr(error, "kwargs") else None  # botocore's
        error = more or error.__cause__ or error.__context__


def test_snapshot_has_each_limit_and_its_source(llms):
    """The data and the text have both."""
    configure_pools(max_connections=3, pool_timeout=7)
    configure_pools(provider="anthropic", max_connections=4)
    GlueLLMInstrumentor().instrument()
    seen: dict[str, Any] = {}

    def look(_path: str) -> None:
        seen.update((pool.name, pool) for pool in snapshot().pools)
        seen["text"] = " ".join(str(snapshot()).split())

    llms.slow.look = look
    both = "configure_pools(max_connections=3, pool_timeout=7)"
    of_anthropic = 'configure_pools(provider="anthropic", max_connections=4)'
    for provider, number, origin in (
        ("openai", 3, both),
        ("anthropic", 4, f"{of_anthropic}; configure_pools(pool_timeout=7)"),
    ):
        call_at_once(create(provider, llms.origin), 1)
        pool = seen[provider]
        assert (pool.max_connections, pool.pool_timeout, pool.limits_from) == (number, 7, origin)
        assert f"limits from {origin}" in seen["text"]
